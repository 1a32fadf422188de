"""How objects show themselves in a notebook: a headline and a table, every text escaped."""

from collections.abc import Iterable, Sequence
from html import escape

from training.system.text import printable


def html_table(
    headline: str, columns: Sequence[str], rows: Iterable[Sequence[str]], *, num_text_columns: int
) -> str:
    """A small table for `_repr_html_`, in the colours of the page that shows it, light or dark.

    Args:
        headline: What it says, above it.
        columns: Headings.
        rows: A cell a column.
        num_text_columns: So many of the first columns are text, the others numbers.

    >>> html_table("x < y", ["name"], [["a"]], num_text_columns=1)[:48]
    '<div><p>x &lt; y</p><table><thead><tr><th style='
    """

    def line(tag: str, cells: Sequence[str]) -> str:
        sides = ["left" if index < num_text_columns else "right" for index in range(len(cells))]
        inner = (
            f'<{tag} style="text-align:{side}">{escape(printable(cell))}</{tag}>'
            for side, cell in zip(sides, cells, strict=True)
        )
        return f"<tr>{''.join(inner)}</tr>"

    body = "".join(line("td", row) for row in rows)
    return (
        f"<div><p>{escape(printable(headline))}</p><table><thead>{line('th', columns)}</thead>"
        f"<tbody>{body}</tbody></table></div>"
    )
