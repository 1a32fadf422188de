"""Nonzeros of each layer while a network is trained."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from figures.style.end_labels import EndLabel, label_ends
from figures.style.layer_styles import layer_styles
from figures.style.log_axes import set_count_axis, zero_place
from figures.style.look import MUTED, PAGE_WIDTH, NetworkStyle, new_figure
from figures.style.notes import add_note

_NUM_MARKS = 8  # on a line


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
    if not histories or not all(_counts(history) for history in histories):
        raise ValueError("histories must hold at least one run, each with at least one count")
    figure = new_figure(PAGE_WIDTH, 3.2)
    row = figure.subplots(1, len(histories), squeeze=False, sharey=True)[0]
    everything = [count for history in histories for count in _counts(history)]
    zero = zero_place(everything)
    styles = layer_styles([curve.layer for history in histories for curve in history.curves])
    for axes, history in zip(row, histories, strict=True):
        _plot_run(axes, history, styles, zero)
    set_count_axis(row[0], "y", everything)
    row[0].set_ylabel("nonzero weights")
    add_note(figure, note)
    sizes = [{curve.layer: dict(curve.references) for curve in each.curves} for each in histories]
    for index, (axes, history) in enumerate(zip(row, histories, strict=True)):
        # Lines that go on at the same height in the next panel are named there.
        named = index + 1 == len(sizes) or sizes[index] != sizes[index + 1]
        label_ends(axes, _labels(axes, history, styles, zero=zero, with_references=named))
    return figure


def _counts(history: NonzerosHistory) -> list[int]:
    counts = [
        count for curve in history.curves for count in curve.num_nonzeros if count is not None
    ]
    references = [size for curve in history.curves for size in curve.references.values()]
    return [*counts, *references] if counts else []


def _plot_run(
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
                label=f"{curve.layer} of {_names(curve, size)}",
            )
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True, min_n_ticks=1))
    epochs = [epoch for curve in history.curves for epoch in curve.epochs]
    reach = max(0.5, 0.03 * (max(epochs) - min(epochs)))
    axes.set_xlim(min(epochs) - reach, max(epochs) + reach)
    axes.set_xlabel("epoch")
    axes.set_title(history.title, loc="left")
    axes.grid(visible=True, axis="y")


def _names(curve: LayerCurve, size: int) -> str:
    """The networks whose layer has that size.

    >>> curve = LayerCurve(layer="fc1", epochs=(), num_nonzeros=(), references={"a": 2, "b": 2})
    >>> _names(curve, 2)
    'a, b'
    """
    return ", ".join(name for name, other in curve.references.items() if other == size)


def _labels(
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
            text = f"{_names(curve, size)} {curve.layer}"
            labels.append(EndLabel(text=text, x=right, y=size, color=MUTED))
    return labels
