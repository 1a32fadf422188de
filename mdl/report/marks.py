"""Colour and shape of each run, the same in every chart, and legends of them.

A colour is a class of the page's style sheet, so that it fits light, dark and paper; the shape
tells runs apart without colour.
"""

from collections.abc import Sequence

from mdl.report.markup import Markup, element, number

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
        labels: What the marks stand for.
        notes: Further entries, such as what a dashed line is.
    """
    entries = [element("li", chip(style), label) for style, label in enumerate(labels)]
    return element("ul", entries, (element("li", note) for note in notes), class_="legend")


def line_sample(kind: str, label: str) -> Markup:
    """A legend's entry for a level: "conv" is dashed, "local" dotted."""
    line = element("line", x1=0, x2=24, y1=6, y2=6, class_=f"level {kind}")
    sample = element("svg", line, viewBox="0 0 24 12", class_="sample", aria_hidden="true")
    return element("span", sample, label, class_="entry")
