"""Axes: logarithmic ones for counts, with k, M, G and a place for zero, and ones in percent."""

import math
from collections.abc import Iterable

from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.ticker import EngFormatter, FixedLocator, NullFormatter

_MOST_DECADES = 7  # on one axis; with more, every second one is named
_FEW_DECADES = 1.3  # below this 2 and 5 are named too
_LEAST_SPAN = 4.0  # points of percent: less would make noise look large
_BELOW, _ABOVE = 0.08, 0.14  # shares of the span


def zero_place(values: Iterable[float]) -> float:
    """Where zero stands on a logarithmic axis: one decade below the smallest positive value's.

    >>> zero_place([0, 250, 4_000])
    10.0
    """
    smallest = min((value for value in values if value > 0), default=10.0)
    return float(10.0 ** (math.floor(math.log10(smallest)) - 1))


def log_places(values: Iterable[float]) -> list[float]:
    """The values themselves, and `zero_place` for zero.

    >>> log_places([0, 250, 4_000])
    [10.0, 250.0, 4000.0]
    """
    values = list(values)
    zero = zero_place(values)
    return [float(value) if value > 0 else zero for value in values]


def set_count_axis(axes: Axes, which: str, values: Iterable[float], *, unit: str = "") -> None:
    """Make an axis logarithmic, with limits that hold all values.

    Args:
        axes: Whose axis.
        which: "x" or "y".
        values: All that is shown. Zeros are shown at `zero_place`, named 0.
        unit: After the numbers, for instance "B".
    """
    values = list(values)
    positive = [value for value in values if value > 0] or [10.0]
    has_zero = any(value == 0 for value in values)
    low, high = math.log10(min(positive)), math.log10(max(positive))
    zero = math.log10(zero_place(values)) if has_zero else low
    margin = max(0.06 * (high - zero), 0.12)
    axis: Axis = axes.xaxis if which == "x" else axes.yaxis
    set_scale, set_limits = (
        (axes.set_xscale, axes.set_xlim) if which == "x" else (axes.set_yscale, axes.set_ylim)
    )
    set_scale("log")
    set_limits(10 ** (min(zero, low) - margin), 10 ** (high + margin))
    axis.set_major_locator(FixedLocator(_ticks(low - margin, high + margin)))
    axis.set_major_formatter(EngFormatter(unit=unit, sep=" " if unit else ""))
    axis.set_minor_formatter(NullFormatter())
    if has_zero:
        axis.set_ticks([10**zero], labels=["0"], minor=True)
    else:
        axis.set_minor_locator(FixedLocator(_minor_ticks(low - margin, high + margin)))


def _ticks(low: float, high: float) -> list[float]:
    decades = range(math.floor(low), math.ceil(high) + 1)
    if high - low < _FEW_DECADES:
        found = [10.0**decade * step for decade in decades for step in (1, 2, 5)]
    else:
        skip = 1 + len(decades) // (_MOST_DECADES + 1)
        found = [10.0**decade for decade in decades if decade % skip == 0]
    shown = [tick for tick in found if low <= math.log10(tick) <= high]
    return shown or [10 ** ((low + high) / 2)]


def _minor_ticks(low: float, high: float) -> list[float]:
    if high - low > _MOST_DECADES:
        return []
    decades = range(math.floor(low), math.ceil(high) + 1)
    found = [10.0**decade * step for decade in decades for step in range(2, 10)]
    return [tick for tick in found if low <= math.log10(tick) <= high]


def set_percent_axis(axes: Axes, percents: Iterable[float]) -> None:
    """Set the limits so that all percents are seen, with ticks only from 0 to 100.

    Args:
        axes: Whose vertical axis.
        percents: All that is shown, at least one, in [0, 100].
    """
    percents = list(percents)
    low, high = min(percents), max(percents)
    missing = max(0.0, _LEAST_SPAN - (high - low)) / 2
    low, high = low - missing, high + missing
    span = high - low
    limits = (low - _BELOW * span, high + _ABOVE * span)
    axes.set_ylim(limits)
    axes.set_yticks([tick for tick in axes.get_yticks() if 0 <= tick <= 100])
    axes.set_ylim(limits)
