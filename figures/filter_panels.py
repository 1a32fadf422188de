"""First-layer filters of several networks or data sets side by side (Figures 4, 7, 8 and 9)."""

import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from figures.filters import DOTS_PER_INCH, filter_colors, plot_filters
from figures.style.look import INK, MUTED, PAGE_WIDTH, new_figure
from figures.style.notes import add_note

# Lengths in dots.
_TITLE = 42
_LINE = 24
_BETWEEN = 36  # panels
_GAP = 6  # tiles
_ABOVE_NOTE = 10
_EDGE = 12  # of the figure
_WORDS = 26  # characters of a line where filters are missing
_FRAME_COLOR = (0.72, 0.72, 0.72)
_READING = (
    "Grey is zero; a positive weight lightens its channel of colour and a negative one darkens it. "
    "Each filter is on its own scale."
)


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
        None if grid.filters is None else _tiles(grid.filters, num_columns, int(room))
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
    height = bottom + below + panel[1] + _TITLE
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


def _tiles(filters: NDArray[np.floating], num_columns: int, width: int) -> NDArray[np.float64]:
    """Framed tiles as one image, white between them, at most `width` dots wide if it can be."""
    colors = filter_colors(filters)
    num_columns = min(num_columns, len(colors))
    num_rows = math.ceil(len(colors) / num_columns)
    side = (width + _GAP) // num_columns - _GAP - 2
    scale = max(1, side // max(colors.shape[1:3]))
    tiles = colors.repeat(scale, axis=1).repeat(scale, axis=2)
    framed = np.empty((len(tiles), tiles.shape[1] + 2, tiles.shape[2] + 2, 3))
    framed[:] = _FRAME_COLOR
    framed[:, 1:-1, 1:-1] = tiles
    step_y, step_x = framed.shape[1] + _GAP, framed.shape[2] + _GAP
    image = np.ones((num_rows * step_y - _GAP, num_columns * step_x - _GAP, 3))
    for index, tile in enumerate(framed):
        row, column = divmod(index, num_columns)
        y, x = row * step_y, column * step_x
        image[y : y + framed.shape[1], x : x + framed.shape[2]] = tile
    return image
