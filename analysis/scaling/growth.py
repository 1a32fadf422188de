"""How networks grow: widths for a budget of weights or a GPU's memory, and what Figure 1 shows."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

import sympy

from analysis.scaling.formulas import (
    PRINTED_TOTALS,
    TABLE_1_BASE_CHANNELS,
    exact_total,
    substitute,
    width_symbol,
)
from training.spec.architectures import NetworkSpec

# A V100 came with 16 GB first; the paper says neither which one nor what a weight costs.
V100_MEMORY_GIB = 16.0
# Training in 16 bits keeps, for each weight, 2 bytes of the weight, 2 of its gradient, and 4 of the
# float32 copy that small steps are added to. Plain SGD and β-lasso keep nothing else; momentum
# adds 4. Activations come on top, so this limit is one that no training run exceeds.
BYTES_PER_WEIGHT = 8.0
RESNET18_BASE_CHANNELS = 64
SIX_NETWORKS = ("d-conv", "d-local", "d-fc", "s-conv", "s-local", "s-fc")
# The d-local total as printed is too small by a factor of up to 49/13: worth a curve of its own.
_WITH_PRINTED_CURVE = ("d-local",)


@dataclass(frozen=True, kw_only=True)
class BudgetWidth:
    """The widest network within a budget of weights.

    Attributes:
        network: Its name.
        width: The largest α (3-fc: h) whose exact count is within the budget; 0 if none is.
        num_weights: The exact count at that width, 0 if there is none.
        root: The real α at which the formula gives the budget exactly.
    """

    network: str
    width: int
    num_weights: int
    root: float


def spec_of_width(
    name: str, width: int, *, image_size: int, num_classes: int, in_channels: int = 3
) -> NetworkSpec:
    """A network by its width: α, or h for 3-fc.

    Raises:
        ValueError: A value that `NetworkSpec` refuses.
    """
    is_3fc = name == "3-fc"
    return NetworkSpec(
        name=name,
        image_size=image_size,
        num_classes=num_classes,
        in_channels=in_channels,
        base_channels=None if is_3fc else width,
        hidden_units=width if is_3fc else None,
    )


def width_of(spec: NetworkSpec) -> int:
    """The width of a network: α, or h for 3-fc."""
    return spec.base_channels or spec.hidden_units or 0


def base_channels_for_budget(
    name: str, budget: float, *, image_size: int, num_classes: int, in_channels: int = 3
) -> BudgetWidth:
    """The largest α (3-fc: h) whose exact number of weights is within a budget.

    Found by bisection on exact counts, which grow with α; the root of the formula stands beside.

    Args:
        name: One of `training.spec.architectures.NETWORKS`.
        budget: Weights, without biases and BatchNorm, >= 1.
        image_size: s, side of the images in pixels.
        num_classes: c.
        in_channels: Channels of the images.

    Raises:
        ValueError: The budget is not a number >= 1, or a value that `NetworkSpec` refuses.

    >>> found = base_channels_for_budget("d-fc", 256e6, image_size=32, num_classes=10)
    >>> found.width, round(found.root, 2)
    (14, 14.22)
    """
    if not (math.isfinite(budget) and budget >= 1):
        raise ValueError(f"budget must be a finite number of weights >= 1, not {budget}")

    def count(width: int) -> int:
        if width == 0:
            return 0
        return spec_of_width(
            name, width, image_size=image_size, num_classes=num_classes, in_channels=in_channels
        ).num_weights

    fits, too_wide = 0, 1
    while count(too_wide) <= budget:
        fits, too_wide = too_wide, 2 * too_wide
    while too_wide - fits > 1:
        middle = (fits + too_wide) // 2
        fits, too_wide = (middle, too_wide) if count(middle) <= budget else (fits, middle)
    root = _real_width(
        name, budget, image_size=image_size, num_classes=num_classes, in_channels=in_channels
    )
    return BudgetWidth(network=name, width=fits, num_weights=count(fits), root=root)


def max_weights(
    memory_gib: float = V100_MEMORY_GIB, bytes_per_weight: float = BYTES_PER_WEIGHT
) -> int:
    """The most weights that a memory of `memory_gib`·2³⁰ bytes holds, rounded down.

    Raises:
        ValueError: An argument is not a finite number above 0.

    >>> max_weights(16, 8) == 2**31
    True
    """
    for name, value in (("memory_gib", memory_gib), ("bytes_per_weight", bytes_per_weight)):
        if not (math.isfinite(value) and value > 0):
            raise ValueError(f"{name} must be a finite number > 0, not {value}")
    return math.floor(Fraction(memory_gib) * 2**30 / Fraction(bytes_per_weight))


def _real_width(
    name: str, budget: float, *, image_size: int, num_classes: int, in_channels: int
) -> float:
    """The positive root of a·α² + b·α = budget, with a and b from the exact formula."""
    total = exact_total(name, in_channels=in_channels, image_size=image_size)
    numbers = substitute(total, image_size=image_size, num_classes=num_classes)
    polynomial = sympy.Poly(numbers, width_symbol(name))
    a, b = (float(polynomial.coeff_monomial(width_symbol(name) ** power)) for power in (2, 1))
    return 2 * budget / (b + math.sqrt(b * b + 4 * a * budget))


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
