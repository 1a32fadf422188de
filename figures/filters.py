"""First-layer filters as pictures (Figures 4 and 7 to 9): signed in one channel, colour in three.

Each filter has its own scale: v = sign(w) (|w| / max |w|)^γ in [-1, 1], with γ = 0.6, so that small
weights of a sparse filter are seen too. Three channels become the colour ½ + v/2 of each: zero is
mid grey, a positive weight lightens its channel and a negative one darkens it. One channel goes
through a diverging map: zero is pale, red is positive, blue is negative. With any other number
of channels the map shows their sum, the filter's answer to grey images.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from figures.style.look import INK, MUTED, new_figure

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

_FRAME_COLOR = (0.72, 0.72, 0.72)


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
    num_rows = math.ceil(len(colors) / num_columns)
    tile = min(_LARGEST_TILE, (width + _GAP) // num_columns - _GAP - 2 * _FRAME)
    scale = max(2, tile // max(colors.shape[1:3]))
    tiles = colors.repeat(scale, axis=1).repeat(scale, axis=2)
    rows, columns = tiles.shape[1:3]
    step_y, step_x = rows + 2 * _FRAME + _GAP, columns + 2 * _FRAME + _GAP
    mosaic = np.ones((num_rows * step_y - _GAP, num_columns * step_x - _GAP, 3))
    for index, tile in enumerate(tiles):
        row, column = divmod(index, num_columns)
        y, x = row * step_y, column * step_x
        mosaic[y : y + step_y - _GAP, x : x + step_x - _GAP] = _FRAME_COLOR
        y, x = y + _FRAME, x + _FRAME
        mosaic[y : y + rows, x : x + columns] = tile
    return mosaic


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
