"""Accuracy against the number of parameters (Figures 2 and 6) and the kernel size (Figure 5)."""

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator
from matplotlib.transforms import ScaledTranslation

from figures.style.axes import set_count_axis, set_percent_axis
from figures.style.labels import PointLabel, place_labels
from figures.style.look import (
    COLUMN_WIDTH,
    INK,
    METHOD_STYLES,
    MUTED,
    NETWORK_STYLES,
    PAGE_WIDTH,
    add_note,
    legend_above,
    new_figure,
)
from figures.style.spread import Spread, plot_spreads, seeds_note, spread

_DASHES = (":", "--", "-.")  # of the data sets' lines in the right panel
_MOST_BESIDE = 2  # data sets in one row with the panel at the right
_ARROW = 6.5  # points from a mark to the arrow head beside it
METHOD_TITLES = {"beta-lasso": "β-lasso", "sgd": "SGD"}


@dataclass(frozen=True, kw_only=True)
class SizePoint:
    """One size of a family of networks.

    Attributes:
        num_weights: Number of parameters, >= 1.
        train: Training accuracies, fractions, one a seed, at least one.
        test: Test accuracies, likewise.
    """

    num_weights: int
    train: tuple[float, ...]
    test: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class Family:
    """A network in several sizes, in any order.

    Attributes:
        network: Its name, a key of `NETWORK_STYLES`.
        points: Its sizes; without any the family is not drawn.
    """

    network: str
    points: tuple[SizePoint, ...]

    def sorted_points(self) -> list[SizePoint]:
        """From the smallest size to the largest."""
        return sorted(self.points, key=lambda point: point.num_weights)


@dataclass(frozen=True, kw_only=True)
class SizePanel:
    """All families on one data set.

    Attributes:
        title: Name of the data set.
        families: One line each.
        fit_accuracy: The training accuracy, a fraction, at which the right panel of Figure 2 asks
            for the number of parameters; fixed for the data set.
    """

    title: str
    families: tuple[Family, ...]
    fit_accuracy: float


@dataclass(frozen=True, kw_only=True)
class FittingPoint:
    """How many parameters a family needs to fit, and how good it is with that many or more.

    Attributes:
        network: Name of the family.
        num_weights: Of the smallest size that reaches the training accuracy; if none does, of the
            largest size.
        best_test: The highest test accuracy (mean over seeds) of that size and larger ones.
        reached: Whether a size reaches the training accuracy.
        is_least: Whether that is the smallest size of all, so that fewer might do.
    """

    network: str
    num_weights: int
    best_test: float
    reached: bool
    is_least: bool


def fitting_point(family: Family, fit_accuracy: float) -> FittingPoint | None:
    """A family's point in the right panel of Figure 2; None if it has no size.

    >>> sizes = [SizePoint(num_weights=10**n, train=(n / 4,), test=(n / 8,)) for n in (1, 2, 3)]
    >>> fitting_point(Family(network="s-conv", points=tuple(sizes)), 0.5)
    FittingPoint(network='s-conv', num_weights=100, best_test=0.375, reached=True, is_least=False)
    """
    points = family.sorted_points()
    if not points:
        return None
    fitting = [point for point in points if spread(point.train).mean >= fit_accuracy]
    smallest = fitting[0] if fitting else points[-1]
    larger = [point for point in points if point.num_weights >= smallest.num_weights]
    return FittingPoint(
        network=family.network,
        num_weights=smallest.num_weights,
        best_test=max(spread(point.test).mean for point in larger),
        reached=bool(fitting),
        is_least=bool(fitting) and smallest is points[0],
    )


