"""Which patterns of R_b occur in tensors that are scanned piece by piece."""

from typing import Protocol

import numpy as np

from analysis.quantize.rounding_kernel import Bits, Flags, Marks, load_scan
from analysis.quantize.rounding_layout import LAYOUTS
from analysis.quantize.wide_patterns import WidePatterns


class PatternSet(Protocol):
    """The patterns that occur, by tensor and in all.

    Attributes:
        num_threads: How many may scan at the same time, each with marks of its own.
    """

    num_threads: int

    def start(self) -> Marks:
        """Marks with nothing seen."""

    def scan(self, bits: Bits, marks: Marks) -> None:
        """Look at float32 bits of one tensor."""

    def finish(self, marks: Marks) -> int:
        """Distinct nonzero patterns of a tensor whose marks are all in; they join the union."""

    def count_union(self) -> int:
        """Distinct nonzero patterns of all tensors that are finished."""


def make_pattern_set(format_name: str, *, compiled: bool = True) -> PatternSet:
    """The set for a format of `analysis.quantize.formats.FORMATS`.

    Args:
        format_name: Its name.
        compiled: Whether to use numba where it is there.
    """
    if format_name in LAYOUTS:
        return NarrowPatterns(format_name, compiled=compiled)
    return WidePatterns(compiled=compiled)


class NarrowPatterns:
    """Patterns of up to 16 bits: a flag for each."""

    num_threads = 2

    def __init__(self, format_name: str, *, compiled: bool = True) -> None:
        self._layout = LAYOUTS[format_name]
        self._scan = load_scan(compiled=compiled)
        self._union = self.start().seen

    def start(self) -> Marks:
        """Marks with nothing seen."""
        return Marks(seen=np.zeros(1 << self._layout.num_bits, dtype=np.uint8))

    def scan(self, bits: Bits, marks: Marks) -> None:
        """Look at float32 bits of one tensor."""
        self._scan(bits, marks.seen, marks.totals, self._layout)

    def finish(self, marks: Marks) -> int:
        """Distinct nonzero patterns of a tensor; they join the union."""
        self._union |= marks.seen
        return self._count(marks.seen)

    def count_union(self) -> int:
        """Distinct nonzero patterns of all tensors."""
        return self._count(self._union)

    def _count(self, seen: Flags) -> int:
        zeros = int(seen[0]) + int(seen[len(seen) // 2])  # +0 and -0
        return int(np.count_nonzero(seen)) - zeros
