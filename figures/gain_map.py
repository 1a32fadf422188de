"""Where β-lasso pays: its accuracy between SGD's and s-local's, one panel a factor."""

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, PercentFormatter

from figures.style.axes import set_count_axis, set_percent_axis
from figures.style.look import (
    INK,
    METHOD_STYLES,
    MUTED,
    NETWORK_STYLES,
    PAGE_WIDTH,
    add_note,
    legend_above,
    new_figure,
)

_ACROSS = 3  # panels in a row
_SERIES = {
    "s-local, SGD": NETWORK_STYLES["s-local"],
    "s-fc, β-lasso": METHOD_STYLES["beta-lasso"],
    "s-fc, SGD": METHOD_STYLES["sgd"],
}
_GAIN, _LOSS = "#f3d9cc", "#dddddd"  # light: β-lasso's colour, and SGD's
_ROOM = 0.22  # of a panel's height, below all marks, for the numbers


@dataclass(frozen=True, kw_only=True)
class GainPoint:
    """One value of a factor; accuracies are fractions.

    Attributes:
        value: As the axis names it.
        sgd: Test accuracy of s-fc by SGD.
        beta_lasso: Of s-fc by β-lasso.
        local: Of s-local by SGD.
        error: Half the interval of `beta_lasso` - `sgd`.
        is_usual: Whether the other panels have this value throughout.
    """

    value: str
    sgd: float
    beta_lasso: float
    local: float
    error: float
    is_usual: bool = False


@dataclass(frozen=True, kw_only=True)
class FactorPanel:
    """One factor, the others as usual.

    Attributes:
        factor: Its name.
        points: From left to right, at least one.
    """

    factor: str
    points: tuple[GainPoint, ...]


@dataclass(frozen=True, kw_only=True)
class ShortenedRun:
    """A run by β-lasso beside that by SGD in the same regime.

    Attributes:
        regime: The same for the runs of one line.
        bits: Its description's length, in shares of that of the run by SGD, > 0.
        gain: Its test accuracy less that of the run by SGD, a fraction.
        overfit: Training accuracy less test accuracy of the run by SGD, a fraction.
    """

    regime: str
    bits: float
    gain: float
    overfit: float


