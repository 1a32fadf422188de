"""Small print below a figure: what was reduced, what marks and bars are."""

from typing import Any

from matplotlib.backends.backend_agg import RendererAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties

from figures.style.look import MUTED

NOTE_SIZE = 6.5  # points
_DPI = 200  # to measure text at; coarser ones make it seem wider than in print
_RENDERER: Any = RendererAgg  # Matplotlib gives it no types
_EDGE = 0.055  # inches, left and right


def add_note(figure: Figure, *sentences: str) -> None:
    """Write sentences below everything else, wrapped to the figure's width.

    Args:
        figure: From `new_figure`, whose layout makes room for the note.
        sentences: In order; empty ones are left out, and without any nothing is written.
    """
    text = " ".join(sentence for sentence in sentences if sentence)
    if text:
        figure.supxlabel(
            wrapped(figure, text),
            x=_EDGE / figure.get_figwidth(),
            ha="left",
            fontsize=NOTE_SIZE,
            color=MUTED,
            linespacing=1.35,
        )


def wrapped(figure: Figure, text: str) -> str:
    """The text with line breaks, so that no line is wider than the figure; its own breaks stay."""
    renderer = _RENDERER(1, 1, _DPI)
    font = FontProperties(family="DejaVu Sans", size=NOTE_SIZE)
    room = (figure.get_figwidth() - 2 * _EDGE) * _DPI
    lines = []
    for part in text.replace(" %", "\u00a0%").split("\n"):  # a number keeps its unit
        line = ""
        for word in part.split(" "):
            longer = f"{line} {word}" if line else word
            if line and renderer.get_text_width_height_descent(longer, font, False)[0] > room:
                lines.append(line)
                longer = word
            line = longer
        lines.append(line)
    return "\n".join(lines)
