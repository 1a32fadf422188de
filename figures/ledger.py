"""Where the bits of a description go: a bar a layer, cut into its parts."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter

from analysis.codes.ledger import END, HEAD, Entry
from figures.style.look import INK, MUTED, new_figure

PART_COLORS = {
    "support": "#0062a3",
    "values": "#e69f00",
    "codebook": "#b8400a",
    "scales, shifts, bias": "#3fbf8f",
    "head and end": "#8c8c8c",
}
"""In the order in which the parts are stacked."""
_ROW_HEIGHT = 0.26


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
    drawn = set()
    for place, name in enumerate(names):
        left = 0.0
        for part, color in PART_COLORS.items():
            bits = rows[name].get(part, 0.0)
            if not bits:
                continue
            label = None if part in drawn else part
            drawn.add(part)
            axes.barh(
                place,
                bits,
                left=left,
                color=color,
                height=0.72,
                label=label,
                edgecolor="white",
                linewidth=0.5,
            )
            left += bits
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
