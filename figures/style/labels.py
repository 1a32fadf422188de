"""Names beside points and at the ends of lines, where they cover nothing and can be read."""

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import to_hex, to_rgb
from matplotlib.patheffects import withStroke
from matplotlib.text import Annotation
from matplotlib.transforms import Bbox
from numpy.typing import NDArray

from figures.style.look import MUTED

_LEAST_CONTRAST = 4.5  # to white, as WCAG 2 asks of small text
_SIZE = 7.0  # points
_DISTANCES = (3.5, 7.0, 12.0, 18.0, 26.0, 36.0, 48.0)  # points from the anchor to the name's edge
_LEADER_FROM = 15.0  # points: names farther away get a thin line
_PADDING = 1.5  # pixels kept free around a name
_SAMPLE = 2.0  # pixels between the points that stand for a line
_ALOOF = 14.0  # pixels to lines of other names, if it can be had
_MARGIN = 2.0  # pixels between a name and the panel's frame
# Right, above, below, left, then the corners.
_DIRECTIONS = ((1, 0), (0, 1), (0, -1), (-1, 0), (1, 1), (1, -1), (-1, 1), (-1, -1))
_ASIDE = 9.0  # points to the side of names that are stacked over or under an anchor
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


def readable(color: str) -> str:
    """The colour itself if it is dark enough on white, else a darker one of the same hue.

    >>> readable("#000000"), contrast_to_white(readable("#56b4e9")) >= 4.5
    ('#000000', True)
    """
    red, green, blue = to_rgb(color)
    share = 1.0
    while contrast_to_white((red * share, green * share, blue * share)) < _LEAST_CONTRAST:
        share -= 0.02
    return str(to_hex((red * share, green * share, blue * share)))


def contrast_to_white(color: str | tuple[float, float, float]) -> float:
    """WCAG 2's contrast of a colour to white, from 1 (white) to 21 (black).

    >>> contrast_to_white("#ffffff"), contrast_to_white("#000000")
    (1.0, 21.0)
    """
    linear = [
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4
        for part in to_rgb(color)
    ]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return 1.05 / (luminance + 0.05)


@dataclass(frozen=True, kw_only=True)
class PointLabel:
    """A name and the points that it may stand at.

    Attributes:
        text: The name. Lines with this label are its own: it keeps away from others.
        anchors: Points in data coordinates, the best first.
        color: Of the text.
        bold: Whether in bold.
        size: In points.
    """

    text: str
    anchors: Sequence[tuple[float, float]]
    color: str
    bold: bool = False
    size: float = _SIZE


@dataclass(frozen=True)
class _Place:
    cost: float
    anchor: tuple[float, float]
    offset: tuple[float, float]  # points, from the anchor to the name's middle
    distance: float
    box: Bbox


def place_labels(axes: Axes, labels: Sequence[PointLabel]) -> list[Annotation]:
    """Write each name at the place that covers least, beside one of its anchors.

    The limits of the axes become fixed. Call it when everything else is drawn and titled, for the
    layout must not change any more.

    Returns:
        The names, in the order given.
    """
    axes.set_xlim(axes.get_xlim())
    axes.set_ylim(axes.get_ylim())
    figure: Any = axes.get_figure()
    figure.draw_without_rendering()
    pieces = _drawn_points(axes)
    drawn = _joined(pieces.values())
    renderer = figure.canvas.get_renderer()
    taken = [text.get_window_extent(renderer) for text in axes.texts if text.get_text()]
    written = []
    for label in labels:
        text = axes.annotate(
            label.text,
            label.anchors[0],
            (0, 0),
            textcoords="offset points",
            ha="center",
            va="center",
            fontsize=label.size,
            color=readable(label.color),
            annotation_clip=False,
            fontweight="bold" if label.bold else "normal",
            linespacing=1.15,
            zorder=6,
        )
        text.set_in_layout(False)
        text.set_path_effects([withStroke(linewidth=2, foreground="white")])
        size = text.get_window_extent(renderer)
        others = _joined(part for name, part in pieces.items() if name != label.text)
        places = _places(
            axes, label, (size.width, size.height), drawn=drawn, others=others, taken=taken
        )
        best = min(places, key=lambda place: place.cost)
        text.xy = best.anchor
        text.set_position(best.offset)
        taken.append(best.box)
        if best.distance >= _LEADER_FROM:
            drawn = np.concatenate([drawn, _draw_leader(axes, best)])
        written.append(text)
    return written


def _places(
    axes: Axes,
    label: PointLabel,
    size: tuple[float, float],
    *,
    drawn: NDArray[np.float64],
    others: NDArray[np.float64],
    taken: Sequence[Bbox],
) -> list[_Place]:
    """Every place that is tried.

    Covering a name costs most, then leaving the panel, then a thin line across another name.
    """
    dots = axes.figure.dpi / 72
    frame = axes.get_window_extent()
    width, height = size[0] + 2 * _PADDING, size[1] + 2 * _PADDING
    places = []
    for rank, anchor in enumerate(label.anchors):
        x, y = axes.transData.transform(anchor)
        for order, (distance, across, up) in enumerate(_offsets(size, dots)):
            middle_x, middle_y = x + across, y + up
            box = Bbox.from_bounds(middle_x - width / 2, middle_y - height / 2, width, height)
            leader = np.empty((0, 2))
            if distance >= _LEADER_FROM:
                leader = _sampled(np.array([_leader_end(box, x, y), (x, y)]))
            cost = (
                1e6 * sum(_overlaps(box, other) for other in taken)
                + 1e5 * (not _inside(box, frame))
                + 1e4 * sum(_num_inside(other, leader) > 0 for other in taken)
                + 100 * _num_inside(box, drawn)
                + 4 * max(0.0, _ALOOF - _distance(box, others))
                + 10 * distance
                + 3 * (order % len(_DIRECTIONS))
                + 8 * rank
            )
            offset = (across / dots, up / dots)
            places.append(_Place(cost, anchor, offset, distance, box))
    return places


