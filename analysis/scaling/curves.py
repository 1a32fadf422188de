"""What Figure 1 shows, as plain data: layers as blocks, and weights by width and by side."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from analysis.scaling.capacity import spec_of_width
from analysis.scaling.exact_formulas import substitute
from analysis.scaling.printed_formulas import PRINTED_TOTALS, TABLE_1_BASE_CHANNELS
from training.spec.architectures import NetworkSpec

SIX_NETWORKS = ("d-conv", "d-local", "d-fc", "s-conv", "s-local", "s-fc")
# The d-local total as printed is too small by a factor of up to 49/13: worth a curve of its own.
_WITH_PRINTED_CURVE = ("d-local",)


@dataclass(frozen=True, kw_only=True)
class Block:
    """The output of one layer, as a block of a diagram.

    Attributes:
        label: "conv 3×3 (2α, 2)": kernel, channels, stride; or "fc (64α)"; or "image".
        kind: What made it.
        channels: Channels, as a multiple of α; the image's and the classes' own numbers.
        scales: Whether `channels` counts multiples of α.
        side: Side in pixels; 1 for a vector.
    """

    label: str
    kind: Literal["image", "conv", "fc"]
    channels: int
    scales: bool
    side: int


@dataclass(frozen=True, kw_only=True)
class Curve:
    """Weights of a network against α or against the image's side.

    Attributes:
        network: Its name.
        x: Values of α or s.
        num_weights: Exact counts.
        as_printed: Values of the printed total, where it is badly wrong; None elsewhere.
    """

    network: str
    x: tuple[int, ...]
    num_weights: tuple[int, ...]
    as_printed: tuple[float, ...] | None = None


def describe_blocks(
    name: str, *, image_size: int, num_classes: int, in_channels: int = 3
) -> tuple[Block, ...]:
    """The image and the output of every layer of d-conv or s-conv, in the paper's notation.

    >>> blocks = describe_blocks("s-conv", image_size=32, num_classes=10)
    >>> [block.label for block in blocks]
    ['image', 'conv 9×9 (α, 2)', 'fc (24α)', 'fc (c)']
    """
    unit = NetworkSpec(
        name=name,
        image_size=image_size,
        num_classes=num_classes,
        in_channels=in_channels,
        base_channels=1,
    )
    blocks = [
        Block(label="image", kind="image", channels=in_channels, scales=False, side=image_size)
    ]
    layers = unit.layers
    for index, layer in enumerate(layers, start=1):
        is_last = index == len(layers)
        multiple = "α" if layer.out_channels == 1 else f"{layer.out_channels}α"
        units = "c" if is_last else multiple
        label = f"fc ({units})"
        if layer.group == "conv":
            label = f"conv {layer.kernel}×{layer.kernel} ({multiple}, {layer.stride})"
        blocks.append(
            Block(
                label=label,
                kind=layer.group,
                channels=layer.out_channels,
                scales=not is_last,
                side=layer.out_size,
            )
        )
    return tuple(blocks)


def curves_by_width(
    widths: Sequence[int], *, image_size: int, num_classes: int, in_channels: int = 3
) -> tuple[Curve, ...]:
    """Weights of the six networks against α."""
    return tuple(
        _curve(
            name,
            tuple(widths),
            [(width, image_size) for width in widths],
            num_classes=num_classes,
            in_channels=in_channels,
        )
        for name in SIX_NETWORKS
    )


def curves_by_side(
    sides: Sequence[int],
    *,
    num_classes: int,
    in_channels: int = 3,
    base_channels: dict[str, int] | None = None,
) -> tuple[Curve, ...]:
    """Weights of the six networks against the image's side, at a fixed α for each family d, s."""
    widths = TABLE_1_BASE_CHANNELS if base_channels is None else base_channels
    return tuple(
        _curve(
            name,
            tuple(sides),
            [(widths[name[0]], side) for side in sides],
            num_classes=num_classes,
            in_channels=in_channels,
        )
        for name in SIX_NETWORKS
    )


def _curve(
    name: str,
    x: tuple[int, ...],
    points: list[tuple[int, int]],
    *,
    num_classes: int,
    in_channels: int,
) -> Curve:
    as_printed = None
    if name in _WITH_PRINTED_CURVE:
        formula = PRINTED_TOTALS[name]
        as_printed = tuple(
            float(substitute(formula, image_size=side, num_classes=num_classes, width=width))
            for width, side in points
        )
    counts = tuple(
        spec_of_width(
            name, width, image_size=side, num_classes=num_classes, in_channels=in_channels
        ).num_weights
        for width, side in points
    )
    return Curve(network=name, x=x, num_weights=counts, as_printed=as_printed)
