"""Tables of the page: they scroll by themselves where the screen is narrower than they are."""

from collections.abc import Sequence

from mdl.report.line_chart import Chart, thin
from mdl.report.markup import Markup, element

MAX_ROWS = 60
"""Epochs of a table; of a longer run so many are listed, evenly spaced."""


def table(
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    title: str,
    num_text_columns: int = 1,
    marked: Sequence[int] = (),
) -> Markup:
    """A table whose first column is the name of the row.

    Args:
        columns: Headings.
        rows: A cell a column.
        title: Said to those who cannot see it.
        num_text_columns: So many of the first columns are text, the others numbers.
        marked: Rows to point out.
    """

    def kind(index: int) -> str | None:
        return None if index < num_text_columns else "number"

    head = element(
        "tr", (element("th", name, scope="col", class_=kind(i)) for i, name in enumerate(columns))
    )
    body = []
    for place, row in enumerate(rows):
        first = element("th", row[0], scope="row", class_=kind(0))
        rest = (element("td", cell, class_=kind(i)) for i, cell in enumerate(row[1:], start=1))
        body.append(element("tr", first, rest, class_="marked" if place in marked else None))
    whole = element("table", element("thead", head), element("tbody", body))
    return element("div", whole, class_="scroll", role="region", aria_label=title, tabindex=0)


def details(summary: str, *content: Markup) -> Markup:
    """Content that opens on request."""
    return element("details", element("summary", summary), content)


def chart_numbers(charts: Sequence[Chart]) -> Markup:
    """The numbers behind charts that share their epochs, in a table on request."""
    epochs = sorted({epoch for chart in charts for epoch in chart.epochs})
    listed = thin(epochs, MAX_ROWS)
    columns = ["epoch"]
    cells = []
    for chart in charts:
        for each in chart.series:
            is_alone = len(chart.series) == 1 and each.label == chart.title
            columns.append(chart.title if is_alone else f"{chart.title}: {each.label}")
            found = dict(each.points)
            cells.append(
                [chart.quantity.text(found[epoch]) if epoch in found else "" for epoch in listed]
            )
    rows = [
        (f"{epoch:,}", *row) for epoch, row in zip(listed, zip(*cells, strict=True), strict=True)
    ]
    some = "" if len(listed) == len(epochs) else f" ({len(listed)} of {len(epochs):,} epochs)"
    return details(f"The numbers{some}", table(columns, rows, title="The numbers by epoch"))
