"""First-layer filters as pictures (Figures 4 and 7 to 9): signed in one channel, colour in three.

Each filter has its own scale: v = sign(w) (|w| / max |w|)^γ in [-1, 1], with γ = 0.6, so that small
weights of a sparse filter are seen too. Three channels become the colour ½ + v/2 of each: zero is
mid grey, a positive weight lightens its channel and a negative one darkens it. One channel goes
through a diverging map: zero is pale, red is positive, blue is negative. With any other number
of channels the map shows their sum, the filter's answer to grey images.
"""

import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from figures.style.look import INK, MUTED, PAGE_WIDTH, add_note, new_figure

GAMMA = 0.6
DOTS_PER_INCH = 200  # of the grid of pixels below; `save_figure` writes at the same

# Lengths in dots.
_WIDTH_ALONE = 1020
_WIDTH_BESIDE = 640
_LARGEST_TILE = 320
_GAP = 8
_FRAME = 1
_MARGIN = 26
_TITLE = 40
_NOTE_LINE = 26

# Likewise, of `draw_filter_grids`.
_PANEL_TITLE = 42
_LINE = 24
_BETWEEN = 36  # panels
_PANEL_GAP = 6  # tiles
_ABOVE_NOTE = 10
_EDGE = 12  # of the figure

_FRAME_COLOR = (0.72, 0.72, 0.72)
_WORDS = 26  # characters of a line where filters are missing
_READING = (
    "Grey is zero; a positive weight lightens its channel of colour and a negative one darkens it. "
    "Each filter is on its own scale."
)


@dataclass(frozen=True, kw_only=True)
class FilterPanel:
    """Filters of one network and what to write at them.

    Attributes:
        title: Above the filters: the network.
        note: Below them, one line or more: where from, how local.
        filters: Signed weights, (N, channels, rows, columns), N >= 1.
    """

    title: str
    note: str
    filters: NDArray[np.floating]


def draw_filters(panels: Sequence[FilterPanel]) -> Figure:
    """Networks side by side, each a near-square grid of its filters.

    Raises:
        ValueError: No panel, or a panel whose filters `filter_colors` refuses.
    """
    if not panels:
        raise ValueError("panels must hold at least one panel")
    room = _WIDTH_ALONE if len(panels) == 1 else _WIDTH_BESIDE
    mosaics = [filter_mosaic(panel.filters, width=room) for panel in panels]
    widths = [max(mosaic.shape[1], room) for mosaic in mosaics]
    height = max(mosaic.shape[0] for mosaic in mosaics)
    note_height = _NOTE_LINE * max(panel.note.count("\n") + 1 for panel in panels)
    total_width = sum(widths) + _MARGIN * (len(panels) + 1)
    total_height = _TITLE + height + note_height + 3 * _NOTE_LINE + _MARGIN
    figure = new_figure(total_width / DOTS_PER_INCH, total_height / DOTS_PER_INCH)
    figure.set_layout_engine("none")  # everything has its place in dots
    left, top = _MARGIN, _TITLE
    for panel, mosaic, width in zip(panels, mosaics, widths, strict=True):
        # Axes of exactly the mosaic's size in dots: no pixel of a filter is blurred or doubled.
        rows, columns = mosaic.shape[:2]
        axes = figure.add_axes(
            (
                left / total_width,
                1 - (top + rows) / total_height,
                columns / total_width,
                rows / total_height,
            )
        )
        plot_filters(axes, mosaic)
        axes.set_title(panel.title, loc="left")
        note_y = 1 - (top + height + _NOTE_LINE / 2) / total_height
        figure.text(
            left / total_width, note_y, panel.note, va="top", color=INK, fontsize=7, linespacing=1.3
        )
        left += width + _MARGIN
    figure.text(
        _MARGIN / total_width,
        _MARGIN / 2 / total_height,
        _reading([p.filters for p in panels]),
        va="bottom",
        color=MUTED,
        fontsize=6.5,
        linespacing=1.3,
    )
    return figure


def plot_filters(axes: Axes, mosaic: NDArray[np.floating]) -> None:
    """Show a mosaic of `filter_mosaic` on axes, without ticks or smoothing."""
    axes.imshow(mosaic, interpolation="nearest", aspect="auto")
    axes.set_axis_off()


