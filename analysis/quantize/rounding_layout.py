"""Rounding to the b-bit patterns of R_b by integer arithmetic on float32's own bits. No torch.

`analysis.quantize.formats` rounds tensors to values. To count, only the patterns matter: this is
the same rounding (nearest, ties to even, subnormal numbers included, saturating) from float32 bits
straight to patterns, with nothing written in between.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FRACTION_BITS_32 = 23
BIAS_32 = 127
MAGNITUDE_32 = 0x7FFFFFFF
INFINITY_32 = 0x7F800000


@dataclass(frozen=True, kw_only=True)
class RoundingLayout:
    """Where the bits of a small floating-point format lie.

    Attributes:
        name: As in `analysis.quantize.formats.FORMATS`.
        num_bits: b: one sign bit, `exponent_bits`, `fraction_bits`.
        exponent_bits: With bias 2^(exponent_bits - 1) - 1; pattern 0 of them holds the subnormals.
        fraction_bits: Bits behind the point.
        largest_pattern: Of the largest finite number, without sign.
    """

    name: str
    num_bits: int
    exponent_bits: int
    fraction_bits: int
    largest_pattern: int

    @property
    def shift(self) -> int:
        """Fraction bits of float32 that it does not have."""
        return FRACTION_BITS_32 - self.fraction_bits

    @property
    def exponent_offset(self) -> int:
        """float32's exponent field less this one's, for one number."""
        return BIAS_32 + 1 - (1 << (self.exponent_bits - 1))

    @property
    def rebias(self) -> int:
        """What a normal number's float32 pattern, shifted, is above its own."""
        return self.exponent_offset << self.fraction_bits

    @property
    def largest(self) -> int:
        """float32's bits of the largest finite number."""
        return (self.largest_pattern + self.rebias) << self.shift

    @property
    def lowest_exponent(self) -> int:
        """float32's exponent field of the smallest normal number; 0 where all are alike."""
        return self.exponent_offset + 1 if self.exponent_offset else 0


# fmt: off
LAYOUTS = {
    each.name: each
    for each in (
        RoundingLayout(
            name="bfloat16", num_bits=16, exponent_bits=8, fraction_bits=7,
            largest_pattern=0x7F7F,
        ),
        RoundingLayout(
            name="float16", num_bits=16, exponent_bits=5, fraction_bits=10,
            largest_pattern=0x7BFF,
        ),
        RoundingLayout(
            name="e4m3fn", num_bits=8, exponent_bits=4, fraction_bits=3, largest_pattern=0x7E,
        ),
        RoundingLayout(
            name="e5m2", num_bits=8, exponent_bits=5, fraction_bits=2, largest_pattern=0x7B,
        ),
    )
}
# fmt: on
"""The formats of up to 16 bits."""


def round_to_patterns(
    values: NDArray[np.float32], layout: RoundingLayout
) -> tuple[NDArray[np.uint16], NDArray[np.bool_]]:
    """Patterns of the nearest numbers, and which numbers the rounding changed.

    The plain form of `analysis.quantize.rounding_kernel`, which is tested against it. The pattern
    of what is not finite means nothing.

    >>> patterns, changed = round_to_patterns(
    ...     np.array([1.0, -1.0, 1.001], dtype=np.float32), LAYOUTS["e4m3fn"]
    ... )
    >>> [hex(pattern) for pattern in patterns], changed.tolist()
    (['0x38', '0xb8', '0x38'], [False, False, True])
    """
    bits = np.ascontiguousarray(values, dtype=np.float32).reshape(-1).view(np.uint32)
    magnitude = bits & np.uint32(MAGNITUDE_32)
    kept = np.minimum(magnitude, np.uint32(layout.largest))
    shift = np.uint32(layout.shift)
    half = np.uint32((1 << (layout.shift - 1)) - 1)
    rounded = ((kept + half + ((kept >> shift) & np.uint32(1))) >> shift) - np.uint32(layout.rebias)
    back = (rounded + np.uint32(layout.rebias)) << shift
    if layout.lowest_exponent:
        # Adding a number whose last place is the smallest subnormal rounds to a multiple of it.
        is_small = kept < np.uint32(layout.lowest_exponent << FRACTION_BITS_32)
        exponent = layout.lowest_exponent - BIAS_32 - layout.fraction_bits + FRACTION_BITS_32
        anchor = np.float32(2.0**exponent)
        sums = np.where(is_small, kept, np.uint32(0)).view(np.float32) + anchor
        rounded = np.where(is_small, sums.view(np.uint32) - anchor.view(np.uint32), rounded)
        back = np.where(is_small, (sums - anchor).view(np.uint32), back)
    sign = (bits >> np.uint32(32 - layout.num_bits)) & np.uint32(1 << (layout.num_bits - 1))
    return (rounded | sign).astype(np.uint16), back != magnitude
