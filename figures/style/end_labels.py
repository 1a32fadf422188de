"""Names at the right of a panel, each at the height where its line ends, pushed apart."""

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes

from figures.style.look import MUTED
from figures.style.text_color import readable

_SIZE = 7.0  # points
_LINE = 1.25  # of the size: from one name to the next
_OFFSET = 8  # points from the panel to the names
_NEAR = 4  # pixels: a name that stands so near to its line's end needs no thin line
_LEADER = {
    "arrowstyle": "-",
    "color": MUTED,
    "linewidth": 0.5,
    "linestyle": (0, (1, 1.5)),
    "shrinkA": 1,
    "shrinkB": 3,
    "relpos": (0, 0.5),
}


@dataclass(frozen=True, kw_only=True)
class EndLabel:
    """A name and the point, in data coordinates, that it belongs to."""

    text: str
    x: float
    y: float
    color: str
    bold: bool = False


def label_ends(axes: Axes, labels: Sequence[EndLabel]) -> None:
    """Write the names right of the panel, with a thin line to the point where it is not beside.

    The limits of the axes become fixed. Call it when everything else is drawn and titled.
    """
    axes.set_xlim(axes.get_xlim())
    axes.set_ylim(axes.get_ylim())
    figure = axes.get_figure()
    if figure is None or not labels:
        return
    figure.draw_without_rendering()  # type: ignore[union-attr]
    box = axes.get_window_extent()
    gap = _SIZE * _LINE * figure.dpi / 72
    ordered = sorted(labels, key=lambda label: axes.transData.transform((1, label.y))[1])
    heights = [float(axes.transData.transform((label.x, label.y))[1]) for label in ordered]
    placed = push_apart(heights, gap, low=box.y0, high=box.y1)
    for label, place in zip(ordered, placed, strict=True):
        start = axes.transData.transform((label.x, label.y))
        beside = abs(place - start[1]) < _NEAR and box.x1 - start[0] < _NEAR + 0.04 * box.width
        axes.annotate(
            label.text,
            (label.x, label.y),
            (1 + _OFFSET * figure.dpi / 72 / box.width, (place - box.y0) / box.height),
            textcoords="axes fraction",
            ha="left",
            va="center_baseline",
            fontsize=_SIZE,
            color=readable(label.color),
            fontweight="bold" if label.bold else "normal",
            annotation_clip=False,
            arrowprops=None if beside else _LEADER,
        )


def push_apart(positions: Sequence[float], gap: float, *, low: float, high: float) -> list[float]:
    """The places nearest to ascending positions (least squares) that are `gap` apart.

    Args:
        positions: Ascending.
        gap: Least distance between neighbours, >= 0.
        low: No place is below, if there is room.
        high: No place is above, if there is room.

    >>> push_apart([0.0, 0.0, 10.0], 2, low=-5, high=20)
    [-1.0, 1.0, 10.0]
    """
    # Least squares under q[i+1] >= q[i] + gap is isotonic regression of p[i] - i gap.
    blocks: list[tuple[float, int]] = []  # mean and size
    for index, position in enumerate(positions):
        mean, size = position - index * gap, 1
        while blocks and blocks[-1][0] > mean:
            other, count = blocks.pop()
            mean, size = (mean * size + other * count) / (size + count), size + count
        blocks.append((mean, size))
    flat = [mean for mean, size in blocks for _ in range(size)]
    ceiling = max(low, high - gap * (len(flat) - 1))
    return [min(max(each, low), ceiling) + index * gap for index, each in enumerate(flat)]
