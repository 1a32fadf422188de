"""How local the learned filters are, by training method: radius against chance, and their ratio."""

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from figures.style.look import INK, MUTED, NETWORK_STYLES, PAGE_WIDTH, add_note, new_figure

_ROW = 0.36  # inches
_BETWEEN_SEEDS = 0.26  # of a row, from one seed to the next, or less if there are many
_WITHIN = 0.6  # of a row, that all seeds together take at most
_READING = (
    "Radius: half of a filter's mass lies within, median over filters. By chance: the same filter "
    "with its pixels shuffled. Ratio: median over filters, bar: its interval at 95%. "
    "Local: more so than 95% of the filter's own shuffles."
)


@dataclass(frozen=True, kw_only=True)
class MeasuredLocality:
    """Locality of one network's filters, as `analysis.filters.locality.LocalitySummary` has it.

    Attributes:
        radius: Median half-mass radius in pixels.
        chance_radius: Of the same filters with shuffled pixels.
        ratio: Median of their ratio; below 1 is local.
        ratio_interval: Its interval at 95%.
        local_share: Share of filters that are local at the 5% level.
        num_filters: Filters measured.
    """

    radius: float
    chance_radius: float
    ratio: float
    ratio_interval: tuple[float, float]
    local_share: float
    num_filters: int


@dataclass(frozen=True, kw_only=True)
class LocalityRow:
    """A network trained by one method.

    Attributes:
        label: Network and method.
        network: The network's name, a key of `NETWORK_STYLES`.
        runs: One a seed; none is written as "not run".
    """

    label: str
    network: str
    runs: tuple[MeasuredLocality, ...]


def draw_locality(rows: Sequence[LocalityRow], *, note: str = "") -> Figure:
    """Left the radii beside those of chance, right their ratio with its interval.

    Args:
        rows: From the top.
        note: Below the figure.

    Raises:
        ValueError: No row has a run.
    """
    if not any(row.runs for row in rows):
        raise ValueError("rows must hold at least one row with a run")
    figure = new_figure(PAGE_WIDTH, 1.45 + _ROW * len(rows))
    left, right = figure.subplots(1, 2, sharey=True)
    for place, row in enumerate(rows):
        if not row.runs:
            left.annotate(
                "not run",
                (0, place),
                (4, 0),
                xycoords=("axes fraction", "data"),
                textcoords="offset points",
                va="center",
                fontsize=7,
                color=MUTED,
                style="italic",
            )
        step = min(_BETWEEN_SEEDS, _WITHIN / max(1, len(row.runs) - 1))
        for index, run in enumerate(row.runs):
            height = place + (index - (len(row.runs) - 1) / 2) * step
            _plot_radii(left, row, run, height)
            _plot_ratio(right, row, run, height)
        if row.runs:
            _name_share(right, row, place)
    left.set_yticks(range(len(rows)), [row.label for row in rows])
    left.set_ylim(len(rows) - 0.4, -0.6)
    runs = [run for row in rows for run in row.runs]
    left.set_xlim(0, 1.08 * max(max(run.radius, run.chance_radius) for run in runs))
    left.set_xlabel("half-mass radius (pixels)")
    left.set_title("Filled: learned.  Ring: by chance", loc="left")
    right.axvline(1, color=INK, linestyle=":", linewidth=1.0, label="chance")
    right.set_xlim(0, max(1.08, 1.08 * max(run.ratio_interval[1] for run in runs)))
    right.set_xlabel("radius / radius by chance")
    right.set_title("Below 1: local", loc="left")
    for axes in (left, right):
        axes.grid(visible=True, axis="x")
        axes.tick_params(axis="y", length=0)
    seeds = "One mark a seed." if any(len(row.runs) > 1 for row in rows) else ""
    add_note(figure, note, _READING, seeds)
    return figure


def _plot_radii(axes: Axes, row: LocalityRow, run: MeasuredLocality, height: float) -> None:
    style = NETWORK_STYLES[row.network]
    axes.plot(
        [run.radius, run.chance_radius],
        [height, height],
        color="#c4c4c4",
        linewidth=1.2,
        zorder=1.5,
        label="from learned to chance",
    )
    axes.plot(
        run.radius,
        height,
        marker=style.marker,
        color=style.color,
        linestyle="",
        markersize=5,
        label=row.label,
        zorder=3,
    )
    axes.plot(
        run.chance_radius,
        height,
        marker="o",
        color=MUTED,
        markerfacecolor="white",
        linestyle="",
        markersize=4.5,
        label="by chance",
        zorder=2.5,
    )


def _plot_ratio(axes: Axes, row: LocalityRow, run: MeasuredLocality, height: float) -> None:
    style = NETWORK_STYLES[row.network]
    low, high = run.ratio_interval
    axes.plot(
        [low, high],
        [height, height],
        color=style.color,
        linewidth=1.6,
        zorder=2.5,
        label="interval",
        marker="|",
        markersize=4,
    )
    axes.plot(
        run.ratio,
        height,
        marker=style.marker,
        color=style.color,
        linestyle="",
        markersize=5,
        label=row.label,
        zorder=3,
    )


def _name_share(axes: Axes, row: LocalityRow, place: int) -> None:
    """At the right of a row, how many of its filters are local on their own."""
    shares = [100 * run.local_share for run in row.runs]
    low, high = round(min(shares)), round(max(shares))
    text = f"{low}% local" if low == high else f"{low} to {high}% local"
    axes.annotate(
        text,
        (1, place),
        (4, 0),
        xycoords=("axes fraction", "data"),
        textcoords="offset points",
        va="center",
        fontsize=6.5,
        color=MUTED,
        annotation_clip=False,
    )
