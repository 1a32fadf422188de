"""A line chart by epoch as inline SVG, with what the page's script needs to answer a pointer."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from mdl.report.axis import (
    Axis,
    Formatter,
    count,
    epoch_axis,
    linear_axis,
    log_axis,
    percent,
    plain,
    short_count,
    short_percent,
)
from mdl.report.marks import color, mark
from mdl.report.markup import Markup, element, number

MAX_POINTS = 250
"""Points of a line; of a longer run so many are drawn, evenly spaced, the last among them."""

WIDTH, HEIGHT = 340, 210
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 14, 10, 34
_FEW_POINTS = 12
_LABEL_ROOM = 15

Item = TypeVar("Item")
Points = tuple[tuple[int, float], ...]


@dataclass(frozen=True, kw_only=True)
class Quantity:
    """How values of one kind are drawn and written.

    Attributes:
        tick: Writes a value at the axis.
        text: Writes a value in full.
        is_log: Whether the axis is logarithmic.
        limits: What no value can pass.
    """

    tick: Formatter
    text: Formatter
    is_log: bool = False
    limits: tuple[float, float] = (0.0, 1e300)


SHARE = Quantity(tick=short_percent, text=percent, limits=(0.0, 1.0))
COUNT = Quantity(tick=short_count, text=count, is_log=True)
AMOUNT = Quantity(tick=plain, text=plain)


@dataclass(frozen=True, kw_only=True)
class Series:
    """One line.

    Attributes:
        label: What it is.
        style: Its colour and mark, as in `mdl.report.marks`.
        points: Epoch and value, by epoch.
    """

    label: str
    style: int
    points: Points


@dataclass(frozen=True, kw_only=True)
class Level:
    """A horizontal line to compare with.

    Attributes:
        kind: "conv" (dashed) or "local" (dotted).
        value: Where.
        label: Written at it; "" for nothing.
        style: Colour of the run that it belongs to; None if it is every run's.
    """

    kind: str
    value: float
    label: str
    style: int | None = None


@dataclass(frozen=True, kw_only=True)
class Chart:
    """What one chart shows.

    Attributes:
        title: Above it.
        quantity: Of its values.
        series: The lines, not all empty.
        levels: Lines to compare with.
        shared: Values that the axis must cover too, so that charts beside each other compare.
    """

    title: str
    quantity: Quantity
    series: tuple[Series, ...]
    levels: tuple[Level, ...] = ()
    shared: tuple[float, ...] = ()

    @property
    def epochs(self) -> tuple[int, ...]:
        """Epochs with a value, in order."""
        return tuple(sorted({epoch for each in self.series for epoch, _ in each.points}))


def draw_chart(chart: Chart, *, key: Markup | None = None) -> Markup:
    """The chart as a figure: title, drawing with a description in words, and room for a tooltip.

    Args:
        chart: What to show.
        key: A legend of its own, if its lines are not the runs.
    """
    chart = _thinned(chart)
    values = [value for each in chart.series for _, value in each.points]
    values += [level.value for level in chart.levels] + list(chart.shared)
    quantity = chart.quantity
    vertical = log_axis(values) if quantity.is_log else linear_axis(values, limits=quantity.limits)
    horizontal = epoch_axis(chart.epochs[-1])
    drawing = element(
        "svg",
        _frame(horizontal, vertical, quantity),
        (_draw_level(level, chart.levels, vertical) for level in chart.levels),
        (_draw_series(each, horizontal, vertical) for each in chart.series),
        element("g", class_="cursor"),
        viewBox=f"0 0 {WIDTH} {HEIGHT}",
        role="img",
        tabindex=0,
        aria_label=_describe(chart),
    )
    return element(
        "figure",
        element("figcaption", chart.title),
        key,
        drawing,
        element("div", class_="tip", hidden=True, aria_hidden="true"),
        class_="chart",
        data_chart=_pointer_data(chart, horizontal, vertical),
    )


def _thinned(chart: Chart) -> Chart:
    series = tuple(
        Series(label=each.label, style=each.style, points=thin(each.points, MAX_POINTS))
        for each in chart.series
        if each.points
    )
    return Chart(
        title=chart.title,
        quantity=chart.quantity,
        series=series,
        levels=chart.levels,
        shared=chart.shared,
    )


def thin(items: Sequence[Item], most: int) -> tuple[Item, ...]:
    """At most so many items, evenly spaced, the first and the last among them.

    >>> thin(range(10), 4), thin("ab", 4)
    ((0, 3, 6, 9), ('a', 'b'))
    """
    if len(items) <= most:
        return tuple(items)
    return tuple(items[index * (len(items) - 1) // (most - 1)] for index in range(most))


def _x(axis: Axis, epoch: float) -> float:
    return _LEFT + axis.place(epoch) * (WIDTH - _LEFT - _RIGHT)


def _y(axis: Axis, value: float) -> float:
    return HEIGHT - _BOTTOM - axis.place(value) * (HEIGHT - _TOP - _BOTTOM)


def _frame(horizontal: Axis, vertical: Axis, quantity: Quantity) -> list[Markup]:
    parts = []
    for tick in vertical.ticks:
        y = _y(vertical, tick)
        parts.append(element("line", x1=_LEFT, x2=WIDTH - _RIGHT, y1=y, y2=y, class_="grid"))
        parts.append(element("text", quantity.tick(tick), x=_LEFT - 6, y=y + 4, class_="tick end"))
    bottom = HEIGHT - _BOTTOM
    parts.append(element("line", x1=_LEFT, x2=WIDTH - _RIGHT, y1=bottom, y2=bottom, class_="base"))
    for tick in horizontal.ticks:
        x = _x(horizontal, tick)
        parts.append(element("line", x1=x, x2=x, y1=bottom, y2=bottom + 4, class_="base"))
        parts.append(element("text", f"{tick:,.0f}", x=x, y=bottom + 16, class_="tick middle"))
    middle = (_LEFT + WIDTH - _RIGHT) / 2
    parts.append(element("text", "epoch", x=middle, y=HEIGHT - 3, class_="tick middle"))
    return parts


def _draw_series(series: Series, horizontal: Axis, vertical: Axis) -> Markup:
    places = [(_x(horizontal, x), _y(vertical, y)) for x, y in series.points]
    line = " ".join(f"{number(x)},{number(y)}" for x, y in places)
    marked = places if len(places) <= _FEW_POINTS else places[-1:]
    return element(
        "g",
        element("polyline", points=line, class_=f"line {color(series.style)}"),
        (mark(series.style, x, y) for x, y in marked),
    )


def _draw_level(level: Level, levels: Sequence[Level], vertical: Axis) -> Markup:
    y = _y(vertical, level.value)
    own = "" if level.style is None else f" {color(level.style)}"
    line = element(
        "line", x1=_LEFT, x2=WIDTH - _RIGHT, y1=y, y2=y, class_=f"level {level.kind}{own}"
    )
    if not level.label:
        return line
    # Above the line, unless another line is there.
    is_crowded = any(0 < y - _y(vertical, other.value) < _LABEL_ROOM + 2 for other in levels)
    text_y = y + 13 if is_crowded or y < _TOP + _LABEL_ROOM else y - 5
    label = element("text", level.label, x=WIDTH - _RIGHT, y=text_y, class_="tick end halo")
    return element("g", line, label)


def _describe(chart: Chart) -> str:
    """The chart in words: where each line begins and ends."""
    text = chart.quantity.text
    parts = []
    for each in chart.series:
        (first, start), (last, end) = each.points[0], each.points[-1]
        if first == last:
            parts.append(f"{each.label}: {text(end)} at epoch {last}")
        else:
            parts.append(f"{each.label}: {text(start)} at epoch {first}, {text(end)} at {last}")
    parts += [f"{level.label}" for level in chart.levels if level.label]
    return f"{chart.title} by epoch. {'; '.join(parts)}."


def _pointer_data(chart: Chart, horizontal: Axis, vertical: Axis) -> str:
    """JSON for the script: places and texts, so that it need not know any unit."""
    epochs = chart.epochs
    lines = []
    for each in chart.series:
        found = dict(each.points)
        lines.append(
            {
                "label": each.label,
                "style": color(each.style),
                "y": [number(_y(vertical, found[x])) if x in found else None for x in epochs],
                "text": [chart.quantity.text(found[x]) if x in found else None for x in epochs],
            }
        )
    values = {
        "epoch": epochs,
        "x": [number(_x(horizontal, epoch)) for epoch in epochs],
        "lines": lines,
        "top": _TOP,
        "bottom": HEIGHT - _BOTTOM,
    }
    return json.dumps(values, separators=(",", ":"), ensure_ascii=False)
