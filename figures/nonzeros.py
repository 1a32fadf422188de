"""Nonzeros of each layer of a trained network beside the sizes of its twins (Figure 3)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter

from figures.style.log_axes import log_places, set_count_axis
from figures.style.look import COLUMN_WIDTH, INK, MUTED, NETWORK_STYLES, PAGE_WIDTH, new_figure
from figures.style.notes import add_note
from figures.style.point_labels import PointLabel, place_labels
from figures.style.spread import plot_spreads, seeds_note, spread

_ROOM = 2.5  # times: room below the lowest mark for its number
_TRAINED = "s-fc"  # the style of the marks
_DASHES = {"s-conv": (0, (4, 2)), "s-local": (0, (1.5, 1.5))}


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
        share = f"{percent:.2g} %" if percent < 99.5 else f"{percent:.0f} %"
        text = f"{number(mean)}\n{share}" if mean >= 1000 else f"{mean:.0f}\n{share}"
        place = (index, max(mean, zero))
        labels.append(PointLabel(text=text, anchors=[place], color=INK, size=6.5))
    return labels
