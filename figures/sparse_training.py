"""Exact sparse training: time, memory and screened rows by epoch, and screened rows by setting."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import (
    EngFormatter,
    FixedLocator,
    FuncFormatter,
    MaxNLocator,
    NullFormatter,
    NullLocator,
    StrMethodFormatter,
)

from figures.style.labels import EndLabel, label_ends
from figures.style.look import (
    MUTED,
    PAGE_WIDTH,
    NetworkStyle,
    add_note,
    layer_styles,
    legend_above,
    new_figure,
)

_STYLES = {
    "dense": NetworkStyle(color="#4d4d4d", marker="o", filled=False),
    "sparse": NetworkStyle(color="#b8400a", marker="s"),
}
_OTHERS = (
    NetworkStyle(color="#0062a3", marker="^"),
    NetworkStyle(color="#006b4e", marker="D", filled=False),
)
_NUM_MARKS = 10  # on a line


@dataclass(frozen=True, kw_only=True)
class RunCosts:
    """What the epochs of one run took.

    Attributes:
        label: "dense" or "sparse", or another name.
        epochs: Ascending.
        seconds: Time of each epoch; None leaves a gap.
        memory: Bytes held in each epoch; None leaves a gap.
    """

    label: str
    epochs: tuple[int, ...]
    seconds: tuple[float | None, ...]
    memory: tuple[float | None, ...]


def draw_run_costs(
    runs: Sequence[RunCosts], *, handovers: Mapping[str, int] | None = None, note: str = ""
) -> Figure:
    """Left the seconds of each epoch, right the memory, both from zero; a line a run.

    Args:
        runs: One line each.
        handovers: Epoch in which each layer became sparse, by name of the layer: upright lines.
        note: Below the figure.

    Raises:
        ValueError: No run has an epoch.
    """
    if not any(run.epochs for run in runs):
        raise ValueError("runs must hold at least one run with an epoch")
    figure = new_figure(PAGE_WIDTH, 2.9)
    left, right = figure.subplots(1, 2)
    panels = (
        (left, [run.seconds for run in runs], "seconds an epoch", EngFormatter(sep=" ")),
        (right, [run.memory for run in runs], "memory", EngFormatter(unit="B", sep=" ")),
    )
    ends: dict[Axes, list[EndLabel]] = {}
    for axes, values, name, number in panels:
        ends[axes] = _plot_runs(axes, runs, values)
        known = [value for each in values for value in each if value is not None]
        axes.set_ylim(0, 1.35 * max(known, default=1.0) or 1.0)  # room for the layers' names
        axes.yaxis.set_major_formatter(number)
        axes.set_xlabel("epoch")
        axes.set_title(name[0].upper() + name[1:], loc="left")
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True, min_n_ticks=1))
        axes.grid(visible=True, axis="y")
        _mark_handovers(axes, handovers or {})
    if handovers:
        note = f"{note} Upright lines: the layer became sparse in that epoch.".strip()
    add_note(figure, note)
    for axes, labels in ends.items():
        label_ends(axes, labels)
    return figure


def _plot_runs(
    axes: Axes, runs: Sequence[RunCosts], values: Sequence[Sequence[float | None]]
) -> list[EndLabel]:
    others = iter(_OTHERS * len(runs))
    labels = []
    for run, series in zip(runs, values, strict=True):
        style = _STYLES.get(run.label) or next(others)
        labels += _plot_line(axes, run.label, run.epochs, series, style)
    return labels


def _plot_line(
    axes: Axes,
    label: str,
    epochs: Sequence[int],
    values: Sequence[float | None],
    style: NetworkStyle,
) -> list[EndLabel]:
    """A line with gaps where there is no value, and its label where it ends, if it has a value."""
    heights = [math.nan if value is None else value for value in values]
    axes.plot(
        epochs,
        heights,
        label=label,
        **style.line(markevery=max(1, len(heights) // _NUM_MARKS), markersize=3.5, zorder=3),
    )
    known = [place for place in zip(epochs, heights, strict=True) if not math.isnan(place[1])]
    return [EndLabel(text=label, x=x, y=y, color=style.color, bold=True) for x, y in known[-1:]]


def _mark_handovers(axes: Axes, handovers: Mapping[str, int]) -> None:
    """An upright line an epoch, with the names of its layers along it."""
    by_epoch: dict[int, list[str]] = {}
    for layer, epoch in handovers.items():
        by_epoch.setdefault(epoch, []).append(layer)
    for epoch, layers in by_epoch.items():
        axes.axvline(
            epoch, color=MUTED, linestyle=":", linewidth=0.9, zorder=1.5, label="hand-over"
        )
        axes.annotate(
            ", ".join(layers),
            (epoch, 1),
            (2, -1),
            xycoords=("data", "axes fraction"),
            textcoords="offset points",
            rotation=90,
            ha="left",
            va="top",
            fontsize=6,
            color=MUTED,
        )


@dataclass(frozen=True, kw_only=True)
class LayerRecord:
    """One layer of a run with sparse layers.

    Attributes:
        layer: Its name.
        epochs: Ascending.
        screened: Share of rows screened, by epoch; None where it was not measured.
        density: Share of weights that are not zero, by epoch; None where not known.
    """

    layer: str
    epochs: tuple[int, ...]
    screened: tuple[float | None, ...]
    density: tuple[float | None, ...]


@dataclass(frozen=True, kw_only=True)
class SharePoint:
    """A setting's value, > 0, and the share of rows screened there; None if not measured."""

    value: float
    share: float | None


