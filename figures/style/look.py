"""The look of every figure: one style, one colour and marker per network, one way to save.

Nothing here uses pyplot, so that drawing leaves no global state behind: a figure is made by
`new_figure` under `with figure_style():` and written by `save_figure`.

Colours are pairs of one hue (after Okabe and Ito's palette, told apart by the common forms of
colour blindness and in grey): the hue and the marker's shape give the kind of layers (conv, local,
fc), the dark filled member of a pair is the shallow network s-, the light open one the deep d-.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import matplotlib
from matplotlib.backends.backend_agg import FigureCanvasAgg, RendererAgg
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties

from training.system.files import write_atomically
from training.system.text import printable

COLUMN_WIDTH = 3.3  # inches: one column of a two-column paper
PAGE_WIDTH = 6.9  # inches: the full width of a page
FIGURE_SUFFIXES = (".png", ".pdf")

INK = "#222222"  # text and frames
MUTED = "#6b6b6b"  # notes and secondary lines
GRID = "#e4e4e4"

_SETTINGS: dict[str, Any] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],  # ships with Matplotlib: the same picture everywhere
    "font.size": 8,
    "axes.titlesize": 8.5,
    "axes.titleweight": "bold",
    "axes.labelsize": 8,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7,
    "figure.titlesize": 9.5,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "lines.linewidth": 1.4,
    "lines.markersize": 4,
    "lines.markeredgewidth": 1.0,
    "xtick.major.width": 0.7,
    "ytick.major.width": 0.7,
    "xtick.minor.width": 0.4,
    "ytick.minor.width": 0.4,
    "legend.frameon": False,
    "image.cmap": "cividis",
    "savefig.dpi": 200,
    "pdf.fonttype": 42,  # text stays text
}
# Settings of the process rather than of a picture.
_NOT_STYLE = ("backend", "backend_fallback", "interactive", "toolbar", "timezone", "webagg.")
_MARKERS = "osD^vPX<>"
_LIGHTEST = 0.72  # of viridis: lighter ones fade on white
NOTE_SIZE = 6.5  # points
_DPI = 200  # to measure text at; coarser ones make it seem wider than in print
_RENDERER: Any = RendererAgg  # Matplotlib gives it no types
_EDGE = 0.055  # inches, left and right


@dataclass(frozen=True, kw_only=True)
class NetworkStyle:
    """How one network is drawn in every figure.

    Attributes:
        color: Line and marker edge, as a hex colour.
        marker: Matplotlib's name of the marker's shape.
        filled: Whether the marker is filled (s-) or open (d-).
    """

    color: str
    marker: str
    filled: bool = True

    def line(self, **changes: Any) -> dict[str, Any]:
        """Keyword arguments for `Axes.plot`, with `changes` on top.

        >>> NETWORK_STYLES["d-conv"].line(linestyle="--")["markerfacecolor"]
        'white'
        """
        face = self.color if self.filled else "white"
        base = {"color": self.color, "marker": self.marker, "markerfacecolor": face}
        return base | {"linestyle": "-"} | changes


NETWORK_STYLES: dict[str, NetworkStyle] = {
    "d-conv": NetworkStyle(color="#56b4e9", marker="o", filled=False),
    "s-conv": NetworkStyle(color="#0062a3", marker="o"),
    "d-local": NetworkStyle(color="#3fbf8f", marker="^", filled=False),
    "s-local": NetworkStyle(color="#006b4e", marker="^"),
    "d-fc": NetworkStyle(color="#e69f00", marker="s", filled=False),
    "s-fc": NetworkStyle(color="#b8400a", marker="s"),
    "3-fc": NetworkStyle(color="#b05a8e", marker="D"),
    "resnet18": NetworkStyle(color="#4d4d4d", marker="P"),
}
METHOD_STYLES = {
    "beta-lasso": NetworkStyle(color="#b8400a", marker="s"),
    "sgd": NetworkStyle(color="#4d4d4d", marker="o", filled=False),
}
"""Of one network by several methods."""


@contextmanager
def figure_style() -> Iterator[None]:
    """The project's style while the context lasts, whatever the user's own matplotlibrc says."""
    settings: Any = {
        key: value
        for key, value in matplotlib.rcParamsDefault.items()
        if not key.startswith(_NOT_STYLE)
    }
    with matplotlib.rc_context(settings | _SETTINGS):
        yield


def new_figure(width: float = PAGE_WIDTH, height: float = 3.0) -> Figure:
    """An empty figure of `width` x `height` inches with constrained layout and an Agg canvas."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def check_figure_path(path: Path) -> None:
    """Refuse a file name that `save_figure` could not write, before any work is done.

    Raises:
        ValueError: The name ends neither in .png nor in .pdf.
    """
    if path.suffix.lower() not in FIGURE_SUFFIXES:
        raise ValueError(f"a figure's file name must end in .png or .pdf, not {path.name!r}")


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure as PNG or PDF: whole or not at all, the same bytes for the same picture.

    Args:
        figure: The figure.
        path: Where to; the suffix decides the format. An existing file is replaced.

    Raises:
        ValueError: The suffix is neither .png nor .pdf.
        OSError: The folder is missing or not writable.
    """
    check_figure_path(path)
    kind = path.suffix.lower()[1:]
    metadata: dict[str, Any] = {"Software": None}
    if kind == "pdf":
        metadata = {"CreationDate": None, "Creator": None, "Producer": None}

    def write(stream: BinaryIO) -> None:
        with figure_style():
            figure.savefig(stream, format=kind, metadata=metadata)

    write_atomically(path, write)


def save_figure_pair(figure: Figure, stem: Path) -> list[Path]:
    """Write a figure as `stem`.png and `stem`.pdf, each whole or not at all.

    Args:
        figure: The figure.
        stem: The files' path without a suffix. A dot in its name stays.

    Returns:
        The two files.

    Raises:
        OSError: The folder is missing or not writable.
    """
    paths = [stem.with_name(stem.name + suffix) for suffix in FIGURE_SUFFIXES]
    for path in paths:
        save_figure(figure, path)
    return paths


def layer_styles(names: Sequence[str]) -> dict[str, NetworkStyle]:
    """A style for each layer, in the order of the layers.

    Lightness grows evenly from layer to layer, so that their order is seen in grey too.

    >>> [style.marker for style in layer_styles(["conv1", "fc1", "fc2"]).values()]
    ['o', 's', 'D']
    """
    names = list(dict.fromkeys(names))
    colors = matplotlib.colormaps["viridis"]
    step = _LIGHTEST / max(1, len(names) - 1)
    return {
        name: NetworkStyle(
            color=to_hex(colors(index * step)),
            marker=_MARKERS[index % len(_MARKERS)],
            filled=index // len(_MARKERS) % 2 == 0,
        )
        for index, name in enumerate(names)
    }


def legend_above(figure: Figure, names: Iterable[str]) -> None:
    """A legend above all panels, of the lines with these names, each once and in order."""
    lines = {str(line.get_label()): line for axes in figure.axes for line in axes.lines}
    named = [lines[name] for name in names if name in lines]
    figure.legend(
        handles=named, loc="outside upper center", ncols=min(8, len(named)), handlelength=2.4
    )


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


def literal(name: str) -> str:
    r"""A name from a file as a picture shows it: no formula, and nothing that no font can draw.

    >>> literal("$x$"), literal(chr(27))
    ('\\$x\\$', '\\x1b')
    """
    return printable(name).replace("$", r"\$")


def wrapped(figure: Figure, text: str) -> str:
    """The text with line breaks, so that no line is wider than the figure; its own breaks stay."""
    renderer = _RENDERER(1, 1, _DPI)
    font = FontProperties(family="DejaVu Sans", size=NOTE_SIZE)
    room = (figure.get_figwidth() - 2 * _EDGE) * _DPI
    lines = []
    for part in text.split("\n"):
        line = ""
        for word in part.split(" "):
            longer = f"{line} {word}" if line else word
            if line and renderer.get_text_width_height_descent(longer, font, False)[0] > room:
                lines.append(line)
                longer = word
            line = longer
        lines.append(line)
    return "\n".join(lines)
