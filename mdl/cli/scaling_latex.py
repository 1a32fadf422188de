"""`mdl scaling --latex`: Tables 3 and 4, their totals and Table 1's sizes, with booktabs."""

from collections.abc import Sequence

import sympy

from analysis.scaling.formulas import APPROXIMATE_TOTALS, to_latex
from analysis.scaling.report import ScalingReport
from analysis.scaling.scaling import SLIP_REASONS, Comparison, Slip
from mdl.terminal.scaling_tables import TABLE_NUMBERS, format_number, slips_text

_SPECIAL = str.maketrans(
    {
        "&": r"\&",
        "%": r"\%",
        "#": r"\#",
        "_": r"\_",
        "$": r"\$",
        "{": r"\{",
        "}": r"\}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "\\": r"\textbackslash{}",
        "α": r"$\alpha$",
        "≈": r"$\approx$",
        "²": r"$^{2}$",
        "·": r"$\cdot$",
        "×": r"$\times$",
        "⌈": r"$\lceil$",
        "⌉": r"$\rceil$",
    }
)

_FAMILIES = {"d": "deep", "s": "shallow"}
_DAGGER = r"\textsuperscript{$\dagger$}"


def escape(text: str) -> str:
    r"""Text as LaTeX prints it, its special characters and the symbols in use made safe.

    >>> escape("13% of α")
    '13\\% of $\\alpha$'
    """
    return text.translate(_SPECIAL)


def booktabs(
    columns: Sequence[str],
    groups: Sequence[Sequence[Sequence[str]]],
    *,
    alignment: str,
    caption: str,
    label: str,
) -> str:
    """One table environment.

    Args:
        columns: Heads of the columns, as LaTeX.
        groups: Groups of rows, with a rule between groups; every cell is LaTeX already.
        alignment: One letter l, c or r a column.
        caption: Its caption, as LaTeX.
        label: Its label.

    Raises:
        ValueError: A row, or the alignment, is not as long as `columns`.
    """
    lines = [
        r"\begin{table}",
        r"  \centering\small",
        rf"  \caption{{{caption}}}",
        rf"  \label{{{label}}}",
        rf"  \begin{{tabular}}{{{alignment}}}",
        r"    \toprule",
        f"    {' & '.join(columns)} \\\\",
    ]
    if len(alignment) != len(columns):
        raise ValueError(f"alignment must have {len(columns)} letters, not {alignment!r}")
    for group in groups:
        lines.append(r"    \midrule")
        for row in group:
            if len(row) != len(columns):
                raise ValueError(f"a row must have {len(columns)} cells, not {len(row)}")
            lines.append(f"    {' & '.join(row)} \\\\")
    lines += [r"    \bottomrule", r"  \end{tabular}", r"\end{table}"]
    return "\n".join(lines)


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
        caption += f" {_DAGGER}: the formula or its number is not exact."
    return booktabs(
        heads, [rows], alignment="l" * len(heads), caption=caption, label=f"tab:weights-{family}"
    )


def _totals_table(report: ScalingReport) -> str:
    """Two rows a network, as printed and exact, with its width under its name."""
    groups = []
    for family in TABLE_NUMBERS:
        rows = []
        for name, network in report.networks.items():
            total = network.total
            if not name.startswith(f"{family}-") or total.printed is None:
                continue
            sign = r"$\approx$ " if name in APPROXIMATE_TOTALS else ""
            rows.append(
                (
                    escape(name),
                    "printed",
                    sign + _math(total.printed),
                    format_number(total.num_printed),
                    escape(slips_text(total.slips)),
                )
            )
            rows.append((_width(report, name), "exact", *_exact_cells(total)))
        groups.append(rows)
    others = [
        (f"{escape(name)}, {_width(report, name)}", "exact", *_exact_cells(network.total))
        for name, network in report.networks.items()
        if network.total.printed is None
    ]
    slips = {slip for network in report.networks.values() for slip in network.total.slips}
    return booktabs(
        ("Network", "", "Weights", "Number", "Differs"),
        [*groups, others],
        alignment="lllrl",
        caption=f"Weights without biases and BatchNorm at {_image(report)}.{_reasons(slips)}",
        label="tab:weights-total",
    )


def _published_table(report: ScalingReport) -> str:
    rows = [
        (
            escape(row.network),
            escape(row.column),
            row.millions,
            f"{row.num_exact / 1e6:.2f}",
            "" if row.slip is None else escape(row.slip.value),
        )
        for row in report.published
    ]
    slips = {row.slip for row in report.published if row.slip is not None}
    return booktabs(
        ("Network", "Column", "Printed (M)", "Exact (M)", "Differs"),
        [rows],
        alignment="llrrl",
        caption=(
            "Sizes in the paper's Table 1 and exact ones, in millions of weights, at $s = 32$, "
            f"$c = 10$ and 3 input channels.{_reasons(slips)}"
        ),
        label="tab:published-sizes",
    )


def _exact_cells(total: Comparison) -> tuple[str, str, str]:
    return _math(total.exact), format_number(total.num_exact), ""


def _reasons(slips: set[Slip]) -> str:
    return "".join(
        f" {escape(slip.value.capitalize())}: {escape(SLIP_REASONS[slip])}."
        for slip in Slip
        if slip in slips
    )


def _width(report: ScalingReport, name: str) -> str:
    symbol = "h" if name == "3-fc" else r"\alpha"
    return f"${symbol} = {report.width(name)}$"


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
