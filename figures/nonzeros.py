"""Nonzeros of each layer: beside the sizes of its twins (Figure 3), and while it is trained."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, MaxNLocator

from figures.style.axes import log_places, set_count_axis, zero_place
from figures.style.labels import EndLabel, PointLabel, label_ends, place_labels
from figures.style.look import (
    COLUMN_WIDTH,
    INK,
    MUTED,
    NETWORK_STYLES,
    PAGE_WIDTH,
    NetworkStyle,
    add_note,
    layer_styles,
    new_figure,
)
from figures.style.spread import plot_spreads, seeds_note, spread

_ROOM = 2.5  # times: room below the lowest mark for its number
_TRAINED = "s-fc"  # the style of the marks
_DASHES = {"s-conv": (0, (4, 2)), "s-local": (0, (1.5, 1.5))}
_NUM_MARKS = 8  # on a line


@dataclass(frozen=True, kw_only=True)
class TrainedNonzeros:
    """One trained network, or one with several seeds.

    Attributes:
        label: What tells it apart: the data set, or the training method.
        num_nonzeros: Nonzeros of the panel's layer, one a seed, at least one.
    """

    label: str
    num_nonzeros: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class LayerPanel:
    """One layer.

    Attributes:
        layer: Its name.
        num_weights: Weights of the layer in s-fc, all of them.
        references: Weights of the layer in other networks, by name of the network.
        trained: One mark each.
    """

    layer: str
    num_weights: int
    references: Mapping[str, int]
    trained: tuple[TrainedNonzeros, ...]


def draw_nonzeros(panels: Sequence[LayerPanel], *, note: str = "") -> Figure:
    """Figure 3: a panel a layer, with dashed lines at the sizes of s-conv's and s-local's layer.

    All panels have one logarithmic axis, so equal distances are equal ratios. A stem leads from
    the dense size to each mark. A layer without nonzeros stands at 0, one decade below the rest.

    Args:
        panels: One a layer.
        note: Below the figure.

    Raises:
        ValueError: Nothing to draw.
    """
    if not panels or not all(panel.trained for panel in panels):
        raise ValueError("panels must hold at least one panel, each with at least one network")
    figure = new_figure(max(COLUMN_WIDTH, PAGE_WIDTH * min(1, len(panels) / 3)), 3.1)
    row = figure.subplots(1, len(panels), squeeze=False, sharey=True)[0]
    everything = [count for panel in panels for count in _counts(panel)]
    zero = min(log_places([0, *everything]))
    for axes, panel in zip(row, panels, strict=True):
        _plot_panel(axes, panel, zero)
    set_count_axis(row[0], "y", [*everything, min(filter(None, everything)) / _ROOM])
    row[0].set_ylabel("nonzero weights")
    counts = [len(each.num_nonzeros) for panel in panels for each in panel.trained]
    add_note(figure, note, seeds_note(counts))
    for axes, panel in zip(row, panels, strict=True):
        place_labels(axes, _labels(panel, zero))
    return figure


def _counts(panel: LayerPanel) -> list[int]:
    trained = [count for each in panel.trained for count in each.num_nonzeros]
    return [panel.num_weights, *panel.references.values(), *trained]


def _plot_panel(axes: Axes, panel: LayerPanel, zero: float) -> None:
    for index, each in enumerate(panel.trained):
        mean = max(spread(each.num_nonzeros).mean, zero)
        axes.plot(
            [index, index],
            [panel.num_weights, mean],
            color="#c9c9c9",
            linewidth=1.0,
            zorder=1.5,
            label="stem",
        )
        style = NETWORK_STYLES[_TRAINED].line(linestyle="", label=each.label, zorder=3)
        places = [max(count, zero) for count in each.num_nonzeros]
        bar = spread(places)
        plot_spreads(axes, [index], [bar], **style | {"markersize": 5})
    for name, size in panel.references.items():
        axes.axhline(
            size,
            color=NETWORK_STYLES[name].color,
            linestyle=_DASHES.get(name, "--"),
            linewidth=1.1,
            zorder=2,
            label=name,
        )
    axes.axhline(panel.num_weights, color=MUTED, linewidth=0.8, zorder=1.8, label=_TRAINED)
    axes.set_xticks(range(len(panel.trained)), [each.label for each in panel.trained])
    axes.tick_params(axis="x", length=0)
    axes.set_xlim(-0.6, len(panel.trained) - 0.4)
    axes.set_title(panel.layer, loc="left")
    axes.grid(visible=True, axis="y")


def _labels(panel: LayerPanel, zero: float) -> list[PointLabel]:
    """Counts at the marks, and names at the lines; lines at one height share a name."""
    number = EngFormatter(sep=" ", places=1)
    labels = []
    by_size: dict[int, list[str]] = {}
    for name, size in (*panel.references.items(), (_TRAINED, panel.num_weights)):
        by_size.setdefault(size, []).append(name)
    for size, names in by_size.items():
        color = NETWORK_STYLES[names[0]].color if names != [_TRAINED] else MUTED
        text = " = ".join(names)
        if names == [_TRAINED]:
            text += ", all weights"
        middle = (len(panel.trained) - 1) / 2
        places = [(x, size) for x in (middle, middle - 0.3, middle + 0.3, -0.3, 2 * middle + 0.3)]
        labels.append(PointLabel(text=text, anchors=places, color=color, size=6.5))
    for index, each in enumerate(panel.trained):
        mean = spread(each.num_nonzeros).mean
        percent = 100 * mean / panel.num_weights
        share = f"{percent:.2g}%" if percent < 99.5 else f"{percent:.0f}%"
        text = f"{number(mean)}\n{share}" if mean >= 1000 else f"{mean:.0f}\n{share}"
        place = (index, max(mean, zero))
        labels.append(PointLabel(text=text, anchors=[place], color=INK, size=6.5))
    return labels


@dataclass(frozen=True, kw_only=True)
class LayerCurve:
    """One layer of one run.

    Attributes:
        layer: Its name.
        epochs: Ascending.
        num_nonzeros: At each epoch; None leaves a gap.
        references: Weights of the same layer in other networks, by name of the network: dashed.
    """

    layer: str
    epochs: tuple[int, ...]
    num_nonzeros: tuple[int | None, ...]
    references: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class NonzerosHistory:
    """One run, named by the title, and its layers in the order of the network."""

    title: str
    curves: tuple[LayerCurve, ...]


def draw_nonzeros_history(histories: Sequence[NonzerosHistory], *, note: str = "") -> Figure:
    """Nonzeros by layer over the epochs, a panel a run, on one logarithmic axis.

    Args:
        histories: One a run.
        note: Below the figure.

    Raises:
        ValueError: Nothing to draw.
    """
    if not histories or not all(_history_counts(history) for history in histories):
        raise ValueError("histories must hold at least one run, each with at least one count")
    figure = new_figure(PAGE_WIDTH, 3.2)
    row = figure.subplots(1, len(histories), squeeze=False, sharey=True)[0]
    everything = [count for history in histories for count in _history_counts(history)]
    zero = zero_place(everything)
    styles = layer_styles([curve.layer for history in histories for curve in history.curves])
    for axes, history in zip(row, histories, strict=True):
        _plot_history(axes, history, styles, zero)
    set_count_axis(row[0], "y", everything)
    row[0].set_ylabel("nonzero weights")
    add_note(figure, note)
    sizes = [{curve.layer: dict(curve.references) for curve in each.curves} for each in histories]
    for index, (axes, history) in enumerate(zip(row, histories, strict=True)):
        # Lines that go on at the same height in the next panel are named there.
        named = index + 1 == len(sizes) or sizes[index] != sizes[index + 1]
        label_ends(axes, _history_labels(axes, history, styles, zero=zero, with_references=named))
    return figure


def _history_counts(history: NonzerosHistory) -> list[int]:
    counts = [
        count for curve in history.curves for count in curve.num_nonzeros if count is not None
    ]
    references = [size for curve in history.curves for size in curve.references.values()]
    return [*counts, *references] if counts else []


def _plot_history(
    axes: Axes, history: NonzerosHistory, styles: Mapping[str, NetworkStyle], zero: float
) -> None:
    for curve in history.curves:
        style = styles[curve.layer]
        places = [
            float("nan") if count is None else max(count, zero) for count in curve.num_nonzeros
        ]
        axes.plot(
            curve.epochs,
            places,
            label=curve.layer,
            **style.line(markevery=max(1, len(places) // _NUM_MARKS), markersize=3.5, zorder=3),
        )
        for size in dict.fromkeys(curve.references.values()):
            axes.axhline(
                size,
                color=style.color,
                linestyle=(0, (4, 2)),
                linewidth=0.9,
                zorder=1.5,
                label=f"{curve.layer} of {_twin_names(curve, size)}",
            )
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True, min_n_ticks=1))
    epochs = [epoch for curve in history.curves for epoch in curve.epochs]
    reach = max(0.5, 0.03 * (max(epochs) - min(epochs)))
    axes.set_xlim(min(epochs) - reach, max(epochs) + reach)
    axes.set_xlabel("epoch")
    axes.set_title(history.title, loc="left")
    axes.grid(visible=True, axis="y")


def _twin_names(curve: LayerCurve, size: int) -> str:
    """The networks whose layer has that size.

    >>> curve = LayerCurve(layer="fc1", epochs=(), num_nonzeros=(), references={"a": 2, "b": 2})
    >>> _twin_names(curve, 2)
    'a, b'
    """
    return ", ".join(name for name, other in curve.references.items() if other == size)


def _history_labels(
    axes: Axes,
    history: NonzerosHistory,
    styles: Mapping[str, NetworkStyle],
    *,
    zero: float,
    with_references: bool,
) -> list[EndLabel]:
    right = axes.get_xlim()[1]
    labels = []
    for curve in history.curves:
        known = [
            (epoch, count)
            for epoch, count in zip(curve.epochs, curve.num_nonzeros, strict=True)
            if count is not None
        ]
        color = styles[curve.layer].color
        if known:
            epoch, count = known[-1]
            labels.append(
                EndLabel(text=curve.layer, x=epoch, y=max(count, zero), color=color, bold=True)
            )
        for size in dict.fromkeys(curve.references.values() if with_references else ()):
            text = f"{_twin_names(curve, size)} {curve.layer}"
            labels.append(EndLabel(text=text, x=right, y=size, color=MUTED))
    return labels
