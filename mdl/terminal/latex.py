"""Tables for a paper: LaTeX with the booktabs package."""

from collections.abc import Sequence

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


def escape(text: str) -> str:
    r"""Text as LaTeX prints it, its special characters and the symbols in use made safe.

    >>> escape("13 % of α")
    '13 \\% of $\\alpha$'
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