def filter_mosaic(filters: NDArray[np.floating], *, width: int) -> NDArray[np.float64]:
    """All filters as one RGB image: framed tiles in a near-square grid, row by row.

    Args:
        filters: Signed weights, (N, channels, rows, columns), N >= 1.
        width: Dots that the grid should not pass. A pixel of a filter takes the integer of
            dots that fits, and 2 at least, even if the grid then does pass.

    Returns:
        Colours in [0, 1], (height, width, 3), white between the tiles.
    """
    colors = filter_colors(filters)
    num_columns = math.ceil(math.sqrt(len(colors)))
    tile = min(_LARGEST_TILE, (width + _GAP) // num_columns - _GAP - 2 * _FRAME)
    return _tiles(colors, num_columns, max(2, tile // max(colors.shape[1:3])), _GAP)


def _tiles(
    colors: NDArray[np.float64], num_columns: int, scale: int, gap: int
) -> NDArray[np.float64]:
    """Framed tiles as one image, row by row, white between them.

    Args:
        colors: Of the filters, (N, rows, columns, 3).
        num_columns: Tiles in a row.
        scale: Dots of a filter's pixel.
        gap: Dots between tiles.
    """
    num_rows = math.ceil(len(colors) / num_columns)
    tiles = colors.repeat(scale, axis=1).repeat(scale, axis=2)
    rows, columns = (side + 2 * _FRAME for side in tiles.shape[1:3])
    image = np.ones((num_rows * (rows + gap) - gap, num_columns * (columns + gap) - gap, 3))
    for index, tile in enumerate(tiles):
        row, column = divmod(index, num_columns)
        y, x = row * (rows + gap), column * (columns + gap)
        image[y : y + rows, x : x + columns] = _FRAME_COLOR
        image[y + _FRAME : y + rows - _FRAME, x + _FRAME : x + columns - _FRAME] = tile
    return image


def filter_colors(filters: NDArray[np.floating]) -> NDArray[np.float64]:
    """Colours of signed weights, each filter on its own symmetric scale.

    Args:
        filters: (N, channels, rows, columns), N >= 1 and finite. An all-zero filter is blank.

    Returns:
        RGB in [0, 1], (N, rows, columns, 3).

    Raises:
        ValueError: Not four axes, no filter, or weights that are not finite.

    >>> red = np.array([1.0, 0.0, 0.0]).reshape(1, 3, 1, 1)
    >>> filter_colors(red)[0, 0, 0].tolist()
    [1.0, 0.5, 0.5]
    """
    filters = np.asarray(filters, dtype=np.float64)
    if filters.ndim != 4 or 0 in filters.shape:
        raise ValueError(f"filters must be (N, channels, rows, columns), not {filters.shape}")
    if not np.isfinite(filters).all():
        raise ValueError("filters must be finite")
    if filters.shape[1] != 3:
        filters = filters.sum(axis=1, keepdims=True)
    largest = np.abs(filters).max(axis=(1, 2, 3), keepdims=True)
    share = np.divide(filters, largest, out=np.zeros_like(filters), where=largest > 0)
    signed = np.sign(share) * np.abs(share) ** GAMMA
    level = 0.5 + 0.5 * signed
    if filters.shape[1] == 3:
        colors: NDArray[np.float64] = level.transpose(0, 2, 3, 1)
    else:
        colors = matplotlib.colormaps["RdBu_r"](level[:, 0])[..., :3]
    return colors


def _reading(all_filters: Sequence[NDArray[np.floating]]) -> str:
    """How to read the colours, for the kinds of filters that there are."""
    channels = {filters.shape[1] for filters in all_filters}
    parts = []
    if 3 in channels:
        parts.append("In colour grey is zero, positive weights lighten their channel.")
    if channels - {3}:
        summed = " (sum over channels)" if channels - {1, 3} else ""
        parts.append(f"In red and blue{summed} pale is zero, red positive.")
    return f"{' '.join(parts)}\nEach filter is on its own scale, contrast |w|^{GAMMA}."


@dataclass(frozen=True, kw_only=True)
class FilterGrid:
    """One panel.

    Attributes:
        title: The network and method, or the data set.
        caption: Below the filters, lines separated by newlines; may be empty.
        filters: Signed weights, (N, channels, rows, columns), N >= 1; None if there are none.
        missing: What is written where there are none.
    """

    title: str
    caption: str
    filters: NDArray[np.floating] | None
    missing: str = "not run"


def draw_filter_grids(
    grids: Sequence[FilterGrid], *, note: str = "", num_columns: int = 4
) -> Figure:
    """Panels of equal size side by side, each a grid of filters row by row.

    A pixel of a filter takes an integer of dots, so that sparse filters stay crisp.

    Args:
        grids: From left to right.
        note: Below the figure.
        num_columns: Filters in a row of a panel, >= 1.

    Raises:
        ValueError: No panel, `num_columns` < 1, or filters that `filter_colors` refuses.
    """
    if not grids or num_columns < 1:
        raise ValueError("grids must hold at least one panel, and num_columns must be >= 1")
    room = (PAGE_WIDTH * DOTS_PER_INCH - 2 * _EDGE - _BETWEEN * (len(grids) - 1)) / len(grids)
    room = min(room, PAGE_WIDTH * DOTS_PER_INCH / 2)
    images = [
        None if grid.filters is None else _grid_mosaic(grid.filters, num_columns, int(room))
        for grid in grids
    ]
    shown = [image for image in images if image is not None]
    height = max((image.shape[0] for image in shown), default=int(room))
    width = max((image.shape[1] for image in shown), default=int(room))
    below = _LINE * max(grid.caption.count("\n") + 1 if grid.caption else 0 for grid in grids)
    figure, bottom = _new_figure(len(grids), (width, height), below, note, bool(shown))
    full_width, full_height = figure.get_size_inches() * DOTS_PER_INCH
    for index, (grid, image) in enumerate(zip(grids, images, strict=True)):
        left = _EDGE + index * (width + _BETWEEN)
        columns, rows = (width, height) if image is None else image.shape[1::-1]
        top = bottom + below + height
        axes = figure.add_axes(
            (
                left / full_width,
                (top - rows) / full_height,
                columns / full_width,
                rows / full_height,
            )
        )
        axes.set_title(grid.title, loc="left", pad=5)
        if image is None:
            axes.set_axis_off()
            frame = Rectangle((0, 0), 1, 1, fill=False, edgecolor="#c4c4c4", clip_on=False)
            frame.set_linestyle((0, (4, 3)))
            axes.add_patch(frame)
            axes.text(
                0.5,
                0.5,
                textwrap.fill(grid.missing, _WORDS),
                ha="center",
                va="center",
                color=MUTED,
                style="italic",
            )
        else:
            plot_filters(axes, image)
        figure.text(
            left / full_width,
            (bottom + below - 8) / full_height,
            grid.caption,
            va="top",
            fontsize=6.5,
            color=INK,
            linespacing=1.3,
        )
    return figure


def _new_figure(
    num_panels: int, panel: tuple[int, int], below: int, note: str, explained: bool
) -> tuple[Figure, int]:
    """A figure just large enough, with its note, and the dots below the captions."""
    width = 2 * _EDGE + num_panels * panel[0] + (num_panels - 1) * _BETWEEN
    probe = new_figure(width / DOTS_PER_INCH, 1.0)
    sentences = (note, _READING if explained else "")
    add_note(probe, *sentences)
    text = probe.get_supxlabel()
    bottom = _EDGE + (text.count("\n") + 1) * _LINE + _ABOVE_NOTE if text else _EDGE
    height = bottom + below + panel[1] + _PANEL_TITLE
    figure = new_figure(width / DOTS_PER_INCH, height / DOTS_PER_INCH)
    figure.set_layout_engine("none")  # everything has its place in dots
    figure.text(
        _EDGE / width,
        _EDGE / 2 / height,
        text,
        va="bottom",
        fontsize=6.5,
        color=MUTED,
        linespacing=1.3,
    )
    return figure, bottom


def _grid_mosaic(
    filters: NDArray[np.floating], num_columns: int, width: int
) -> NDArray[np.float64]:
    """Framed tiles as one image, at most `width` dots wide if it can be."""
    colors = filter_colors(filters)
    num_columns = min(num_columns, len(colors))
    side = (width + _PANEL_GAP) // num_columns - _PANEL_GAP - 2 * _FRAME
    scale = max(1, side // max(colors.shape[1:3]))
    return _tiles(colors, num_columns, scale, _PANEL_GAP)
