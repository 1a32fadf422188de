"""One pass over float32 bits: round to the b-bit patterns of R_b, mark which occur, and count.

`analysis.quantize.formats` rounds tensors to values. To count, only the patterns matter: this is
the same rounding (nearest, ties to even, subnormal numbers included, saturating) from float32 bits
straight to patterns, with nothing written in between.

The functions are plain Python on arrays of NumPy. `load_scan` compiles them where numba is
installed; elsewhere `scan_plain` does the same by NumPy's own operations, several times slower.
All arithmetic is on 32-bit unsigned numbers, so that the compiler can use whole vectors.
"""

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

FRACTION_BITS_32 = 23
BIAS_32 = 127
MAGNITUDE_32 = 0x7FFFFFFF
INFINITY_32 = 0x7F800000

Bits = NDArray[np.uint32]
Patterns = NDArray[np.uint16]
Flags = NDArray[np.uint8]
Totals = NDArray[np.int64]
Found = tuple[np.uint32, np.uint32, np.uint32, np.uint32]
NUM_NONZEROS = 0  # after rounding
NUM_STORED_NONZEROS = 1  # before it
NUM_ROUNDED = 2  # numbers that rounding changes
LARGEST = 3  # magnitude bits of the largest number
NUM_TOTALS = 4
BLOCK = 4096  # numbers at a time, whose patterns stay in the nearest cache


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


Scan = Callable[[Bits, Flags, Totals, RoundingLayout], None]


@dataclass(frozen=True, kw_only=True)
class Marks:
    """What one thread saw of one tensor.

    Attributes:
        seen: Flags; of what, the set that made them knows.
        totals: `NUM_TOTALS` numbers.
    """

    seen: Flags
    totals: Totals = field(default_factory=lambda: np.zeros(NUM_TOTALS, dtype=np.int64))

    def join(self, others: "Marks") -> None:
        """Add what another thread saw of the same tensor."""
        self.seen[:] |= others.seen
        largest = max(self.totals[LARGEST], others.totals[LARGEST])
        self.totals[:] += others.totals
        self.totals[LARGEST] = largest

    @property
    def has_infinite(self) -> bool:
        """Whether a number was infinite or NaN."""
        return bool(self.totals[LARGEST] >= INFINITY_32)


@lru_cache(maxsize=2)
def load_scan(*, compiled: bool = True) -> Scan:
    """The function that scans a piece of numbers.

    It takes float32 bits, flags for all 2^b patterns, `NUM_TOTALS` totals and a layout; it sets
    the flags of the patterns that occur and adds to the totals. It may run in several threads at
    once, each with flags and totals of its own.
    """
    if not compiled or importlib.util.find_spec("numba") is None:
        return scan_plain
    return _compile_scan()


def scan_plain(bits: Bits, seen: Flags, totals: Totals, layout: RoundingLayout) -> None:
    """The scan by NumPy's own operations."""
    for start in range(0, len(bits), 1 << 16):
        piece = bits[start : start + (1 << 16)]
        patterns, changed = round_to_patterns(piece.view(np.float32), layout)
        seen[patterns] = 1
        magnitude = piece & np.uint32(MAGNITUDE_32)
        unsigned = patterns & np.uint16((1 << (layout.num_bits - 1)) - 1)
        totals[NUM_NONZEROS] += np.count_nonzero(unsigned)
        totals[NUM_STORED_NONZEROS] += np.count_nonzero(magnitude)
        totals[NUM_ROUNDED] += np.count_nonzero(changed)
        totals[LARGEST] = max(totals[LARGEST], int(magnitude.max()))


