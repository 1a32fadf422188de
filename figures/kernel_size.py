"""Accuracy by kernel size, β-lasso against SGD (Figure 5)."""

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator

from figures.style.look import COLUMN_WIDTH, PAGE_WIDTH, NetworkStyle, new_figure
from figures.style.notes import add_note
from figures.style.percent_axis import set_percent_axis
from figures.style.spread import plot_spreads, seeds_note, spread

METHOD_STYLES = {
    "beta-lasso": NetworkStyle(color="#b8400a", marker="s"),
    "sgd": NetworkStyle(color="#4d4d4d", marker="o", filled=False),
}
METHOD_TITLES = {"beta-lasso": "β-lasso", "sgd": "SGD"}


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
    handles = {str(line.get_label()): line for axes in row for line in axes.lines}
    named = [handles[title] for title in METHOD_TITLES.values() if title in handles]
    figure.legend(handles=named, loc="outside upper center", ncols=len(named), handlelength=2.4)
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
