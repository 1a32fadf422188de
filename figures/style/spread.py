"""A value measured with several seeds: its mean as a mark, its range as a bar."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from matplotlib.axes import Axes

SEEDS_NOTE = "Marks are means over seeds, bars go from the lowest seed to the highest."


@dataclass(frozen=True, kw_only=True)
class Spread:
    """Mean and range of the values over seeds."""

    mean: float
    low: float
    high: float


def spread(values: Sequence[float]) -> Spread:
    """The mean and the range of at least one value.

    Raises:
        ValueError: There are no values.

    >>> spread([0.5, 0.75])
    Spread(mean=0.625, low=0.5, high=0.75)
    """
    if not values:
        raise ValueError("values must hold at least one value, one a seed")
    low, high = min(values), max(values)
    mean = min(max(fmean(values), low), high)  # rounding must not put it outside
    return Spread(mean=mean, low=low, high=high)


def plot_spreads(
    axes: Axes, x: Sequence[float], spreads: Sequence[Spread], *, scale: float = 1.0, **line: Any
) -> None:
    """A line through the means, with a bar over the range where there is one.

    Args:
        axes: Where to draw.
        x: Where the means stand.
        spreads: One for each x.
        scale: What all values are multiplied by, 100 for fractions in percent.
        line: Keywords of `Axes.plot`.
    """
    means = [scale * each.mean for each in spreads]
    axes.plot(x, means, **line)
    color, order = line.get("color"), line.get("zorder", 2)  # bars lie below the marks
    for place, each in zip(x, spreads, strict=True):
        if each.high > each.low:
            axes.errorbar(
                place,
                scale * each.mean,
                fmt="none",
                ecolor=color,
                elinewidth=0.9,
                capsize=2,
                yerr=[[scale * (each.mean - each.low)], [scale * (each.high - each.mean)]],
                capthick=0.9,
                zorder=order - 0.1,
            )


def seeds_note(counts: Sequence[int]) -> str:
    """What marks and bars are, where there is more than one seed; else nothing.

    >>> seeds_note([1, 1])
    ''
    """
    return SEEDS_NOTE if max(counts, default=0) > 1 else ""
