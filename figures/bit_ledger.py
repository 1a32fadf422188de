"""Where the bits of descriptions go: of one network by layer, and of several beside each other."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, PercentFormatter
from matplotlib.transforms import ScaledTranslation

from analysis.codes.ledger import END, HEAD, Entry
from figures.style.axes import set_count_axis
from figures.style.look import INK, MUTED, PAGE_WIDTH, add_note, layer_styles, new_figure

PART_COLORS = {
    "support": "#0062a3",
    "values": "#e69f00",
    "codebook": "#b8400a",
    "scales, shifts, bias": "#3fbf8f",
    "head and end": "#8c8c8c",
}
"""In the order in which the parts are stacked."""
_ROW_HEIGHT = 0.26
_ROW = 0.27  # inches
_LEGEND_COLUMNS, _LEGEND_LINE, _LEGEND_BELOW = 3, 0.17, 0.3  # of names, and inches
_NAMED_FROM = 0.14  # share of a bar from which its percentage is written into it
_OTHER = ("#8c8c8c", "#bdbdbd")  # for parts that have no colour of their own


def new_ledger_figure(num_rows: int) -> Figure:
    """An empty figure, high enough for that many bars."""
    return new_figure(height=1.2 + _ROW_HEIGHT * num_rows)


def group_entries(entries: Sequence[Entry]) -> dict[str, dict[str, float]]:
    """Bits by layer and part, layers in the order of the ledger.

    Head and end of the codeword are one row; a layer's row holds its weights' support, values and
    codebook, and its vectors (scale, shift, bias) as one part.

    >>> group_entries([Entry("head", "network", 40.0), Entry("fc.weight", "values, patterns", 9)])
    {'head and end': {'head and end': 40.0}, 'fc': {'values': 9.0}}
    """
    rows: dict[str, dict[str, float]] = {}
    for entry in entries:
        if entry.tensor in (HEAD, END):
            row, part = "head and end", "head and end"
        else:
            row, _, field = entry.tensor.rpartition(".")
            row = row.removesuffix("_norm") or entry.tensor
            part = entry.part.split(",")[0].split(":")[0]
            if field in ("scale", "shift", "bias") or part not in PART_COLORS:
                part = "scales, shifts, bias" if field else "values"
        parts = rows.setdefault(row, {})
        parts[part] = parts.get(part, 0.0) + entry.bits
    return rows


def draw_ledger(axes: Axes, rows: dict[str, dict[str, float]], *, title: str) -> None:
    """Draw the bars.

    Args:
        axes: Where to.
        rows: From `group_entries`.
        title: Above the bars.
    """
    total = sum(sum(parts.values()) for parts in rows.values())
    names = list(rows)
    drawn: set[str] = set()
    for place, name in enumerate(names):
        left = sum(bits for _, _, bits in _stack(axes, place, rows[name], PART_COLORS, drawn))
        axes.annotate(
            f"{left:,.0f}  ({left / total:.1%})",
            (left, place),
            (4, 0),
            textcoords="offset points",
            va="center",
            fontsize=7,
            color=INK,
        )
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.margins(x=0.22)
    axes.set_xlim(left=0)
    axes.set_xlabel("bits")
    axes.set_title(title, loc="left")
    axes.grid(visible=True, axis="x")
    axes.tick_params(axis="y", length=0)
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.figure.legend(loc="outside lower left", ncols=len(PART_COLORS), labelcolor=MUTED)


@dataclass(frozen=True, kw_only=True)
class NetworkLedger:
    """One network's description.

    Attributes:
        label: Network and method.
        rows: Bits by layer and part, as `figures.bit_ledger.group_entries` gives them.
    """

    label: str
    rows: Mapping[str, Mapping[str, float]]

    def by_layer(self) -> dict[str, float]:
        """Bits of each layer."""
        return {layer: sum(parts.values()) for layer, parts in self.rows.items()}

    def by_part(self) -> dict[str, float]:
        """Bits of each part, over all layers.

        >>> rows = {"conv1": {"support": 1.0, "values": 2.0}, "fc1": {"values": 4.0}}
        >>> NetworkLedger(label="a", rows=rows).by_part()
        {'support': 1.0, 'values': 6.0}
        """
        bits: dict[str, float] = {}
        for parts in self.rows.values():
            for part, length in parts.items():
                bits[part] = bits.get(part, 0.0) + length
        return bits


def draw_ledgers(ledgers: Sequence[NetworkLedger], *, note: str = "") -> Figure:
    """A row a network: total bits on a logarithmic axis, then shares by part and by layer.

    Args:
        ledgers: One a network, drawn from the top.
        note: Below the figure.

    Raises:
        ValueError: No ledger, or one without bits.
    """
    totals = [sum(ledger.by_layer().values()) for ledger in ledgers]
    if not totals or min(totals) <= 0:
        raise ValueError("ledgers must hold at least one ledger, each with bits")
    parts, layers = _part_colors(ledgers), _layer_colors(ledgers)
    num_lines = math.ceil(max(len(parts), len(layers)) / _LEGEND_COLUMNS)
    figure = new_figure(PAGE_WIDTH, 1.05 + _ROW * len(ledgers) + _LEGEND_LINE * num_lines)
    left, middle, right = figure.subplots(1, 3, sharey=True, width_ratios=(1, 1.35, 1.35))
    _plot_totals(left, totals)
    _plot_shares(middle, [ledger.by_part() for ledger in ledgers], parts)
    _plot_shares(right, [ledger.by_layer() for ledger in ledgers], layers)
    left.set_yticks(range(len(ledgers)), [ledger.label for ledger in ledgers])
    left.set_ylim(len(ledgers) - 0.4, -0.6)
    left.set_title("Bits in all", loc="left")
    middle.set_title("Share of each part", loc="left")
    right.set_title("Share of each layer", loc="left")
    for axes in (left, middle, right):
        axes.tick_params(axis="y", length=0)
    below = ScaledTranslation(0, -_LEGEND_BELOW, figure.dpi_scale_trans)
    for axes, colors in ((middle, parts), (right, layers)):
        found = dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
        axes.legend(
            handles=[found[name] for name in colors if name in found],
            loc="upper left",
            bbox_to_anchor=(0, 0),
            bbox_transform=axes.transAxes + below,
            ncols=_LEGEND_COLUMNS,
            columnspacing=0.8,
            handlelength=1.0,
            handletextpad=0.4,
            borderaxespad=0,
            borderpad=0,
            labelcolor=MUTED,
            fontsize=6.5,
        )
    add_note(figure, note, "Shares stand in the order of the names, column by column.")
    return figure


def _plot_totals(axes: Axes, totals: Sequence[float]) -> None:
    """Dots, for the length of a bar means nothing on a logarithmic axis."""
    axes.plot(totals, range(len(totals)), "o", color=INK, markersize=4, label="total")
    set_count_axis(axes, "x", [*totals, max(totals) * 3, min(totals) / 1.5])
    number = EngFormatter(sep=" ", places=1)
    for place, total in enumerate(totals):
        axes.annotate(
            number(total),
            (total, place),
            (5, 0),
            textcoords="offset points",
            va="center",
            fontsize=6.5,
            color=INK,
        )
    axes.grid(visible=True, axis="x")


def _plot_shares(
    axes: Axes, rows: Sequence[Mapping[str, float]], colors: Mapping[str, str]
) -> None:
    """Bars of equal length, cut into shares; large shares have their percentage."""
    drawn: set[str] = set()
    for place, bits in enumerate(rows):
        total = sum(bits.values())
        shares = {name: length / total for name, length in bits.items()}
        for name, left, share in _stack(axes, place, shares, colors, drawn):
            if share >= _NAMED_FROM:
                axes.text(
                    left + share / 2,
                    place,
                    f"{100 * share:.0f}",
                    ha="center",
                    va="center_baseline",
                    fontsize=6,
                    color=_on(colors[name]),
                )
    axes.set_xlim(0, 1)
    axes.xaxis.set_major_formatter(PercentFormatter(1.0))


def _stack(
    axes: Axes, place: int, lengths: Mapping[str, float], colors: Mapping[str, str], drawn: set[str]
) -> list[tuple[str, float, float]]:
    """A bar cut into its parts, in the order of the colours.

    Args:
        axes: Where to draw.
        place: Height of the bar.
        lengths: Of the parts by name; what is 0 or not there is left out.
        colors: Of all parts.
        drawn: Names that the legend has already; those of this bar are added.

    Returns:
        Name, left end and length of each part drawn.
    """
    parts = []
    left = 0.0
    for name, color in colors.items():
        length = lengths.get(name, 0.0)
        if not length:
            continue
        axes.barh(
            place,
            length,
            left=left,
            color=color,
            height=0.72,
            edgecolor="white",
            linewidth=0.5,
            label=None if name in drawn else name,
        )
        drawn.add(name)
        parts.append((name, left, length))
        left += length
    return parts


def _on(color: str) -> str:
    """Black or white, whichever is read better on a colour."""
    red, green, blue = to_rgb(color)
    return "white" if 0.299 * red + 0.587 * green + 0.114 * blue < 0.6 else INK


def _part_colors(ledgers: Sequence[NetworkLedger]) -> dict[str, str]:
    found = dict.fromkeys(part for ledger in ledgers for part in ledger.by_part())
    known = {part: color for part, color in PART_COLORS.items() if part in found}
    others = [part for part in found if part not in PART_COLORS]
    return known | {part: _OTHER[index % 2] for index, part in enumerate(others)}


def _layer_colors(ledgers: Sequence[NetworkLedger]) -> dict[str, str]:
    """Colours from the first layer to the last; what belongs to no layer is grey."""
    found = dict.fromkeys(layer for ledger in ledgers for layer in ledger.rows)
    kinds = list(dict.fromkeys(_kind(layer) for layer in found))
    layers = sorted(
        (layer for layer in found if layer not in PART_COLORS),
        key=lambda layer: (kinds.index(_kind(layer)), [int(n) for n in re.findall(r"\d+", layer)]),
    )
    colors = {layer: style.color for layer, style in layer_styles(layers).items()}
    return colors | {layer: PART_COLORS[layer] for layer in found if layer in PART_COLORS}


def _kind(layer: str) -> str:
    """The name without its numbers: layers of one kind stand together, by number.

    >>> _kind("conv12")
    'conv'
    """
    return re.sub(r"\d+", "", layer)
