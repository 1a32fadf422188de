"""How a compression went: bits against training errors among lines of equal bound, and by step."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, MaxNLocator, NullFormatter, StrMethodFormatter

from analysis.bounds.tails import binary_kl
from figures.style.look import INK, MUTED, PAGE_WIDTH, new_figure

_BOUND_COLOR = "#d55e00"
_TARGETS = (0.03, 0.05, 0.07, 0.1, 0.15, 0.2, 0.3, 0.5, 0.7, 0.9)
_PERCENTS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100)
_POINTS_PER_LINE = 1000


@dataclass(frozen=True, kw_only=True)
class CompressionFigure:
    """What is shown: one entry a measured network, in order.

    Attributes:
        title: Network and data.
        bits: B.
        errors: Training errors, fractions.
        bounds: Bounds, fractions.
        num_samples: m; with δ it gives the lines of equal bound, which are left out otherwise.
        delta: δ.
    """

    title: str
    bits: Sequence[float]
    errors: Sequence[float]
    bounds: Sequence[float]
    num_samples: int | None = None
    delta: float | None = None


def plot_compression(figure: CompressionFigure) -> Figure:
    """Two panels: training error against bits as a path, and error and bound step by step.

    Behind the path are lines of equal bound: the path gains where it crosses them
    towards fewer bits or fewer errors.

    Raises:
        ValueError: No points, or sequences of different lengths.
    """
    count = len(figure.bits)
    if not count or len(figure.errors) != count or len(figure.bounds) != count:
        raise ValueError(
            "bits, errors and bounds must have the same number of points, at least one, not "
            f"{count}, {len(figure.errors)} and {len(figure.bounds)}"
        )
    drawn = new_figure(PAGE_WIDTH, 2.8)
    left, right = drawn.subplots(1, 2)
    _draw_path(left, figure)
    _draw_steps(right, figure)
    return drawn


def _draw_path(axes: Axes, figure: CompressionFigure) -> None:
    percents = _percents(figure)
    axes.set_yscale("log")
    axes.plot(figure.bits, percents, "o-", color=INK, markersize=2.5, linewidth=1, zorder=3)
    axes.plot(
        figure.bits[0],
        percents[0],
        "o",
        color=INK,
        markerfacecolor="white",
        markersize=5,
        label="start",
        zorder=4,
    )
    axes.plot(figure.bits[-1], percents[-1], "s", color=_BOUND_COLOR, label="end", zorder=4)
    axes.margins(x=0.12)
    _set_view(axes, percents)
    if figure.num_samples is not None and figure.delta is not None:
        _draw_equal_bounds(axes, figure.num_samples, figure.delta)
    _format_percents(axes)
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.set_xlabel("description (bits)")
    axes.set_ylabel("training errors (%)")
    axes.set_title(figure.title)
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=3)


def _draw_equal_bounds(axes: Axes, num_samples: int, delta: float) -> None:
    """Lines of equal bound across the view, which stays as it is, each named at the right."""
    (left, right), (low, high) = axes.get_xlim(), axes.get_ylim()
    for target in _TARGETS:
        top = min(high, 100 * target)
        if top <= low:
            continue
        line = [
            (equal_bound_bits(target, percent / 100, num_samples, delta), percent)
            for percent in map(float, np.geomspace(low, top, _POINTS_PER_LINE))
        ]
        shown = [(bits, percent) for bits, percent in line if left < bits < right]
        if not shown:
            continue
        axes.plot(*zip(*line, strict=True), ":", color=_BOUND_COLOR, linewidth=0.8, zorder=1)
        axes.annotate(
            f"{target:.0%}",
            shown[0],
            xytext=(-3, 2),
            textcoords="offset points",
            fontsize=6,
            color=_BOUND_COLOR,
            ha="right",
        )
    axes.plot([], [], ":", color=_BOUND_COLOR, linewidth=0.8, label="equal bound")
    axes.set_xlim(left, right)
    axes.set_ylim(low, high)


def equal_bound_bits(target: float, error: float, num_samples: int, delta: float) -> float:
    """B at which Chernoff-kl's bound is `target`: (m kl(e/m, target) - ln(1/δ)) / ln 2.

    The binomial tail, a little lower, is within the width of a line of it.

    >>> round(equal_bound_bits(0.116, 0.02, 60_000, 0.05))
    5698
    """
    nats = num_samples * binary_kl(error, target) + math.log(delta)
    return nats / math.log(2)


def _draw_steps(axes: Axes, figure: CompressionFigure) -> None:
    steps = range(1, len(figure.bits) + 1)
    errors = _percents(figure)
    bounds = [100 * each for each in figure.bounds]
    axes.set_yscale("log")
    axes.plot(steps, bounds, "o-", color=_BOUND_COLOR, markersize=2.5, label="bound")
    axes.plot(steps, errors, "o--", color=MUTED, markersize=2.5, label="training errors")
    last_bound = math.ceil(bounds[-1] * 100 - 1e-7) / 100  # upward, as a bound must be
    for values, shown, color in (
        (bounds, last_bound, _BOUND_COLOR),
        (errors, 100 * figure.errors[-1], MUTED),
    ):
        axes.annotate(
            f"{shown:.4g}%",
            (steps[-1], values[-1]),
            xytext=(4, 0),
            color=color,
            textcoords="offset points",
            fontsize=7,
            va="center",
            annotation_clip=False,
        )
    _set_view(axes, [*bounds, *errors])
    _format_percents(axes)
    axes.set_xlim(0, len(figure.bits) * 1.15 + 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    axes.set_xlabel("networks measured, in order")
    axes.set_ylabel("%")
    of_delta = "" if figure.delta is None else f", δ = {figure.delta:g}"
    axes.set_title(f"Bound on the true error{of_delta}")
    axes.legend()


def _percents(figure: CompressionFigure) -> list[float]:
    """Training errors for a logarithmic axis: where there are none, half of one."""
    smallest = 0.01 if figure.num_samples is None else 50 / figure.num_samples
    return [max(100 * error, smallest) for error in figure.errors]


def _set_view(axes: Axes, percents: Sequence[float]) -> None:
    """Show all values, between two of the numbers that stand at the axis."""
    low = max((each for each in _PERCENTS if each <= min(percents)), default=min(percents))
    high = min((each for each in _PERCENTS if each >= max(percents)), default=max(percents))
    axes.set_ylim(low / 1.1, high * 1.1)


def _format_percents(axes: Axes) -> None:
    """Plain numbers on a logarithmic axis."""
    axes.yaxis.set_major_locator(FixedLocator(_PERCENTS))
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())
