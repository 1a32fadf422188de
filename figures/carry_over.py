"""Accuracy against λ, and against the total shrinkage that it amounts to: which carries over?"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullFormatter

from figures.style.axes import set_percent_axis
from figures.style.look import PAGE_WIDTH, add_note, layer_styles, new_figure


@dataclass(frozen=True, kw_only=True)
class PenaltyLine:
    """Runs that differ in λ alone, ascending.

    Attributes:
        label: The value of the factor that tells lines apart.
        l1: λ of the conv-like layers, > 0.
        shrinkages: The total shrinkage of each, > 0.
        accuracies: By validation, fractions.
    """

    label: str
    l1: tuple[float, ...]
    shrinkages: tuple[float, ...]
    accuracies: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class PenaltyPanel:
    """One factor; at least one line."""

    factor: str
    lines: tuple[PenaltyLine, ...]


def draw_carry_over(panels: Sequence[PenaltyPanel], *, note: str = "") -> Figure:
    """A column a factor: above by λ, below by total shrinkage; the best of each line is large.

    Args:
        panels: One a factor.
        note: Below the figure.

    Raises:
        ValueError: No panel, or one without a line.
    """
    if not panels or not all(panel.lines for panel in panels):
        raise ValueError("panels must hold at least one panel, each with at least one line")
    figure = new_figure(PAGE_WIDTH, 4.6)
    grid = figure.subplots(2, len(panels), squeeze=False, sharey=True)
    for column, panel in enumerate(panels):
        above, below = grid[0, column], grid[1, column]
        styles = layer_styles([line.label for line in panel.lines])
        for line in panel.lines:
            for axes, places in ((above, line.l1), (below, line.shrinkages)):
                _draw(axes, places, line, styles[line.label].line(markersize=3))
        tried = sorted({each for line in panel.lines for each in line.shrinkages})
        below.xaxis.set_major_locator(FixedLocator(tried))
        below.xaxis.set_major_formatter("{x:g}")
        for axes in (above, below):
            axes.xaxis.set_minor_formatter(NullFormatter())
        above.set_title(panel.factor, loc="left")
        above.legend(loc="lower left")
        above.set_xlabel("λ of the conv-like layers")
        below.set_xlabel("total shrinkage τ = λ Σ η / σ")
    shown = [100 * each for panel in panels for line in panel.lines for each in line.accuracies]
    set_percent_axis(grid[0, 0], shown)
    for row in grid:
        row[0].set_ylabel("validation accuracy (%)")
    add_note(figure, note, "Large marks: the best of a line.")
    return figure


def _draw(axes: Axes, places: Sequence[float], line: PenaltyLine, style: dict[str, Any]) -> None:
    percents = [100 * each for each in line.accuracies]
    axes.plot(places, percents, label=line.label, **style)
    best = percents.index(max(percents))
    axes.plot(places[best], percents[best], **(style | {"markersize": 8, "linestyle": ""}))
    axes.set_xscale("log")
    axes.grid(visible=True, axis="both")