@dataclass(frozen=True, kw_only=True)
class LayerShares:
    """One layer over the values of a setting, in any order."""

    layer: str
    points: tuple[SharePoint, ...]


@dataclass(frozen=True, kw_only=True)
class SettingPanel:
    """Screened shares against one setting.

    Attributes:
        setting: Its name: "λ", "α", "learning rate".
        fixed: What does not vary, for instance "α = 16, lr 0.1".
        layers: One line each.
    """

    setting: str
    fixed: str
    layers: tuple[LayerShares, ...]


def draw_screened(layers: Sequence[LayerRecord], *, title: str = "", note: str = "") -> Figure:
    """Screened share by epoch above, density by epoch below, a line a layer.

    Args:
        layers: In the order of the network.
        title: Above the figure: the run.
        note: Below the figure.

    Raises:
        ValueError: No layer has an epoch with a screened share.
    """
    if not any(share is not None for layer in layers for share in layer.screened):
        raise ValueError("layers must hold at least one screened share")
    figure = new_figure(PAGE_WIDTH * 0.75, 4.2)
    top, bottom = figure.subplots(2, 1, sharex=True)
    styles = layer_styles([layer.layer for layer in layers])
    densities = [each for layer in layers for each in layer.density]
    floor = _density_floor(densities)
    ends: dict[Axes, list[EndLabel]] = {top: [], bottom: []}
    for layer in layers:
        style = styles[layer.layer]
        placed = [None if each is None else max(each, floor) for each in layer.density]
        for axes, values in ((top, layer.screened), (bottom, placed)):
            ends[axes] += _plot_line(axes, layer.layer, layer.epochs, _percents(values), style)
    _set_share_axis(top)
    top.set_ylabel("rows screened (%)")
    _set_density_axis(bottom, densities)
    bottom.set_ylabel("density (%)")
    bottom.xaxis.set_major_locator(MaxNLocator(8, integer=True, min_n_ticks=1))
    bottom.set_xlabel("epoch")
    if title:
        top.set_title(title, loc="left")
    for axes in (top, bottom):
        axes.grid(visible=True)
    figure.align_ylabels()
    add_note(figure, note)
    for axes, labels in ends.items():
        label_ends(axes, labels)
    return figure


