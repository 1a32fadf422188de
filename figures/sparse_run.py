"""Time and memory by epoch, dense against sparse, with the moments of the hand-overs."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, MaxNLocator

from figures.style.end_labels import EndLabel, label_ends
from figures.style.look import MUTED, PAGE_WIDTH, NetworkStyle, new_figure
from figures.style.notes import add_note

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
        axes.set_ylim(0, 1.12 * max(known, default=1.0) or 1.0)
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
        heights = [math.nan if value is None else value for value in series]
        axes.plot(
            run.epochs,
            heights,
            label=run.label,
            **style.line(markevery=max(1, len(heights) // _NUM_MARKS), markersize=3.5, zorder=3),
        )
        known = [
            place for place in zip(run.epochs, heights, strict=True) if not math.isnan(place[1])
        ]
        if known:
            x, y = known[-1]
            labels.append(EndLabel(text=run.label, x=x, y=y, color=style.color, bold=True))
    return labels


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
            (epoch, 0),
            (2, 3),
            xycoords=("data", "axes fraction"),
            textcoords="offset points",
            rotation=90,
            ha="left",
            va="bottom",
            fontsize=6,
            color=MUTED,
        )