def draw_accuracy(panels: Sequence[SizePanel], *, note: str = "") -> Figure:
    """Figure 2: test accuracy by size, a panel a data set, and the sizes needed to fit.

    Args:
        panels: One a data set.
        note: Below the figure.

    Raises:
        ValueError: Nothing to draw.
    """
    _check(panels)
    num_rows = 1 if len(panels) <= _MOST_BESIDE else 2
    num_columns = math.ceil((len(panels) + 1) / num_rows)
    figure = new_figure(PAGE_WIDTH, 0.65 + 2.3 * num_rows)
    grid = figure.subplots(num_rows, num_columns, squeeze=False)
    *lefts, right = grid.ravel()[: len(panels) + 1]
    for unused in grid.ravel()[len(panels) + 1 :]:
        unused.set_axis_off()
    for axes, panel in zip(lefts, panels, strict=True):
        _plot_families(axes, panel, lambda point: point.test)
        axes.set_title(panel.title, loc="left")
        axes.set_xlabel("number of parameters")
    for axes in grid[:, 0]:
        axes.set_ylabel("test accuracy (%)")
    fits = [_fitting_points(panel) for panel in panels]
    for panel, points, dashes in zip(panels, fits, itertools.cycle(_DASHES)):
        _plot_fits(right, panel, points, dashes)
    everything = [point for points in fits for point in points]
    set_count_axis(right, "x", [point.num_weights for point in everything])
    set_percent_axis(right, [100 * point.best_test for point in everything])
    right.grid(visible=True)
    right.set_title("Fewest that fit", loc="left")
    levels = dict.fromkeys(f"{100 * panel.fit_accuracy:g}%" for panel in panels)
    right.set_xlabel(f"parameters to fit (training ≥ {' or '.join(levels)})")
    right.set_ylabel("best test accuracy (%)")
    _add_legend(figure)
    add_note(figure, note, _fit_note(panels, everything), seeds_note(_seed_counts(panels)))
    place_labels(right, _data_set_labels(panels, fits))
    return figure


def draw_train_and_test(panels: Sequence[SizePanel], *, note: str = "") -> Figure:
    """Figure 6: training accuracy by size in the top row, test accuracy in the bottom row.

    Args:
        panels: One a data set.
        note: Below the figure.

    Raises:
        ValueError: Nothing to draw.
    """
    _check(panels)
    figure = new_figure(COLUMN_WIDTH if len(panels) == 1 else PAGE_WIDTH, 4.5)
    grid = figure.subplots(2, len(panels), squeeze=False, sharex="col")
    rows = (("training", lambda point: point.train), ("test", lambda point: point.test))
    for row, (name, values) in zip(grid, rows, strict=True):
        for axes, panel in zip(row, panels, strict=True):
            _plot_families(axes, panel, values)
        row[0].set_ylabel(f"{name} accuracy (%)")
    for axes, panel in zip(grid[0], panels, strict=True):
        axes.set_title(panel.title, loc="left")
    for axes in grid[1]:
        axes.set_xlabel("number of parameters")
    _add_legend(figure)
    add_note(figure, note, seeds_note(_seed_counts(panels)))
    figure.align_ylabels()
    return figure


def _check(panels: Sequence[SizePanel]) -> None:
    if not panels or not all(any(family.points for family in each.families) for each in panels):
        raise ValueError("panels must hold at least one panel, each with at least one size")


def _seed_counts(panels: Sequence[SizePanel]) -> list[int]:
    return [
        len(point.test) for panel in panels for family in panel.families for point in family.points
    ]


def _plot_families(
    axes: Axes, panel: SizePanel, values: Callable[[SizePoint], tuple[float, ...]]
) -> None:
    sizes, shown = [], []
    for family in panel.families:
        points = family.sorted_points()
        if not points:
            continue
        x = [point.num_weights for point in points]
        spreads: list[Spread] = [spread(values(point)) for point in points]
        sizes += x
        shown += [100 * limit for each in spreads for limit in (each.low, each.high)]
        style = NETWORK_STYLES[family.network].line(label=family.network, zorder=3)
        plot_spreads(axes, x, spreads, scale=100, **style)
    set_count_axis(axes, "x", sizes)
    set_percent_axis(axes, shown)
    axes.grid(visible=True)


def _add_legend(figure: Figure) -> None:
    """The families once for all panels: lines that run close leave no room for names."""
    handles: dict[str, Line2D] = {}
    for axes in figure.axes:
        for line in axes.lines:
            if line.get_label() in NETWORK_STYLES and line.get_linestyle() != "None":
                handles.setdefault(str(line.get_label()), line)
    figure.legend(
        handles=list(handles.values()),
        loc="outside upper center",
        ncols=len(handles),
        handlelength=2.4,
        columnspacing=2.0,
    )


def _fitting_points(panel: SizePanel) -> list[FittingPoint]:
    found = (fitting_point(family, panel.fit_accuracy) for family in panel.families)
    return sorted(
        (point for point in found if point is not None), key=lambda point: point.num_weights
    )