def compile_kernel(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function compiled by numba; the compiled form is kept for the next time where it can be."""
    import numba  # noqa: PLC0415  # takes 0.3 s, and only counting needs it

    try:
        kept: Callable[..., Any] = numba.njit(cache=True, nogil=True, error_model="numpy")(function)
    except RuntimeError:  # nowhere to keep it
        return numba.njit(nogil=True, error_model="numpy")(function)
    return kept


def _compile_scan() -> Scan:
    from numba.extending import register_jitable  # noqa: PLC0415

    for function in (_round_by_shift, _round_with_subnormals):
        register_jitable(function)
    scan_bits = compile_kernel(_scan_bits)

    def scan(bits: Bits, seen: Flags, totals: Totals, layout: RoundingLayout) -> None:
        settings = (
            layout.shift,
            layout.rebias,
            layout.largest,
            layout.lowest_exponent,
            32 - layout.num_bits,
            1 << (layout.num_bits - 1),
        )
        scan_bits(bits, seen, totals, np.array(settings, dtype=np.uint32))

    marks = Marks(seen=np.zeros(1 << 8, dtype=np.uint8))
    scan(np.zeros(1, dtype=np.uint32), marks.seen, marks.totals, LAYOUTS["e5m2"])  # loads it
    return scan


def _scan_bits(bits: Bits, seen: Flags, totals: Totals, settings: Bits) -> None:
    """Scan block by block; the patterns of a block stay in the nearest cache."""
    patterns = np.empty(BLOCK, dtype=np.uint16)
    for start in range(0, len(bits), BLOCK):
        block = bits[start : start + BLOCK]
        if settings[3]:
            found = _round_with_subnormals(block, patterns, settings)
        else:
            found = _round_by_shift(block, patterns, settings)
        totals[NUM_NONZEROS] += found[0]
        totals[NUM_STORED_NONZEROS] += found[1]
        totals[NUM_ROUNDED] += found[2]
        totals[LARGEST] = max(totals[LARGEST], np.int64(found[3]))
        for index in range(len(block)):
            seen[patterns[index]] = 1


def _round_by_shift(bits: Bits, patterns: Patterns, settings: Bits) -> Found:
    """A format with float32's exponents: every number is its upper bits, rounded.

    NumPy's 32-bit numbers are written out at every step: numba would go on in 64 bits.
    """
    one = np.uint32(1)
    shift, largest = settings[0], settings[2]
    half = np.uint32(np.uint32(one << np.uint32(shift - one)) - one)
    sign_shift, sign_bit = settings[4], settings[5]
    nonzeros, stored, changed, top = np.uint32(0), np.uint32(0), np.uint32(0), np.uint32(0)
    for index in range(len(bits)):
        magnitude = np.uint32(bits[index] & np.uint32(MAGNITUDE_32))
        kept = min(magnitude, largest)
        even = np.uint32(np.uint32(kept >> shift) & one)
        rounded = np.uint32(np.uint32(np.uint32(kept + half) + even) >> shift)
        sign = np.uint32(np.uint32(bits[index] >> sign_shift) & sign_bit)
        patterns[index] = np.uint16(rounded | sign)
        nonzeros = np.uint32(nonzeros + np.uint32(rounded != np.uint32(0)))
        stored = np.uint32(stored + np.uint32(magnitude != np.uint32(0)))
        changed = np.uint32(changed + np.uint32(np.uint32(rounded << shift) != magnitude))
        top = max(top, magnitude)
    return nonzeros, stored, changed, top


def _round_with_subnormals(bits: Bits, patterns: Patterns, settings: Bits) -> Found:
    """A format of fewer exponents: below its lowest, one more fraction bit goes for each step.

    A number below float32's own lowest exponent is far below half of the smallest one here.
    """
    zero, one, last = np.uint32(0), np.uint32(1), np.uint32(31)
    point = np.uint32(FRACTION_BITS_32)
    fraction, hidden = np.uint32((1 << FRACTION_BITS_32) - 1), np.uint32(1 << FRACTION_BITS_32)
    rebias, largest, lowest = settings[1], settings[2], settings[3]
    sign_shift, sign_bit = settings[4], settings[5]
    nonzeros, stored, changed, top = zero, zero, zero, zero
    for index in range(len(bits)):
        magnitude = np.uint32(bits[index] & np.uint32(MAGNITUDE_32))
        kept = min(magnitude, largest)
        exponent = np.uint32(kept >> point)
        below = np.uint32(max(lowest, exponent) - exponent)
        is_small = below != zero
        number = np.uint32(np.uint32(kept & fraction) | hidden) if is_small else kept
        shift = min(np.uint32(settings[0] + below), last)
        half = np.uint32(np.uint32(one << np.uint32(shift - one)) - one)
        even = np.uint32(np.uint32(number >> shift) & one)
        rounded = np.uint32(np.uint32(np.uint32(number + half) + even) >> shift)
        back = np.uint32(rounded << shift)
        is_other = magnitude != zero and (back != number or kept != magnitude)
        rounded = rounded if is_small else np.uint32(rounded - rebias)
        sign = np.uint32(np.uint32(bits[index] >> sign_shift) & sign_bit)
        patterns[index] = np.uint16(rounded | sign)
        nonzeros = np.uint32(nonzeros + np.uint32(rounded != zero))
        stored = np.uint32(stored + np.uint32(magnitude != zero))
        changed = np.uint32(changed + np.uint32(is_other))
        top = max(top, magnitude)
    return nonzeros, stored, changed, top