def draw_gain_map(panels: Sequence[FactorPanel], *, note: str = "") -> Figure:
    """Three accuracies by each factor; what β-lasso gains is shaded and written beside its mark.

    Args:
        panels: One a factor.
        note: Below the figure.

    Raises:
        ValueError: No panel, or one without a point.
    """
    if not panels or not all(panel.points for panel in panels):
        raise ValueError("panels must hold at least one panel, each with at least one point")
    across = min(_ACROSS, len(panels))
    down = -(-len(panels) // across)
    figure = new_figure(PAGE_WIDTH, 0.5 + 2.3 * down)
    grid = figure.subplots(down, across, squeeze=False, sharey=True).flat
    shown = [
        100 * value
        for panel in panels
        for point in panel.points
        for value in (
            point.sgd,
            point.beta_lasso - point.error,
            point.beta_lasso + point.error,
            point.local,
        )
    ]
    for axes, panel in zip(grid, panels, strict=False):
        _draw_panel(axes, panel)
    low, high = min(shown), max(shown)
    set_percent_axis(grid[0], [max(0.0, low - _ROOM * (high - low)), *shown])
    for index, axes in enumerate(grid):
        if index >= len(panels):
            axes.set_axis_off()
        elif index % across == 0:
            axes.set_ylabel("test accuracy (%)")
    legend_above(figure, _SERIES)
    add_note(
        figure,
        note,
        "Numbers: β-lasso over SGD in points, with half its interval at 95%, and the share of the "
        "gap from SGD to s-local that it closes. In bold: the value that the other panels have.",
    )
    return figure


def draw_shortened(runs: Sequence[ShortenedRun], *, note: str = "") -> Figure:
    """Gain over SGD against the length of the description beside SGD's, a line a regime.

    Args:
        runs: All settings of β-lasso of all regimes.
        note: Below the figure.

    Raises:
        ValueError: No runs.
    """
    if not runs:
        raise ValueError("runs must hold at least one run")
    figure = new_figure(PAGE_WIDTH * 0.75, 3.4)
    axes = figure.subplots()
    overfits = [100 * run.overfit for run in runs]
    marks = axes.scatter(
        [run.bits for run in runs],
        [100 * run.gain for run in runs],
        c=overfits,
        s=26,
        edgecolors=INK,
        linewidths=0.4,
        zorder=3,
    )
    for regime in dict.fromkeys(run.regime for run in runs):
        line = sorted((run.bits, 100 * run.gain) for run in runs if run.regime == regime)
        axes.plot(*zip(*line, strict=True), color=MUTED, linewidth=0.6, zorder=2)
    axes.axhline(0, color=INK, linewidth=0.7, linestyle=":")
    set_count_axis(axes, "x", [*(run.bits for run in runs), 1.0])
    axes.xaxis.set_major_formatter(PercentFormatter(xmax=1, decimals=None))
    axes.set_xlabel("description length, in percent of SGD's")
    axes.set_ylabel("test accuracy over SGD (points)")
    axes.grid(visible=True)
    figure.colorbar(marks, ax=axes, label="training less test accuracy by SGD (points)")
    add_note(figure, note, "A line joins the settings of one regime.")
    return figure


def _draw_panel(axes: Axes, panel: FactorPanel) -> None:
    places = range(len(panel.points))
    lines = {
        "s-local, SGD": [100 * point.local for point in panel.points],
        "s-fc, β-lasso": [100 * point.beta_lasso for point in panel.points],
        "s-fc, SGD": [100 * point.sgd for point in panel.points],
    }
    lasso, sgd = lines["s-fc, β-lasso"], lines["s-fc, SGD"]
    is_above = [above >= below for above, below in zip(lasso, sgd, strict=True)]
    for color, where in ((_GAIN, is_above), (_LOSS, [not each for each in is_above])):
        axes.fill_between(
            places, sgd, lasso, where=where, interpolate=True, color=color, linewidth=0, zorder=1
        )
    for name, values in lines.items():
        axes.plot(places, values, label=name, **_SERIES[name].line(zorder=3))
    for place, point in zip(places, panel.points, strict=True):
        axes.errorbar(
            place,
            100 * point.beta_lasso,
            yerr=100 * point.error,
            color=_SERIES["s-fc, β-lasso"].color,
            elinewidth=0.8,
            zorder=2.5,
        )
        axes.annotate(
            _gain_text(point),
            (place, 0.02),
            xycoords=axes.get_xaxis_transform(),
            ha="center",
            va="bottom",
            fontsize=6.5,
            linespacing=1.2,
        )
    axes.set_xlim(-0.5, len(panel.points) - 0.5)
    axes.xaxis.set_major_locator(FixedLocator(list(places)))
    for label, point in zip(
        axes.set_xticklabels([point.value for point in panel.points]), panel.points, strict=True
    ):
        label.set_fontweight("bold" if point.is_usual else "normal")
    axes.set_title(panel.factor, loc="left")
    axes.grid(visible=True, axis="y")


def _gain_text(point: GainPoint) -> str:
    """Points gained, half their interval, and the share of the gap that is closed, if any is there.

    >>> _gain_text(GainPoint(value="60", sgd=0.5, beta_lasso=0.52, local=0.6, error=0.01)).split()
    ['+2.0', '±', '1.0', '20%']
    """
    gain, gap = point.beta_lasso - point.sgd, point.local - point.sgd
    closed = f"\n{gain / gap:.0%}" if gap > point.error else ""
    return f"{100 * gain:+.1f} ± {100 * point.error:.1f}{closed}".replace("-", "−")
