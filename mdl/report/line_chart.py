"""A line chart by epoch as inline SVG, with its numbers for the page's script and in a table."""

import json
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from matplotlib.ticker import EngFormatter, LogLocator, MaxNLocator

from mdl.report.markup import Markup, color, details, element, mark, number, table

Formatter = Callable[[float], str]

MAX_POINTS = 250
"""Points of a line; of a longer run so many are drawn, evenly spaced, the last among them."""
MAX_ROWS = 60
"""Epochs of a table; of a longer run so many are listed, evenly spaced."""
WIDTH, HEIGHT = 340, 210
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 14, 10, 34
_FEW_POINTS = 12
_LABEL_ROOM = 15
_LARGE = 10_000
Item = TypeVar("Item")
Points = tuple[tuple[int, float], ...]


@dataclass(frozen=True, kw_only=True)
class Axis:
    """A scale from `low` to `high`.

    Attributes:
        low: Value at the bottom or the left; > 0 where the scale is logarithmic.
        high: Value at the top or the right, > low.
        ticks: Values to mark, inside.
        is_log: Whether equal steps are equal ratios.
    """

    low: float
    high: float
    ticks: tuple[float, ...]
    is_log: bool = False

    def place(self, value: float) -> float:
        """From 0 at `low` to 1 at `high`; what lies outside is put on the border."""
        if self.is_log:
            value = max(value, self.low)
            share = math.log(value / self.low) / math.log(self.high / self.low)
        else:
            share = (value - self.low) / (self.high - self.low)
        return min(1.0, max(0.0, share))


def linear_axis(
    values: Sequence[float], *, limits: tuple[float, float] = (0, math.inf), integer: bool = False
) -> Axis:
    """An axis around values, with at most six round ticks.

    Args:
        values: Finite.
        limits: What no value can pass.
        integer: Whether only integers are marked.

    >>> linear_axis([0.12, 0.58], limits=(0, 1)).ticks
    (0.2, 0.4, 0.6)
    """
    low, high = min(values, default=0.0), max(values, default=1.0)
    room = 0.06 * (high - low) or max(0.05 * abs(high), 1e-3)
    low, high = max(limits[0], low - room), min(limits[1], high + room)
    ticks = _round_ticks(integer=integer).tick_values(low, high)
    return Axis(low=low, high=high, ticks=_inside(ticks, low, high))


def log_axis(values: Sequence[float]) -> Axis:
    """A logarithmic axis around values >= 0; zeros are put at its bottom.

    >>> log_axis([0, 30, 40_000]).ticks
    (100.0, 1000.0, 10000.0)
    >>> log_axis([23_000, 24_576]).ticks
    (22000.0, 24000.0, 26000.0)
    """
    positive = [value for value in values if value > 0] or [1.0]
    room = max((max(positive) / min(positive)) ** 0.06, 1.1)
    low, high = min(positive) / room, max(positive) * room
    if min(values, default=1.0) <= 0:
        low /= room
    ticks = _inside(LogLocator(numticks=7).tick_values(low, high), low, high)
    if len(ticks) < 2:  # 1, 2, 5 are two at least above a ratio of 5; below, a ratio says little
        locator = LogLocator(subs=(1, 2, 5)) if high > 5 * low else _round_ticks()
        ticks = _inside(locator.tick_values(low, high), low, high)
    return Axis(low=low, high=high, ticks=ticks, is_log=True)


def epoch_axis(last: int) -> Axis:
    """An axis of epochs from 1.

    >>> epoch_axis(20).ticks, epoch_axis(1).ticks
    ((5.0, 10.0, 15.0, 20.0), (1.0,))
    """
    if last <= 1:
        return Axis(low=0.5, high=1.5, ticks=(1.0,))
    ticks = linear_axis([0.0, float(last)], limits=(0.0, float(last)), integer=True).ticks
    return Axis(low=1.0, high=float(last), ticks=tuple(tick for tick in ticks if tick >= 1))


def _round_ticks(*, integer: bool = False) -> MaxNLocator:
    return MaxNLocator(5, steps=[1, 2, 2.5, 5, 10], integer=integer)


def _inside(ticks: Iterable[float], low: float, high: float) -> tuple[float, ...]:
    return tuple(float(f"{tick:.12g}") for tick in ticks if low <= tick <= high)


def plain(value: float) -> str:
    """A number to four digits.

    >>> plain(1.759931), plain(12_345.6)
    ('1.76', '12,346')
    """
    return f"{value:,.0f}" if abs(value) >= _LARGE else f"{value:.4g}"


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


SHARE = Quantity(tick=lambda value: f"{100 * value:.6g}%", text="{:.2%}".format, limits=(0.0, 1.0))
COUNT = Quantity(tick=EngFormatter(sep="").format_eng, text="{:,.0f}".format, is_log=True)
AMOUNT = Quantity(tick=plain, text=plain)


@dataclass(frozen=True, kw_only=True)
class Series:
    """One line.

    Attributes:
        label: What it is.
        style: Its colour and mark, as in `mdl.report.markup`.
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
    series = (
        replace(each, points=thin(each.points, MAX_POINTS)) for each in chart.series if each.points
    )
    return replace(chart, series=tuple(series))


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


def chart_numbers(charts: Sequence[Chart]) -> Markup:
    """The numbers behind charts that share their epochs, in a table on request."""
    epochs = sorted({epoch for chart in charts for epoch in chart.epochs})
    listed = thin(epochs, MAX_ROWS)
    columns = ["epoch"]
    cells = []
    for chart in charts:
        for each in chart.series:
            is_alone = len(chart.series) == 1 and each.label == chart.title
            columns.append(chart.title if is_alone else f"{chart.title}: {each.label}")
            found = dict(each.points)
            cells.append(
                [chart.quantity.text(found[epoch]) if epoch in found else "" for epoch in listed]
            )
    rows = [
        (f"{epoch:,}", *row) for epoch, row in zip(listed, zip(*cells, strict=True), strict=True)
    ]
    some = "" if len(listed) == len(epochs) else f" ({len(listed)} of {len(epochs):,} epochs)"
    return details(f"The numbers{some}", table(columns, rows, title="The numbers by epoch"))
