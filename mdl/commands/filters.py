"""`mdl filters`: pictures of first-layer filters, and how local they are, in numbers."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mdl import console
from mdl.options import JsonOption, SeedOption

if TYPE_CHECKING:
    from analysis.filters import FilterSample
    from analysis.locality import Locality, LocalitySummary
    from figures.filters import FilterPanel
    from training.checkpoint import Checkpoint

METHOD_TITLES = {"beta-lasso": "β-lasso", "sgd": "SGD"}


@dataclass(frozen=True, kw_only=True)
class _Measured:
    """One checkpoint's filters and their locality; `num_drawn` of the first go in the picture."""

    path: Path
    title: str
    network: str
    sample: "FilterSample"
    locality: "Locality"
    summary: "LocalitySummary"
    num_drawn: int


def filters(
    checkpoints: Annotated[
        list[Path],
        typer.Argument(metavar="CHECKPOINT", help="Checkpoint files, or their run folders."),
    ],
    compare: Annotated[
        bool,
        typer.Option("--compare", help="Draw the checkpoints side by side, in one picture."),
    ] = False,
    num: Annotated[int, typer.Option(min=1, help="Filters to draw of each checkpoint.")] = 36,
    min_nonzeros: Annotated[
        int, typer.Option(min=1, help="Choose among filters with so many nonzeros or more.")
    ] = 20,
    unpermute: Annotated[
        bool,
        typer.Option(
            help="Undo the pixel permutation of --permute-pixels, so that filters lie on the "
            "images as they were."
        ),
    ] = True,
    out: Annotated[
        Path | None,
        typer.Option(
            help="The picture, .png or .pdf; if not given, filters.png beside the checkpoint, or "
            "with --compare filters-compare.png beside the first."
        ),
    ] = None,
    seed: SeedOption = 0,
    json: JsonOption = False,
) -> None:
    """Draw first-layer filters chosen at random, and measure how local they are.

    The half-mass radius of a filter is the distance in pixels from its centre
    of mass within which half of its |weight| lies. By chance means with the
    filter's pixels shuffled over the image. A ratio of the two below 1 is local.

    Several checkpoints make a picture each; --compare makes one for all:

        mdl filters --compare runs/A runs/B runs/C
    """
    from figures.filters import draw_filters
    from figures.style import check_figure_path, figure_style, save_figure

    if out is not None:
        check_figure_path(out)
        if not out.parent.is_dir():
            raise ValueError(f"--out {out}: there is no folder {out.parent}; make it first")
        if len(checkpoints) > 1 and not compare:
            raise ValueError(
                f"--out names one picture, but there are {len(checkpoints)} checkpoints; add "
                "--compare to draw them side by side"
            )
    measured = [
        _measure(path, num=num, min_nonzeros=min_nonzeros, unpermute=unpermute, seed=seed)
        for path in checkpoints
    ]
    pictures = [measured] if compare else [[one] for one in measured]
    files = [out or _default_picture(group, compare=compare) for group in pictures]
    for group, file in zip(pictures, files, strict=True):
        with figure_style():
            figure = draw_filters(_panels(group))
        save_figure(figure, file)
    if json:
        report = {
            "checkpoints": [_to_dict(one) for one in measured],
            "figures": [str(file) for file in files],
            "min_nonzeros": min_nonzeros,
            "seed": seed,
        }
        console.print_json(report)
        return
    for one in measured:
        _print_filters(one)
    _print_summaries(measured)
    for one in measured:
        if one.num_drawn < num:
            console.stdout().print(
                f"Only {one.num_drawn} of the {one.sample.num_filters:,} filters of {one.path} "
                f"have {min_nonzeros} nonzeros or more; all are drawn.",
                markup=False,
            )
    for file in files:
        console.stdout().print(f"Picture: {file}", markup=False)
    names = [str(path) for path in checkpoints]
    if len(names) > 1 and not compare:
        console.print_next(f"mdl filters --compare {' '.join(names)}")
    else:
        console.print_next(f"mdl nonzeros {names[0]}", f"mdl bound {names[0]} --bits 16")


def _checkpoint_file(path: Path) -> Path:
    return path / "checkpoint.pt" if path.is_dir() else path


def _default_picture(group: list[_Measured], *, compare: bool) -> Path:
    """filters.png in the run folder; NAME-filters.png beside a checkpoint of another name."""
    file = _checkpoint_file(group[0].path)
    if compare:
        return file.with_name("filters-compare.png")
    prefix = "" if file.name == "checkpoint.pt" else f"{file.stem}-"
    return file.with_name(f"{prefix}filters.png")


