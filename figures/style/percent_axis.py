"""A vertical axis in percent with room for names, never wider than sense allows."""

from collections.abc import Iterable

from matplotlib.axes import Axes

_LEAST_SPAN = 4.0  # points of percent: less would make noise look large
_BELOW, _ABOVE = 0.08, 0.14  # shares of the span


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
