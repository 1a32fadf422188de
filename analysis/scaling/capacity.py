"""Widths for a budget of weights, and which networks a GPU's memory can hold."""

import math
from dataclasses import dataclass
from fractions import Fraction

import sympy

from analysis.scaling.exact_formulas import exact_total, substitute, width_symbol
from training.spec.architectures import NetworkSpec

# A V100 came with 16 GB first; the paper says neither which one nor what a weight costs.
V100_MEMORY_GIB = 16.0
# Training in 16 bits keeps, for each weight, 2 bytes of the weight, 2 of its gradient, and 4 of the
# float32 copy that small steps are added to. Plain SGD and β-lasso keep nothing else; momentum
# adds 4. Activations come on top, so this limit is one that no training run exceeds.
BYTES_PER_WEIGHT = 8.0
RESNET18_BASE_CHANNELS = 64


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
