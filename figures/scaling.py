"""Figure 1: d-conv and s-conv as block diagrams, and weights against α and against image size."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Polygon
from matplotlib.ticker import (
    FixedLocator,
    LogLocator,
    NullFormatter,
    NullLocator,
    StrMethodFormatter,
)

from analysis.scaling.formulas import (
    TABLE_1_BASE_CHANNELS,
    TABLE_1_IMAGE_SIZE,
    TABLE_1_IN_CHANNELS,
    TABLE_1_NUM_CLASSES,
)
from analysis.scaling.growth import (
    BYTES_PER_WEIGHT,
    V100_MEMORY_GIB,
    Block,
    Curve,
    curves_by_side,
    curves_by_width,
    describe_blocks,
    max_weights,
)
from figures.style.look import INK, MUTED, NETWORK_STYLES, PAGE_WIDTH, new_figure

_HEAD_COLOR = "#9a9a9a"
_IMAGE_COLOR = "#d3c7b0"
# Lengths in a diagram's own unit: the width of the image's block.
_THICKNESS = 0.18  # of α channels
_THIN = 0.12  # of the image and of vectors
_DEPTH_X, _DEPTH_Y = 0.38, 0.22  # how far the back edge of a block of width 1 is to the right, up
_GAP = 0.2
_LABEL_X = 1.26
_PITCH = 3.5  # from one diagram to the next
# Curves that nearly coincide stay visible: the later ones are drawn thinner, on top.
# fmt: off
_LINES = {
    "s-conv": (2.4, 5.4), "s-local": (1.7, 4.6), "s-fc": (1.3, 3.8),
    "d-fc": (1.2, 3.8), "d-local": (1.2, 3.8), "d-conv": (1.2, 3.4),
}
# fmt: on
_DASHES = (0, (3, 1.5))
_KEY = (
    "conv k×k (channels, stride)",
    "fc (units)",
    "BatchNorm and ReLU follow each",
    "layer but the last.",
    "",
    "Width ∝ √side,",
    "thickness ∝ √channels.",
    "",
    "Right: exact counts of weights.",
    "Dashed: the total that Table 3",
    "prints for d-local, an erratum.",
)
_CURVE_WIDTHS = tuple(2**power for power in range(11))
_CURVE_SIDES = (16, 32, 64, 128, 256)


@dataclass(frozen=True, kw_only=True)
class ScalingFigure:
    """What Figure 1 shows.

    Attributes:
        diagrams: Network name to its blocks, from the image up.
        by_width: Curves against α.
        by_side: Curves against the image's side.
        width_note: What is fixed while α varies, for instance "s = 32".
        side_note: What is fixed while the side varies.
        limit: The most weights that the GPU's memory holds.
        limit_note: Name of the limit and what it assumes.
    """

    diagrams: Mapping[str, tuple[Block, ...]]
    by_width: tuple[Curve, ...]
    by_side: tuple[Curve, ...]
    width_note: str
    side_note: str
    limit: float
    limit_note: str


def draw_scaling(data: ScalingFigure) -> Figure:
    """Draw the whole figure. Call it under `figures.style.look.figure_style()`."""
    figure = new_figure(PAGE_WIDTH, 4.15)
    left, right = figure.subfigures(1, 2, squeeze=False, width_ratios=(1.1, 1))[0]
    draw_architectures(left.subplots(), data.diagrams)
    top, bottom = right.subplots(2, 1)
    draw_weights(top, data.by_width, limit=data.limit, limit_note=data.limit_note)
    top.set_xlabel(f"base channels α   ({data.width_note})")
    draw_weights(bottom, data.by_side, limit=data.limit)
    bottom.set_xlabel(f"image side s   ({data.side_note})")
    bottom.xaxis.set_major_locator(FixedLocator(list(data.by_side[0].x)))
    right.legend(
        handles=_legend_handles(top, data.by_width),
        loc="outside upper center",
        ncols=4,
        columnspacing=1.0,
        handlelength=1.9,
        handletextpad=0.5,
    )
    return figure


def draw_architectures(ax: Axes, diagrams: Mapping[str, Sequence[Block]]) -> None:
    """Draw networks side by side, each from its image (bottom) to its classes (top).

    A block is what a layer puts out: its width and depth go with the square root of the side, its
    thickness with the square root of the channels.
    """
    heights = [
        _draw_architecture(ax, blocks, x=index * _PITCH, color=NETWORK_STYLES[name].color)
        for index, (name, blocks) in enumerate(diagrams.items())
    ]
    for index, (name, height) in enumerate(zip(diagrams, heights, strict=True)):
        ax.text(
            index * _PITCH + 0.5,
            height + 0.1,
            name,
            ha="center",
            va="bottom",
            fontsize=8.5,
            fontweight="bold",
        )
    ax.text(
        (len(diagrams) - 1) * _PITCH - 0.1,
        max(heights),
        "\n".join(_KEY),
        va="top",
        fontsize=6.5,
        color=MUTED,
        linespacing=1.4,
    )
    ax.set_xlim(-0.5, len(diagrams) * _PITCH - 0.35)
    ax.set_ylim(-0.1, max(heights) + 0.4)
    ax.set_aspect("equal", anchor="W")
    ax.set_axis_off()


def draw_weights(
    ax: Axes, curves: Sequence[Curve], *, limit: float, limit_note: str | None = None
) -> None:
    """Weights on logarithmic axes; a dashed line is a printed total that is wrong.

    Args:
        ax: Where to draw.
        curves: One a network.
        limit: Height of the dotted line.
        limit_note: Text on the dotted line.
    """
    for curve in curves:
        style = NETWORK_STYLES[curve.network]
        linewidth, markersize = _LINES[curve.network]
        order = 2 + list(_LINES).index(curve.network) / 10
        line = style.line(linewidth=linewidth, markersize=markersize, zorder=order, clip_on=False)
        ax.plot(curve.x, curve.num_weights, label=curve.network, **line)
        if curve.as_printed is not None:
            ax.plot(
                curve.x,
                curve.as_printed,
                label=f"{curve.network}, as printed",
                **style.line(linestyle=_DASHES, marker="", linewidth=linewidth, zorder=order),
            )
    ax.axhline(limit, color=INK, linestyle=":", linewidth=1.2, label="memory limit")
    if limit_note is not None:
        ax.annotate(
            limit_note,
            (0, limit),
            (2, 3),
            xycoords=("axes fraction", "data"),
            textcoords="offset points",
            fontsize=6.5,
            color=INK,
            va="bottom",
        )
    ax.set_xscale("log", base=2)
    ax.set_yscale("log")
    ax.xaxis.set_major_formatter(StrMethodFormatter("{x:.0f}"))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.yaxis.set_major_locator(LogLocator(base=100, numticks=12))
    ax.yaxis.set_minor_locator(LogLocator(base=10, numticks=20))
    ax.yaxis.set_minor_formatter(NullFormatter())
    ax.set_ylabel("weights")
    ax.grid(visible=True, which="major")


def _draw_architecture(ax: Axes, blocks: Sequence[Block], *, x: float, color: str) -> float:
    """Draw one stack whose widest block starts at `x`; return its height."""
    base = 0.0
    for index, block in enumerate(blocks):
        if index:
            _draw_arrow(ax, x + 0.5, base, base + _GAP)
            base += _GAP
        width = math.sqrt(block.side / blocks[0].side)
        thickness = _THIN
        if block.kind == "conv":
            thickness = _THICKNESS * math.sqrt(block.channels)
        elif block.kind == "fc":
            width = 1.0 if block.scales else 0.4
        faces = {"image": _IMAGE_COLOR, "conv": color, "fc": _HEAD_COLOR}
        depth = 0.15 if block.kind == "fc" else width
        left = x + (1 - width) / 2 - _DEPTH_X * depth / 2
        _draw_slab(ax, faces[block.kind], left, base, width=width, height=thickness, depth=depth)
        middle = base + (thickness + _DEPTH_Y * depth) / 2
        ax.text(x + _LABEL_X, middle, block.label, va="center", ha="left", fontsize=6.8)
        if block.kind != "fc":
            ax.text(
                x - 0.22,
                middle,
                f"{block.side}²",
                va="center",
                ha="right",
                fontsize=6.3,
                color=MUTED,
            )
        base += thickness + _DEPTH_Y * depth
    return base


def _draw_slab(
    ax: Axes, color: str, left: float, base: float, *, width: float, height: float, depth: float
) -> None:
    """A box seen from the front and a little above: its front, its right side and its top."""
    right, top = left + width, base + height
    dx, dy = _DEPTH_X * depth, _DEPTH_Y * depth
    faces = (
        ([(left, base), (right, base), (right, top), (left, top)], 0.0),
        ([(right, base), (right + dx, base + dy), (right + dx, top + dy), (right, top)], -0.22),
        ([(left, top), (right, top), (right + dx, top + dy), (left + dx, top + dy)], 0.35),
    )
    for corners, lightness in faces:
        ax.add_patch(
            Polygon(
                corners,
                closed=True,
                facecolor=_shade(color, lightness),
                edgecolor="white",
                linewidth=0.5,
                joinstyle="round",
            )
        )


def _draw_arrow(ax: Axes, x: float, start: float, end: float) -> None:
    ax.annotate(
        "",
        (x, end + 0.01),
        (x, start - 0.02),
        arrowprops={
            "arrowstyle": "-|>,head_length=0.22,head_width=0.11",
            "color": MUTED,
            "linewidth": 0.7,
            "shrinkA": 0,
            "shrinkB": 0,
        },
    )


def _shade(color: str, lightness: float) -> tuple[float, float, float]:
    """Mix a colour with white (lightness > 0) or black (< 0)."""
    target = 1.0 if lightness > 0 else 0.0
    red, green, blue = (part + abs(lightness) * (target - part) for part in to_rgb(color))
    return red, green, blue


def _legend_handles(ax: Axes, curves: Sequence[Curve]) -> list[Artist]:
    """The lines of one panel, deep beside shallow, then the printed totals and the limit."""
    lines = {str(line.get_label()): line for line in ax.get_lines()}
    deep_beside_shallow = sorted(
        (curve.network for curve in curves), key=lambda name: (name.partition("-")[2], name)
    )
    conv_local_fc = sorted(
        deep_beside_shallow, key=lambda name: ("conv", "local", "fc").index(name[2:])
    )
    rest = [label for label in lines if label not in conv_local_fc]
    return [lines[label] for label in (*conv_local_fc, *rest)]


def scaling_figure(
    *,
    image_size: int = TABLE_1_IMAGE_SIZE,
    num_classes: int = TABLE_1_NUM_CLASSES,
    in_channels: int = TABLE_1_IN_CHANNELS,
    base_channels: int | None = None,
    memory_gib: float = V100_MEMORY_GIB,
    bytes_per_weight: float = BYTES_PER_WEIGHT,
) -> ScalingFigure:
    """Figure 1, as in the paper where nothing else is asked for.

    Args:
        image_size: s, side of the images in pixels.
        num_classes: c.
        in_channels: Channels of the images.
        base_channels: α of the curves by side; None for 15 and 150, as in Table 1.
        memory_gib: Memory of the GPU in units of 2³⁰ bytes.
        bytes_per_weight: What training keeps for a weight.

    Raises:
        ValueError: A value outside its range.
    """
    widths = TABLE_1_BASE_CHANNELS
    width_note = ", ".join(f"{family}-: α = {width}" for family, width in widths.items())
    if base_channels is not None:
        widths = dict.fromkeys(widths, base_channels)
        width_note = f"α = {base_channels}"
    return ScalingFigure(
        diagrams={
            name: describe_blocks(
                name, image_size=image_size, num_classes=num_classes, in_channels=in_channels
            )
            for name in ("d-conv", "s-conv")
        },
        by_width=curves_by_width(
            _CURVE_WIDTHS, image_size=image_size, num_classes=num_classes, in_channels=in_channels
        ),
        by_side=curves_by_side(
            _CURVE_SIDES, num_classes=num_classes, in_channels=in_channels, base_channels=widths
        ),
        width_note=f"s = {image_size}, c = {num_classes}",
        side_note=f"{width_note}, c = {num_classes}",
        limit=max_weights(memory_gib, bytes_per_weight),
        limit_note=f"16-bit V100\n{memory_gib:g} GiB at {bytes_per_weight:g} bytes a weight",
    )
