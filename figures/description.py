"""Accuracy against the length of the description: the view of minimum description length."""

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from figures.style.axes import set_count_axis, set_percent_axis
from figures.style.labels import PointLabel, place_labels
from figures.style.look import MUTED, NETWORK_STYLES, PAGE_WIDTH, add_note, new_figure
from figures.style.spread import Spread, seeds_note, spread


@dataclass(frozen=True, kw_only=True)
class DescribedNetwork:
    """A network trained by one method, with one value a seed in each tuple.

    Attributes:
        network: Its name, a key of `NETWORK_STYLES`.
        label: What is written at the mark: network and method.
        num_bits: Lengths of the description, at least one.
        test: Test accuracies, fractions, as many.
        bounds: Bounds on the true error that the lengths prove, as many, or none.
        method: "beta-lasso" puts a ring around the mark.
    """

    network: str
    label: str
    num_bits: tuple[float, ...]
    test: tuple[float, ...]
    bounds: tuple[float, ...] = ()
    method: str = ""


def draw_description(
    networks: Sequence[DescribedNetwork],
    *,
    bits_name: str = "description length (bits)",
    num_classes: int | None = None,
    note: str = "",
) -> Figure:
    """Test accuracy by bits; where there are bounds, below it the accuracy that they prove.

    Args:
        networks: One mark each.
        bits_name: Name of the horizontal axis.
        num_classes: If given, a line at the accuracy of chance beside the proved ones.
        note: Below the figure.

    Raises:
        ValueError: Nothing to draw, or tuples of a network that differ in length.
    """
    if not networks:
        raise ValueError("networks must hold at least one network")
    for each in networks:
        if len(each.test) != len(each.num_bits) or len(each.bounds) not in (0, len(each.num_bits)):
            raise ValueError(f"{each.label}: num_bits, test and bounds must have a value a seed")
    has_bounds = any(each.bounds for each in networks)
    figure = new_figure(PAGE_WIDTH * 0.75, 4.4 if has_bounds else 3.2)
    ratios = (3, 1.3) if has_bounds else (1,)
    column = figure.subplots(len(ratios), 1, squeeze=False, sharex=True, height_ratios=ratios)[:, 0]
    top = column[0]
    for each in networks:
        _plot_mark(top, each, each.test)
    set_count_axis(top, "x", [bits for each in networks for bits in each.num_bits])
    set_percent_axis(top, [100 * test for each in networks for test in each.test])
    top.grid(visible=True)
    top.set_ylabel("test accuracy (%)")
    if has_bounds:
        _plot_proved(column[1], networks, num_classes)
    column[-1].set_xlabel(bits_name)
    figure.align_ylabels()
    ring = any(each.method == "beta-lasso" for each in networks)
    add_note(
        figure,
        note,
        "A ring: trained by β-lasso." if ring else "",
        seeds_note([len(each.test) for each in networks]),
    )
    place_labels(
        top,
        [
            PointLabel(
                text=each.label,
                anchors=[(spread(each.num_bits).mean, 100 * spread(each.test).mean)],
                color=NETWORK_STYLES[each.network].color,
            )
            for each in networks
        ],
    )
    return figure


def _plot_mark(axes: Axes, one: DescribedNetwork, values: Sequence[float]) -> None:
    """The mean of a network's values, with bars over the seeds both ways."""
    style = NETWORK_STYLES[one.network]
    bits, height = spread(one.num_bits), spread([100 * value for value in values])
    if one.method == "beta-lasso":
        axes.plot(
            bits.mean,
            height.mean,
            marker="o",
            markersize=11,
            markerfacecolor="none",
            color=style.color,
            markeredgewidth=0.8,
            linestyle="",
            zorder=2.5,
            label=one.label,
        )
    axes.plot(
        bits.mean,
        height.mean,
        **style.line(linestyle="", markersize=5.5, label=one.label, zorder=3),
    )
    if len(values) > 1:
        axes.errorbar(
            bits.mean,
            height.mean,
            xerr=_reach(bits),
            yerr=_reach(height),
            fmt="none",
            ecolor=style.color,
            elinewidth=0.8,
            zorder=2.9,
        )


def _reach(values: Spread) -> list[list[float]]:
    return [[values.mean - values.low], [values.high - values.mean]]


def _plot_proved(axes: Axes, networks: Sequence[DescribedNetwork], num_classes: int | None) -> None:
    """1 - bound in percent: what the description proves, in the same marks."""
    for each in networks:
        if each.bounds:
            _plot_mark(axes, each, [max(0.0, 1 - bound) for bound in each.bounds])
    shown = [100 * max(0.0, 1 - bound) for each in networks for bound in each.bounds]
    if num_classes is not None:
        axes.axhline(
            100 / num_classes, color=MUTED, linestyle=":", linewidth=1.0, label="chance", zorder=1.5
        )
        axes.annotate(
            "chance",
            (1, 100 / num_classes),
            (-2, 2),
            xycoords=("axes fraction", "data"),
            textcoords="offset points",
            ha="right",
            va="bottom",
            fontsize=6.5,
            color=MUTED,
        )
        shown.append(100 / num_classes)
    set_percent_axis(axes, [0.0, *shown])
    axes.grid(visible=True)
    axes.set_ylabel("proved\naccuracy (%)")