def _plot_fits(axes: Axes, panel: SizePanel, points: Sequence[FittingPoint], dashes: str) -> None:
    """One data set: a thin line through the families, each with its own mark."""
    axes.plot(
        [point.num_weights for point in points],
        [100 * point.best_test for point in points],
        color=MUTED,
        linewidth=0.8,
        linestyle=dashes,
        zorder=1.5,
        label=panel.title,
    )
    for point in points:
        style = NETWORK_STYLES[point.network]
        place = (point.num_weights, 100 * point.best_test)
        axes.plot(*place, **style.line(linestyle="", label=point.network, markersize=5, zorder=3))
        if not point.reached:
            beside = ScaledTranslation(_ARROW / 72, 0, axes.figure.dpi_scale_trans)
            axes.plot(
                *place,
                marker=">",
                markersize=3.5,
                color=style.color,
                linestyle="",
                transform=axes.transData + beside,
                label="more needed",
                zorder=3,
            )


def _data_set_labels(
    panels: Sequence[SizePanel], fits: Sequence[Sequence[FittingPoint]]
) -> list[PointLabel]:
    """The data set's name at each thin line, if there are several."""
    if len(panels) == 1:
        return []
    labels = []
    for panel, points in zip(panels, fits, strict=True):
        places = [(point.num_weights, 100 * point.best_test) for point in points]
        # The middle of a long piece of the line is where a name is not taken for a mark's.
        pieces = sorted(itertools.pairwise(places), key=lambda ends: ends[0][0] / ends[1][0])
        middles = [(math.sqrt(a * b), (low + high) / 2) for (a, low), (b, high) in pieces]
        labels.append(PointLabel(text=panel.title, anchors=[*middles, *places], color=INK))
    return labels


def _fit_note(panels: Sequence[SizePanel], points: Sequence[FittingPoint]) -> str:
    levels = ", ".join(f"{panel.title} {100 * panel.fit_accuracy:g}%" for panel in panels)
    note = f"Right: to fit is a training accuracy of at least: {levels}."
    if not all(point.reached for point in points):
        note += " An arrow head: no size trained reaches it, so more are needed."
    if any(point.is_least for point in points):
        least = ", ".join(dict.fromkeys(point.network for point in points if point.is_least))
        note += f" Fewer than the fewest trained might do for {least}."
    return note


@dataclass(frozen=True, kw_only=True)
class KernelPoint:
    """One kernel size.

    Attributes:
        kernel_size: Side of the kernel in pixels.
        test: Test accuracies, fractions, one a seed, at least one.
    """

    kernel_size: int
    test: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class MethodLine:
    """One training method.

    Attributes:
        method: A key of `METHOD_STYLES`.
        points: Its kernel sizes, in any order; without any the method is not drawn.
    """

    method: str
    points: tuple[KernelPoint, ...]


@dataclass(frozen=True, kw_only=True)
class KernelPanel:
    """All methods on one data set, named by the title."""

    title: str
    lines: tuple[MethodLine, ...]


def draw_kernel_sizes(panels: Sequence[KernelPanel], *, note: str = "") -> Figure:
    """Figure 5: test accuracy by kernel size, a panel a data set, a line a method.

    Args:
        panels: One a data set.
        note: Below the figure.

    Raises:
        ValueError: Nothing to draw.
    """
    if not panels or not all(any(line.points for line in panel.lines) for panel in panels):
        raise ValueError("panels must hold at least one panel, each with at least one kernel size")
    figure = new_figure(COLUMN_WIDTH if len(panels) == 1 else PAGE_WIDTH, 2.9)
    row = figure.subplots(1, len(panels), squeeze=False)[0]
    for axes, panel in zip(row, panels, strict=True):
        _plot_methods(axes, panel)
    row[0].set_ylabel("test accuracy (%)")
    legend_above(figure, METHOD_TITLES.values())
    counts = [len(point.test) for panel in panels for line in panel.lines for point in line.points]
    add_note(figure, note, seeds_note(counts))
    return figure


def _plot_methods(axes: Axes, panel: KernelPanel) -> None:
    sizes: set[int] = set()
    shown = []
    for line in panel.lines:
        points = sorted(line.points, key=lambda point: point.kernel_size)
        if not points:
            continue
        x = [point.kernel_size for point in points]
        spreads = [spread(point.test) for point in points]
        sizes.update(x)
        shown += [100 * limit for each in spreads for limit in (each.low, each.high)]
        style = METHOD_STYLES[line.method].line(label=METHOD_TITLES[line.method], zorder=3)
        plot_spreads(axes, x, spreads, scale=100, **style)
    axes.xaxis.set_major_locator(FixedLocator(sorted(sizes)))
    axes.set_xlim(min(sizes) - 0.7, max(sizes) + 0.7)
    set_percent_axis(axes, shown)
    axes.grid(visible=True, axis="y")
    axes.set_title(panel.title, loc="left")
    axes.set_xlabel("kernel size")
