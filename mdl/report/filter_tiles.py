"""First-layer filters as small pictures with words, and how local they are."""

import base64
import io
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from analysis.filters.filters import filter_place, kernel_window
from figures.filters import GAMMA, filter_colors
from mdl.report.markup import Markup, chip, element, table
from mdl.report.measurements import MeasuredFilters, MeasuredRun

MAX_TILES = 24
_PAGE_BYTES = 600_000  # pixels of all pictures together: what they take at most, nearly


def draw_filters(runs: Sequence[MeasuredRun]) -> Markup:
    """Filters side by side, then their locality in a table."""
    shown = [run.filters for run in runs if run.filters is not None]
    are_kernels = all(
        each.sample.layer.kind == "conv" and each.sample.permutation_seed is None for each in shown
    )
    room = _PAGE_BYTES // max(1, len(shown))
    parts = [
        element(
            "article",
            element("h3", chip(style), run.run.name) if len(runs) > 1 else None,
            element("p", run.no_filters)
            if run.filters is None
            else _tiles(run.filters, are_kernels=are_kernels, room=room),
        )
        for style, run in enumerate(runs)
    ]
    return element(
        "div",
        element("p", _reading(shown), class_="note") if shown else None,
        element("div", parts, class_="runs"),
        _locality_table(runs) if shown else None,
    )


def _tiles(filters: MeasuredFilters, *, are_kernels: bool, room: int) -> Markup:
    sample = filters.sample
    images = sample.images
    if are_kernels:
        rows, columns = kernel_window(sample.layer)
        images = images[:, :, rows, columns]
    bytes_each = 3 * images.shape[2] * images.shape[3]
    num = max(1, min(MAX_TILES, len(images), room // bytes_each))
    tiles = []
    for rank, colors in enumerate(filter_colors(images[:num])):
        words = _describe(filters, rank)
        tiles.append(element("li", element("img", src=_png(colors), alt=words, title=words)))
    note = (
        f"{num} of {sample.num_eligible:,} filters with {sample.min_nonzeros} nonzeros or more, at "
        f"random; {sample.layer.name} has {sample.num_filters:,}."
    )
    if sample.permutation_seed is not None:
        note += f" Pixels un-permuted (seed {sample.permutation_seed})."
    return element("div", element("ul", tiles, class_="tiles"), element("p", note, class_="note"))


def _describe(filters: MeasuredFilters, rank: int) -> str:
    sample, locality = filters.sample, filters.locality
    index = int(sample.indices[rank])
    channel, row, column = filter_place(sample.layer, index)
    place = (
        f"unit {index:,}"
        if sample.layer.kind == "dense" and sample.layer.out_size <= 1
        else f"channel {channel}"
        if sample.layer.kind == "conv"
        else f"channel {channel} at row {row}, column {column}"
    )
    return (
        f"Filter of {place}: {sample.nonzeros[rank]:,} nonzeros, radius "
        f"{locality.radius[rank]:.1f} px, by chance {locality.chance_radius[rank]:.1f} px"
    )


def _png(colors: NDArray[np.float64]) -> str:
    stream = io.BytesIO()
    pixels = np.rint(255 * colors).astype(np.uint8)
    Image.fromarray(pixels).save(stream, "PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(stream.getvalue()).decode()}"


def _reading(shown: Sequence[MeasuredFilters]) -> str:
    """How to read the colours, for the kinds of filters that there are."""
    channels = {each.sample.images.shape[1] for each in shown}
    parts = []
    if 3 in channels:
        parts.append(
            "Grey is zero; a positive weight lightens its colour, a negative one darkens it."
        )
    if channels - {3}:
        parts.append("In red and blue, pale is zero and red positive.")
    return f"{' '.join(parts)} Each filter has its own scale, contrast |w|^{GAMMA}."


def _locality_table(runs: Sequence[MeasuredRun]) -> Markup:
    measured = [(run.run.name, run.filters.summary) for run in runs if run.filters is not None]
    rows: dict[str, list[str]] = {}
    for _, found in measured:
        cells = {
            "filters measured": f"{found.num_filters:,}",
            "radius": f"{found.radius:.2f} px",
            "radius by chance": f"{found.chance_radius:.2f} px",
            "ratio of the two": f"{found.ratio:.2f}",
            "ratio, 95% interval": "{:.2f} to {:.2f}".format(*found.ratio_interval),
            "local at the 5% level": f"{found.local_share:.0%}",
            "local share, 95% interval": "{:.0%} to {:.0%}".format(*found.local_share_interval),
        }
        for name, cell in cells.items():
            rows.setdefault(name, []).append(cell)
    note = (
        "Locality: the half-mass radius about a filter's centre of mass, and that of the same "
        "filter with its pixels shuffled. Medians over the filters; a ratio below 1 is local. "
        "Local at the 5% level: the radius is below the 5% quantile of shuffled pixels. Of random "
        "supports 5% count as local. That is a test for each filter; one with thousands of "
        "weights passes it by a small difference, so a dense network may have more local filters "
        "than a sparse one whose ratio is lower."
    )
    found_table = table(
        ("locality", *(name for name, _ in measured)),
        [(name, *cells) for name, cells in rows.items()],
        title="Locality of the filters",
    )
    return element("div", found_table, element("p", note, class_="note"))
