"""Which bit patterns of R_b occur in tensors that are scanned piece by piece."""

import importlib.util
from collections.abc import Callable
from functools import lru_cache
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from analysis.quantize.rounding_kernel import (
    LARGEST,
    LAYOUTS,
    MAGNITUDE_32,
    NUM_NONZEROS,
    NUM_STORED_NONZEROS,
    Bits,
    Flags,
    Marks,
    compile_kernel,
    load_scan,
)

Words = NDArray[np.uint64]
WideScan = Callable[[Bits, Words, NDArray[np.uint8]], None]

_NUM_WORDS = 1 << 26
_PAGE_WORDS = 512  # 4 KiB, which the system gives as a whole
_PAGES_AT_ONCE = 4096


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


class WidePatterns:
    """The float32 numbers that occur: a bit for each of the 2^32.

    Only what is touched takes memory. Weights of a network lie in few of float32's powers of two,
    so some 2 MiB a power are touched. One thread scans: two would overwrite each other's bits.
    """

    num_threads = 1

    def __init__(self, *, compiled: bool = True) -> None:
        self._scan = _load_scan(compiled=compiled)
        self._words: Words = np.zeros(_NUM_WORDS, dtype=np.uint64)
        self._union: Words = np.zeros(_NUM_WORDS, dtype=np.uint64)
        self._touched = self.start().seen

    def start(self) -> Marks:
        """Marks with nothing seen: flags of touched pages."""
        return Marks(seen=np.zeros(_NUM_WORDS // _PAGE_WORDS, dtype=np.uint8))

    def scan(self, bits: Bits, marks: Marks) -> None:
        """Look at float32 bits of the tensor that is at work."""
        self._scan(bits, self._words, marks.seen)
        magnitude = bits & np.uint32(MAGNITUDE_32)
        nonzeros = np.count_nonzero(magnitude)
        marks.totals[NUM_NONZEROS] += nonzeros
        marks.totals[NUM_STORED_NONZEROS] += nonzeros
        if len(magnitude):
            marks.totals[LARGEST] = max(marks.totals[LARGEST], int(magnitude.max()))

    def finish(self, marks: Marks) -> int:
        """Distinct nonzero numbers of a tensor; they join the union, and the bits are cleared."""
        words, union = self._words.reshape(-1, _PAGE_WORDS), self._union.reshape(-1, _PAGE_WORDS)
        pages = np.flatnonzero(marks.seen)
        num_distinct = 0
        for start in range(0, len(pages), _PAGES_AT_ONCE):
            some = pages[start : start + _PAGES_AT_ONCE]
            found = words[some]
            num_distinct += int(np.bitwise_count(found).sum(dtype=np.int64))
            union[some] |= found
            words[some] = 0
        self._touched |= marks.seen
        return num_distinct

    def count_union(self) -> int:
        """Distinct nonzero numbers of all tensors."""
        union = self._union.reshape(-1, _PAGE_WORDS)
        pages = np.flatnonzero(self._touched)
        parts = (
            union[pages[start : start + _PAGES_AT_ONCE]]
            for start in range(0, len(pages), _PAGES_AT_ONCE)
        )
        return sum(int(np.bitwise_count(part).sum(dtype=np.int64)) for part in parts)


@lru_cache(maxsize=2)
def _load_scan(*, compiled: bool) -> WideScan:
    if not compiled or importlib.util.find_spec("numba") is None:
        return _scan_plain
    return compile_kernel(_scan_bits)


def _scan_plain(bits: Bits, words: Words, pages: NDArray[np.uint8]) -> None:
    nonzeros = np.unique(bits[(bits & np.uint32(MAGNITUDE_32)) != 0])
    places = nonzeros >> np.uint32(6)
    flags = np.uint64(1) << (nonzeros & np.uint32(63)).astype(np.uint64)
    np.bitwise_or.at(words, places, flags)
    pages[places // _PAGE_WORDS] = 1


def _scan_bits(bits: Bits, words: Words, pages: NDArray[np.uint8]) -> None:
    for index in range(len(bits)):
        if bits[index] & np.uint32(MAGNITUDE_32):
            place = np.int64(bits[index] >> np.uint32(6))
            words[place] |= np.uint64(1) << np.uint64(bits[index] & np.uint32(63))
            pages[place // _PAGE_WORDS] = 1