def _measure(
    path: Path, *, num: int, min_nonzeros: int, unpermute: bool, seed: int
) -> _Measured:  # fmt: skip
    from analysis.filters import MAX_FILTERS, sample_filters
    from analysis.locality import measure_locality, summarize_locality
    from training.checkpoint import load_checkpoint

    checkpoint = load_checkpoint(path)
    try:
        sample = sample_filters(
            checkpoint,
            max_filters=max(num, MAX_FILTERS),
            min_nonzeros=min_nonzeros,
            unpermute=unpermute,
            seed=seed,
        )
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    locality = measure_locality(sample.images, seed=seed)
    return _Measured(
        path=path,
        title=_title(checkpoint),
        network=checkpoint.network.name,
        sample=sample,
        locality=locality,
        summary=summarize_locality(locality),
        num_drawn=min(num, len(sample.indices)),
    )


def _title(checkpoint: "Checkpoint") -> str:
    parts = [checkpoint.network.name]
    source = checkpoint.metrics.get("embedded_from")
    if source:
        parts[0] += f" (twin of {source})"
    method = checkpoint.config.get("method")
    if method:
        parts.append(METHOD_TITLES.get(str(method), str(method)))
    if checkpoint.data is not None:
        parts.append(checkpoint.data.name)
    return ", ".join(parts)


def _panels(group: list[_Measured]) -> list["FilterPanel"]:
    """What to draw. Kernels fill their tiles where nothing but convolutions is drawn."""
    from analysis.filters import kernel_window
    from figures.filters import FilterPanel

    only_kernels = all(
        one.sample.layer.kind == "conv" and one.sample.permutation_seed is None for one in group
    )
    panels = []
    for one in group:
        images = one.sample.images[: one.num_drawn]
        if only_kernels:
            rows, columns = kernel_window(one.sample.layer)
            images = images[:, :, rows, columns]
        panels.append(FilterPanel(title=one.title, note=_note(one), filters=images))
    return panels


def _note(one: _Measured) -> str:
    sample, summary = one.sample, one.summary
    low, high = summary.ratio_interval
    lines = [
        f"{one.num_drawn} of {sample.num_eligible:,} filters with {sample.min_nonzeros} nonzeros "
        f"or more",
        f"half-mass radius {summary.radius:.1f} px, by chance {summary.chance_radius:.1f} px",
        f"ratio {summary.ratio:.2f} (95 %: {low:.2f} to {high:.2f}); "
        f"{summary.local_share:.0%} local at the 5 % level",
    ]
    if sample.permutation_seed is not None:
        lines.append(f"pixels un-permuted (seed {sample.permutation_seed})")
    return "\n".join(lines)


def _rows(one: _Measured) -> list[dict[str, Any]]:
    from analysis.filters import filter_place

    rows = []
    for rank, index in enumerate(one.sample.indices.tolist()):
        channel, row, column = filter_place(one.sample.layer, index)
        rows.append(
            {
                "filter": index,
                "channel": channel,
                "row": row,
                "column": column,
                "num_nonzeros": int(one.sample.nonzeros[rank]),
                "radius": float(one.locality.radius[rank]),
                "chance_radius": float(one.locality.chance_radius[rank]),
                "ratio": float(one.locality.ratio[rank]),
                "p_value": float(one.locality.p_value[rank]),
                "drawn": rank < one.num_drawn,
            }
        )
    return rows


def _to_dict(one: _Measured) -> dict[str, Any]:
    return {
        "checkpoint": str(one.path),
        "network": one.network,
        "layer": one.sample.layer.name,
        "num_filters": one.sample.num_filters,
        "num_eligible": one.sample.num_eligible,
        "permutation_undone": one.sample.permutation_seed,
        "summary": asdict(one.summary),
        "filters": _rows(one),
    }


def _print_filters(one: _Measured) -> None:
    drawn = [row for row in _rows(one) if row["drawn"]]
    console.print_table(
        f"{one.title}: the filters drawn, row by row ({one.path})",
        ("filter", "channel", "row", "column", "nonzeros", "radius px", "by chance", "ratio", "p"),
        [
            (
                *(str(row[key]) for key in ("filter", "channel", "row", "column", "num_nonzeros")),
                *(f"{row[key]:.2f}" for key in ("radius", "chance_radius", "ratio", "p_value")),
            )
            for row in drawn
        ],
        num_text_columns=0,
    )


def _print_summaries(measured: list[_Measured]) -> None:
    rows = []
    for one in measured:
        summary, sample = one.summary, one.sample
        low, high = summary.ratio_interval
        rows.append(
            (
                one.title,
                f"{sample.num_filters:,}",
                f"{sample.num_eligible:,}",
                f"{summary.num_filters:,}",
                f"{summary.radius:.2f}",
                f"{summary.chance_radius:.2f}",
                f"{summary.ratio:.2f}",
                f"{low:.2f} to {high:.2f}",
                f"{summary.local_share:.0%}",
            )
        )
    nonzeros = f">= {measured[0].sample.min_nonzeros} nonzeros"
    console.print_table(
        "Locality of first-layer filters (medians; below 1 is local; by chance 5 % are at 5 %)",
        (
            "network", "filters", nonzeros, "measured", "radius px", "by chance", "ratio",
            "95 % interval", "local at 5 %",
        ),
        rows,
    )  # fmt: skip