def _offsets(size: tuple[float, float], dots: float) -> list[tuple[float, float, float]]:
    """Distances in points, and pixels from an anchor to the middle of a name of this size.

    Around the anchor first. Then a little to the side and far up or down, so that the lines of
    names that are stacked there do not cross the names.
    """
    half_width, half_height = size[0] / 2, size[1] / 2
    around = [
        (distance, right * (reach + half_width), up * (reach + half_height))
        for distance in _DISTANCES
        for right, up in _DIRECTIONS
        for reach in [distance * dots / math.hypot(right, up)]
    ]
    stacked = [
        (distance, side * (_ASIDE * dots + half_width), up * (distance * dots + half_height))
        for distance in _DISTANCES
        if distance >= _LEADER_FROM
        for side, up in itertools.product((1, -1), (1, -1))
    ]
    return around + stacked


def _leader_end(box: Bbox, x: float, y: float) -> tuple[float, float]:
    """The point of a name's box that is nearest to its anchor."""
    return min(max(x, box.x0), box.x1), min(max(y, box.y0), box.y1)


def _draw_leader(axes: Axes, place: _Place) -> NDArray[np.float64]:
    """Draw the thin line from a name to its anchor; return its pixels."""
    x, y = axes.transData.transform(place.anchor)
    end = _leader_end(place.box, x, y)
    dots = axes.figure.dpi / 72
    leader = axes.annotate(
        "",
        place.anchor,
        ((end[0] - x) / dots, (end[1] - y) / dots),
        textcoords="offset points",
        annotation_clip=False,
        zorder=1.5,
        arrowprops={
            "arrowstyle": "-",
            "color": MUTED,
            "linewidth": 0.5,
            "shrinkA": 0,
            "shrinkB": 3,
        },
    )
    leader.set_in_layout(False)
    return _sampled(np.array([end, (x, y)]))


def _drawn_points(axes: Axes) -> dict[str, NDArray[np.float64]]:
    """Pixels along all lines and around all marks of the panel, (N, 2), by label of the line."""
    pieces: dict[str, list[NDArray[np.float64]]] = {}
    for line in axes.lines:
        found = pieces.setdefault(str(line.get_label()), [])
        points = line.get_transform().transform(np.column_stack(line.get_data(orig=False)))
        if line.get_linestyle() not in ("None", "", " "):
            found.append(_sampled(points))
        if line.get_marker() not in ("None", "", None):
            reach = line.get_markersize() / 2 * axes.figure.dpi / 72 + 1
            square = reach * np.array([(x, y) for x in (-1, 0, 1) for y in (-1, 0, 1)])
            found.append((points[:, None] + square).reshape(-1, 2))
    for collection in axes.collections:
        if isinstance(collection, LineCollection):
            transform = collection.get_transform()
            pieces.setdefault(str(collection.get_label()), []).extend(
                _sampled(transform.transform(part)) for part in collection.get_segments()
            )
    return {name: _joined(found) for name, found in pieces.items()}


def _joined(parts: Iterable[NDArray[np.float64]]) -> NDArray[np.float64]:
    points: NDArray[np.float64] = np.concatenate([np.empty((0, 2)), *parts])
    return points[np.asarray(np.isfinite(points).all(axis=1))]


def _distance(box: Bbox, points: NDArray[np.float64]) -> float:
    """Pixels from a box to the nearest point; infinite without points."""
    if not len(points):
        return math.inf
    x, y = points[:, 0], points[:, 1]
    across = np.maximum(np.maximum(box.x0 - x, x - box.x1), 0)
    up = np.maximum(np.maximum(box.y0 - y, y - box.y1), 0)
    return float(np.hypot(across, up).min())


def _sampled(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Points every few pixels along a path; gaps stay gaps."""
    parts = [points]
    for start, end in itertools.pairwise(points):
        length = float(np.hypot(*(end - start)))
        if math.isfinite(length) and length > _SAMPLE:
            share = np.arange(_SAMPLE, min(length, 5_000), _SAMPLE) / length
            parts.append(start + share[:, None] * (end - start))
    return np.concatenate(parts)


def _num_inside(box: Bbox, points: NDArray[np.float64]) -> int:
    x, y = points[:, 0], points[:, 1]
    return int(((x > box.x0) & (x < box.x1) & (y > box.y0) & (y < box.y1)).sum())


def _overlaps(one: Bbox, other: Bbox) -> bool:
    beside = one.x1 <= other.x0 or other.x1 <= one.x0
    return not (beside or one.y1 <= other.y0 or other.y1 <= one.y0)


def _inside(box: Bbox, frame: Bbox) -> bool:
    return bool(
        box.x0 >= frame.x0 + _MARGIN
        and box.x1 <= frame.x1 - _MARGIN
        and box.y0 >= frame.y0 + _MARGIN
        and box.y1 <= frame.y1 - _MARGIN
    )


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
