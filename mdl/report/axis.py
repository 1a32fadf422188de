"""The axis of a chart: where a value lies, which ticks it has, and how values are written."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

_STEPS = (1, 2, 2.5, 5, 10)
_LOG_STEPS = ((1,), (1, 2, 5))
_LARGE = 10_000
_MINUTE, _HOUR = 60, 3600


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
    values: Sequence[float], *, num_ticks: int = 5, limits: tuple[float, float] = (0, math.inf)
) -> Axis:
    """An axis around values, with round ticks.

    Args:
        values: Finite.
        num_ticks: About so many, or a few less.
        limits: What no value can pass.

    >>> linear_axis([0.12, 0.58], limits=(0, 1)).ticks
    (0.2, 0.4, 0.6)
    """
    low, high = min(values, default=0.0), max(values, default=1.0)
    room = 0.06 * (high - low) or max(0.05 * abs(high), 1e-3)
    low, high = max(limits[0], low - room), min(limits[1], high + room)
    rough = (high - low) / num_ticks
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(each * power for each in _STEPS if each * power >= rough * (1 - 1e-9))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    ticks = tuple(float(f"{index * step:.12g}") for index in range(first, last + 1))
    return Axis(low=low, high=high, ticks=ticks)


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
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    ticks: tuple[float, ...] = ()
    every = max(1, (last - first) // 4)
    for steps in _LOG_STEPS:
        ticks = tuple(
            step * 10.0**power
            for power in range(first, last + 1, every)
            for step in steps
            if low <= step * 10.0**power <= high
        )
        if len(ticks) > 1:
            return Axis(low=low, high=high, ticks=ticks, is_log=True)
    near = linear_axis([low, high]).ticks  # less than an octave: a ratio says little
    return Axis(low=low, high=high, ticks=tuple(t for t in near if low <= t <= high), is_log=True)


def epoch_axis(last: int) -> Axis:
    """An axis of epochs from 1, whole ticks.

    >>> epoch_axis(20).ticks, epoch_axis(1).ticks
    ((5.0, 10.0, 15.0, 20.0), (1.0,))
    """
    if last <= 1:
        return Axis(low=0.5, high=1.5, ticks=(1.0,))
    found = linear_axis([0.0, float(last)], num_ticks=5, limits=(0.0, float(last)))
    ticks = tuple(tick for tick in found.ticks if tick >= 1 and tick == int(tick))
    return Axis(low=1.0, high=float(last), ticks=ticks or (1.0, float(last)))


def percent(value: float) -> str:
    """A fraction in percent.

    >>> percent(0.1234), percent(0.2)
    ('12.34%', '20.00%')
    """
    return f"{value:.2%}"


def short_percent(value: float) -> str:
    """For a tick.

    >>> short_percent(0.2), short_percent(0.125)
    ('20%', '12.5%')
    """
    return f"{100 * value:.6g}%"


def count(value: float) -> str:
    """An integer.

    >>> count(1234567.0)
    '1,234,567'
    """
    return f"{value:,.0f}"


def short_count(value: float) -> str:
    """For a tick.

    >>> [short_count(value) for value in (500, 1000, 25_000, 2e6)]
    ['500', '1k', '25k', '2M']
    """
    for size, letter in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.4g}{letter}"
    return f"{value:.4g}"


def plain(value: float) -> str:
    """A number to four digits.

    >>> plain(1.759931), plain(12_345.6)
    ('1.76', '12,346')
    """
    return f"{value:,.0f}" if abs(value) >= _LARGE else f"{value:.4g}"


def duration(seconds: float) -> str:
    """For people.

    >>> duration(2.345), duration(100), duration(4000)
    ('2.3 s', '1 min 40 s', '1 h 7 min')
    """
    if seconds < _MINUTE:
        return f"{seconds:.1f} s"
    if seconds < _HOUR:
        minutes, rest = divmod(round(seconds), _MINUTE)
        return f"{minutes} min {rest} s"
    hours, rest = divmod(round(seconds / _MINUTE), _MINUTE)
    return f"{hours:,} h {rest} min"


Formatter = Callable[[float], str]
