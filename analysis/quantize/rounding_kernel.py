"""One pass over float32 bits: round to patterns, mark which occur, and count. For numba.

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

from analysis.quantize.rounding_layout import (
    FRACTION_BITS_32,
    INFINITY_32,
    LAYOUTS,
    MAGNITUDE_32,
    RoundingLayout,
    round_to_patterns,
)

Bits = NDArray[np.uint32]
Patterns = NDArray[np.uint16]
Flags = NDArray[np.uint8]
Totals = NDArray[np.int64]
Found = tuple[np.uint32, np.uint32, np.uint32, np.uint32]
Scan = Callable[[Bits, Flags, Totals, RoundingLayout], None]

NUM_NONZEROS = 0  # after rounding
NUM_STORED_NONZEROS = 1  # before it
NUM_ROUNDED = 2  # numbers that rounding changes
LARGEST = 3  # magnitude bits of the largest number
NUM_TOTALS = 4

BLOCK = 4096  # numbers at a time, whose patterns stay in the nearest cache


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
