"""HTML that cannot be broken by a string from a file: every text is escaped as it goes in.

A checkpoint is data from a stranger, and its strings can hold `<script>`. So markup is built by
`element` alone, which escapes every child and attribute that is not `Markup` already.

A run has one colour and one mark in every chart. The colour is a class of the page's style sheet,
so that it fits light, dark and paper; the mark tells runs apart without colour.
"""

import html
from collections.abc import Iterable, Sequence

from training.system.text import printable

Value = str | int | float | bool | None

_VOID = frozenset({"br", "img", "link", "meta"})
MAX_RUNS = 8
"""Colours that there are."""
_RADIUS = 3.6
# Corners around (0, 0) in units of the radius; None is a circle.
_SHAPES: tuple[tuple[tuple[float, float], ...] | None, ...] = (
    None,
    ((-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)),
    ((0, -1.15), (1.1, 0.85), (-1.1, 0.85)),
    ((0, -1.25), (1.25, 0), (0, 1.25), (-1.25, 0)),
    ((0, 1.15), (1.1, -0.85), (-1.1, -0.85)),
    ((-1.15, 0), (0.85, 1.1), (0.85, -1.1)),
    ((1.15, 0), (-0.85, 1.1), (-0.85, -1.1)),
    ((-1.4, -0.5), (1.4, -0.5), (1.4, 0.5), (-1.4, 0.5)),
)


class Markup(str):
    """Finished HTML: made by `element`, or written in this package."""

    __slots__ = ()


def escape(text: str) -> Markup:
    r"""Text as HTML, for content and for attributes between double quotes.

    >>> escape('<b>"&"</b>')
    '&lt;b&gt;&quot;&amp;&quot;&lt;/b&gt;'
    >>> escape("a" + chr(0xD800) + chr(0x202E))
    'a\\ud800\\u202e'
    """
    if isinstance(text, Markup):
        return text
    return Markup(html.escape(printable(text), quote=True))


def join(children: Iterable[str | Markup]) -> Markup:
    """Several pieces one after another, each escaped if it is text."""
    return Markup("".join(escape(child) for child in children))


def element(tag: str, *children: str | Iterable[str] | None, **attributes: Value) -> Markup:
    r"""An element of HTML or SVG.

    Args:
        tag: Its name.
        children: Text (escaped), markup (as it is), several of them, or None for nothing.
        attributes: `class_` is `class`, `data_x` is `data-x`. None and False leave one out, True
            gives it no value; numbers are canonical.

    >>> element("p", "1 < 2", class_="note", hidden=True, id=None)
    '<p class="note" hidden>1 &lt; 2</p>'
    >>> element("img", alt='a "b"', width=2.50)
    '<img alt="a &quot;b&quot;" width="2.5">'
    """
    opening = tag
    for name, value in attributes.items():
        if value is None or value is False:
            continue
        opening += f" {name.rstrip('_').replace('_', '-')}"
        if value is not True:
            opening += f'="{escape(number(value) if isinstance(value, float) else str(value))}"'
    if tag in _VOID:
        return Markup(f"<{opening}>")
    inner = "".join(
        escape(child) if isinstance(child, str) else join(child)
        for child in children
        if child is not None
    )
    return Markup(f"<{opening}>{inner}</{tag}>")


def number(value: float) -> str:
    """A coordinate to two decimals, without zeros that say nothing.

    >>> number(2.0), number(-0.001), number(10.456)
    ('2', '0', '10.46')
    """
    shown = f"{value:.2f}".rstrip("0").rstrip(".")
    return "0" if shown == "-0" else shown


def mark(style: int, x: float, y: float) -> Markup:
    """The mark of a run at a place of a chart.

    Args:
        style: Place of the run, from 0; from `MAX_RUNS` on they repeat.
        x: In units of the drawing.
        y: Likewise, downward.
    """
    corners = _SHAPES[style % MAX_RUNS]
    if corners is None:
        return element("circle", cx=x, cy=y, r=_RADIUS, class_=f"mark {color(style)}")
    places = (f"{number(x + a * _RADIUS)},{number(y + b * _RADIUS)}" for a, b in corners)
    return element("polygon", points=" ".join(places), class_=f"mark {color(style)}")


def color(style: int) -> str:
    """The class of a run's colour."""
    return f"c{style % MAX_RUNS}"


def chip(style: int) -> Markup:
    """A mark by itself, for a legend; the name beside it says what it is."""
    return element("svg", mark(style, 6, 6), viewBox="0 0 12 12", class_="chip", aria_hidden="true")


def legend(labels: Sequence[str], *, notes: Sequence[Markup] = ()) -> Markup:
    """Marks with their names; the first has style 0.

    Args:
        labels: What the marks stand for; "" leaves one out.
        notes: Further entries, such as what a dashed line is.
    """
    entries = [element("li", chip(style), label) for style, label in enumerate(labels) if label]
    return element("ul", entries, (element("li", note) for note in notes), class_="legend")


def line_sample(kind: str, label: str) -> Markup:
    """A legend's entry for a level: "conv" is dashed, "local" dotted."""
    line = element("line", x1=0, x2=24, y1=6, y2=6, class_=f"level {kind}")
    sample = element("svg", line, viewBox="0 0 24 12", class_="sample", aria_hidden="true")
    return element("span", sample, label, class_="entry")


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
