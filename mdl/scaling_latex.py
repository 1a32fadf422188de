"""The tables of `mdl scaling --latex`: Tables 3 and 4, their totals, and Table 1's sizes."""

import sympy

from analysis.formula_text import to_latex
from analysis.printed_formulas import APPROXIMATE_TOTALS
from analysis.scaling import SLIP_REASONS, Comparison
from analysis.scaling_report import ScalingReport
from mdl.latex import booktabs, escape
from mdl.scaling_tables import (
    TABLE_NUMBERS,
    format_number,
    slips_present,
    slips_text,
    width_text,
)

_FAMILIES = {"d": "deep", "s": "shallow"}
_DAGGER = r"$^{\dagger}$"


def render_latex(report: ScalingReport) -> str:
    """Every table, ready for a document that loads booktabs."""
    tables = [_layers_table(report, family) for family in TABLE_NUMBERS]
    return "\n\n".join(
        ["% needs \\usepackage{booktabs}", *tables, _totals_table(report), _published_table(report)]
    )


def _layers_table(report: ScalingReport, family: str) -> str:
    """Formulas a layer; a network with a slip has a column as printed beside the exact one."""
    heads, columns = ["Layer"], []
    networks = {
        name: network for name, network in report.networks.items() if name.startswith(f"{family}-")
    }
    layers = [row.layer for row in networks[f"{family}-conv"].layers]
    for name, network in networks.items():
        if any(row.slips for row in network.layers):
            heads.append(f"{escape(name)}, as printed")
            columns.append([_printed_cell(row) for row in network.layers])
            heads.append(f"{escape(name)}, exact")
        else:
            heads.append(escape(name))
        columns.append([_math(row.exact) for row in network.layers])
    rows = list(zip(layers, *columns, strict=True))
    caption = (
        f"Weights of the {_FAMILIES[family]} networks by layer (the paper's Table "
        f"{TABLE_NUMBERS[family]}) at {_image(report)}."
    )
    if len(heads) > 1 + len(networks):
        caption += r" \textsuperscript{$\dagger$}: differs from the exact number."
    return booktabs(
        heads, [rows], alignment="l" * len(heads), caption=caption, label=f"tab:weights-{family}"
    )


def _totals_table(report: ScalingReport) -> str:
    groups = []
    for family in TABLE_NUMBERS:
        rows = []
        for name, network in report.networks.items():
            total = network.total
            if not name.startswith(f"{family}-") or total.printed is None:
                continue
            sign = r"$\approx$ " if name in APPROXIMATE_TOTALS else ""
            rows.append(
                (escape(name), escape(width_text(report, name)), "printed",
                 sign + _math(total.printed), format_number(total.num_printed),
                 slips_text(total.slips))
            )  # fmt: skip
            rows.append(("", "", "exact", _math(total.exact), format_number(total.num_exact), ""))
        groups.append(rows)
    others = [
        (escape(name), escape(width_text(report, name)), "exact", _math(network.total.exact),
         format_number(network.total.num_exact), "")
        for name, network in report.networks.items()
        if network.total.printed is None
    ]  # fmt: skip
    reasons = " ".join(
        f"{escape(slip.value.capitalize())}: {escape(SLIP_REASONS[slip])}."
        for slip in slips_present(report)
    )
    return booktabs(
        ("Network", "Width", "", "Weights", "Number", "Differs"),
        [*groups, others],
        alignment="llllrl",
        caption=f"Weights without biases and BatchNorm at {_image(report)}. {reasons}",
        label="tab:weights-total",
    )


def _published_table(report: ScalingReport) -> str:
    rows = [
        (escape(row.network), escape(row.column), row.millions, f"{row.num_exact / 1e6:.2f}",
         "" if row.slip is None else escape(row.slip.value))
        for row in report.published
    ]  # fmt: skip
    return booktabs(
        ("Network", "Column", "Printed (M)", "Exact (M)", "Differs"),
        [rows],
        alignment="llrrl",
        caption="Sizes in Table 1 and exact ones, in millions of weights, at $s = 32$, $c = 10$.",
        label="tab:published-sizes",
    )


def _printed_cell(row: Comparison) -> str:
    if row.printed is None:
        return "--"
    return _math(row.printed) + (_DAGGER if row.slips else "")


def _math(formula: sympy.Expr) -> str:
    return f"${to_latex(formula)}$"


def _image(report: ScalingReport) -> str:
    return (
        f"$s = {report.image_size}$, $c = {report.num_classes}$ and "
        f"{report.in_channels} input channel{'s' if report.in_channels != 1 else ''}"
    )