def draw_screened_by_setting(panels: Sequence[SettingPanel], *, note: str = "") -> Figure:
    """Screened share against each setting on a logarithmic axis, a line a layer.

    Args:
        panels: Side by side, one a setting.
        note: Below the figure.

    Raises:
        ValueError: No panel, or one without a share.
    """
    if not panels or not all(
        any(point.share is not None for layer in panel.layers for point in layer.points)
        for panel in panels
    ):
        raise ValueError("panels must hold at least one panel, each with at least one share")
    figure = new_figure(PAGE_WIDTH, 2.7)
    row = figure.subplots(1, len(panels), squeeze=False, sharey=True)[0]
    styles = layer_styles([layer.layer for panel in panels for layer in panel.layers])
    for axes, panel in zip(row, panels, strict=True):
        values = set()
        for layer in panel.layers:
            points = sorted(layer.points, key=lambda point: point.value)
            x = [point.value for point in points]
            values.update(x)
            axes.plot(
                x,
                _percents([point.share for point in points]),
                label=layer.layer,
                **styles[layer.layer].line(clip_on=False, zorder=3),
            )
        _set_setting_axis(axes, sorted(values))
        axes.set_xlabel(panel.setting)
        axes.set_title(panel.fixed, loc="left", fontweight="normal", fontsize=7.5)
        axes.grid(visible=True)
    _set_share_axis(row[0])
    row[0].set_ylabel("rows screened (%)")
    legend_above(figure, styles)
    add_note(figure, note)
    return figure


def _percents(values: Sequence[float | None]) -> list[float]:
    """Percent, with a gap where there is no value."""
    return [math.nan if value is None else 100 * value for value in values]


def _set_share_axis(axes: Axes) -> None:
    axes.set_ylim(-4, 104)
    axes.yaxis.set_major_locator(FixedLocator([0, 25, 50, 75, 100]))


def _density_floor(densities: Sequence[float | None]) -> float:
    """Where a density of 0 stands: below the decade of the smallest one."""
    smallest = min((each for each in densities if each), default=0.01)
    return float(10 ** (math.floor(math.log10(smallest)) - 0.7))


def _set_density_axis(axes: Axes, densities: Sequence[float | None]) -> None:
    """Logarithmic, with plain numbers; a density of 0 stands at the bottom, named 0."""
    known = [100 * each for each in densities if each is not None]
    positive = [each for each in known if each > 0]
    if not positive:
        return
    low, high = math.log10(min(positive)), max(2.0, math.log10(max(positive)))
    decades = range(math.floor(low), math.ceil(high) + 1)
    steps = (1, 2, 5) if high - low < 2 else (1,)
    floor = 100 * _density_floor(densities)
    zeros = any(each == 0 for each in known)
    axes.set_yscale("log")
    axes.set_ylim(floor / 1.3 if zeros else 10 ** (low - 0.1), 10 ** (high + 0.1))
    ticks = [step * 10.0**decade for decade in decades for step in steps]
    axes.yaxis.set_major_locator(FixedLocator([tick for tick in ticks if tick > floor]))
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.yaxis.set_minor_locator(NullLocator())
    if zeros:
        axes.set_yticks([floor], labels=["0"], minor=True)


def _set_setting_axis(axes: Axes, values: Sequence[float]) -> None:
    """Logarithmic, named at the values that were tried, but not closer than names are wide."""
    axes.set_xscale("log")
    low, high = math.log10(values[0]), math.log10(values[-1])
    margin = max(0.05 * (high - low), 0.08)
    axes.set_xlim(10 ** (low - margin), 10 ** (high + margin))
    named: list[float] = []
    for value in values:
        if not named or math.log10(value / named[-1]) >= (high - low) / 5.5:
            named.append(value)
    axes.xaxis.set_major_locator(FixedLocator(named))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: setting_text(value)))
    axes.xaxis.set_minor_locator(FixedLocator([value for value in values if value not in named]))
    axes.xaxis.set_minor_formatter(NullFormatter())


def setting_text(value: float) -> str:
    """Short: 0.1, 64, 1e-5.

    >>> setting_text(0.1), setting_text(64), setting_text(2e-5)
    ('0.1', '64', '2e-5')
    """
    text = f"{value:g}" if value >= 1e-3 else f"{value:.6e}"
    if "e" in text:
        digits, _, power = text.partition("e")
        text = f"{float(digits):g}e{power}"
    return text.replace("e-0", "e-").replace("e+0", "e")
