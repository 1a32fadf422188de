"""Counts of tensors that stay in their file: one pass, in pieces, by two threads.

`analysis.quantize.nonzeros` counts tensors in memory that are rounded already. Here each piece of a
file is read, rounded to patterns of R_b and counted while the next piece is read, so that the pass
takes little longer than reading and little memory whatever the size of the file.
"""

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.quantize.formats import NumberFormat
from analysis.quantize.nonzeros import Counts, NetworkCounts, TensorCounts
from analysis.quantize.patterns import PatternSet, make_pattern_set
from analysis.quantize.rounding_kernel import (
    NUM_NONZEROS,
    NUM_ROUNDED,
    NUM_STORED_NONZEROS,
    NUM_TOTALS,
    Marks,
    load_scan,
)
from training.run.progress import OnCount
from training.tensor_files.stored_tensor import Float32s, StoredRows, StoredTensor

Source = StoredTensor | StoredRows | Float32s
"""A tensor in a file, or one in memory."""

PIECE = 1 << 20  # numbers
_MAX_NUMBER_BYTES = 8


@dataclass(frozen=True, kw_only=True)
class Piece:
    """Some numbers of one tensor.

    Attributes:
        index: Which tensor, from 0.
        numbers: As the source has them; valid until the buffer is filled again.
        source: The tensor.
    """

    index: int
    numbers: NDArray[Any]
    source: Source

    def as_float32(self) -> tuple[Float32s, int]:
        """The numbers as float32, and how many of them that changed (float64 alone)."""
        if isinstance(self.source, np.ndarray):
            return self.numbers, 0
        values = self.source.number_type.to_float32(self.numbers)
        if self.source.number_type.name != "float64":
            return values, 0
        return values, int(np.count_nonzero(values != self.numbers))


class PieceReader:
    """Hands out the pieces of some tensors, each one once.

    Args:
        sources: The tensors.
        on_progress: Called with every piece.

    Attributes:
        num_stored: Numbers that each tensor stores, in order.
        num_bytes: Of all of them.
    """

    def __init__(self, sources: Mapping[str, Source], on_progress: OnCount | None = None) -> None:
        self._sources = list(sources.values())
        self._on_progress = on_progress
        self._places = self._find_places()
        self._lock = Lock()
        self._num_done = 0
        self.num_stored = [_num_stored(source) for source in self._sources]
        self.num_bytes = sum(
            count * _number_bytes(source)
            for count, source in zip(self.num_stored, self._sources, strict=True)
        )

    @staticmethod
    def make_buffer() -> NDArray[np.uint8]:
        """Room for one piece; a thread needs one."""
        return np.empty(PIECE * _MAX_NUMBER_BYTES, dtype=np.uint8)

    def read_next(self, buffer: NDArray[np.uint8]) -> Piece | None:
        """The next piece, or None behind the last one. One thread reads while the others work.

        Raises:
            CheckpointError: The file cannot be read any more.
        """
        with self._lock:
            place = next(self._places, None)
            if place is None:
                return None
            index, first, count = place
            source = self._sources[index]
            if isinstance(source, np.ndarray):
                numbers = source.reshape(-1)[first : first + count]
            else:
                stored = source.stored
                num_bytes = count * stored.number_type.num_bytes
                numbers = buffer[:num_bytes].view(stored.number_type.storage)
                stored.read_unnoted(first, numbers)
            if self._on_progress is not None:
                self._num_done += numbers.nbytes
                self._on_progress(self._num_done, self.num_bytes)
        if not isinstance(source, np.ndarray):
            source.stored.note(first, numbers)
        return Piece(index=index, numbers=numbers, source=source)

    def stop(self) -> None:
        """Hand out nothing more."""
        with self._lock:
            self._places = iter(())

    def _find_places(self) -> Iterator[tuple[int, int, int]]:
        for index, source in enumerate(self._sources):
            num_stored = _num_stored(source)
            for first in range(0, num_stored, PIECE):
                yield index, first, min(PIECE, num_stored - first)


def _num_stored(source: Source) -> int:
    return source.size if isinstance(source, np.ndarray) else source.stored.num_numbers


def _number_bytes(source: Source) -> int:
    return source.itemsize if isinstance(source, np.ndarray) else source.number_type.num_bytes


load_scan()  # numba takes half a second to load: with this module, not within the first pass


@dataclass(frozen=True, kw_only=True)
class StreamCounts:
    """What one pass found.

    Attributes:
        counts: Of the rounded tensors.
        stored_nonzeros: Nonzeros by tensor as the file has them, before rounding.
        rounded: Numbers by tensor that rounding changed, at least.
    """

    counts: NetworkCounts
    stored_nonzeros: dict[str, int]
    rounded: dict[str, int]


def count_sources(
    sources: Mapping[str, Source],
    number_format: NumberFormat,
    *,
    on_progress: OnCount | None = None,
    compiled: bool = True,
) -> StreamCounts:
    """Round every tensor to R_b and count it, without holding it.

    Args:
        sources: Tensors in files, or float32 arrays, by name.
        number_format: R_b.
        on_progress: Called with bytes done and bytes in all, from any thread.
        compiled: Whether to use numba where it is there.

    Raises:
        CheckpointError: A file cannot be read any more.
        ValueError: There is no tensor, or one holds a number that is not finite.

    >>> from analysis.quantize.formats import find_format
    >>> found = count_sources({"a": np.array([0, -0.0, 1.001, 1], np.float32)}, find_format(16))
    >>> found.counts.total.num_nonzeros, found.counts.total.num_distinct, found.rounded
    (2, 2, {'a': 1})
    """
    if not sources:
        raise ValueError("sources must hold at least one tensor")
    patterns = make_pattern_set(number_format.name, compiled=compiled)
    reader = PieceReader(sources, on_progress)
    tally = _Tally(patterns, list(sources), reader.num_stored)
    with ThreadPoolExecutor(patterns.num_threads) as pool:
        try:
            working = [
                pool.submit(_work, reader, patterns, tally) for _ in range(patterns.num_threads)
            ]
            for work in working:
                work.result()
        finally:
            reader.stop()
    return tally.result(sources)


def _work(reader: PieceReader, patterns: PatternSet, tally: "_Tally") -> None:
    """Count pieces until none is left."""
    buffer = reader.make_buffer()
    marks, at, num_scanned = patterns.start(), -1, 0
    try:
        while (piece := reader.read_next(buffer)) is not None:
            if piece.index != at:
                tally.add(at, marks, num_scanned)
                marks, at, num_scanned = patterns.start(), piece.index, 0
            values, num_changed = piece.as_float32()
            before = int(marks.totals[NUM_ROUNDED])
            patterns.scan(values.view(np.uint32), marks)
            after = int(marks.totals[NUM_ROUNDED])
            marks.totals[NUM_ROUNDED] = max(after, before + num_changed)
            num_scanned += len(values)
        tally.add(at, marks, num_scanned)
    except BaseException:
        reader.stop()
        raise


class _Tally:
    """Gathers the marks of all threads; a tensor is finished when all of its numbers are in."""

    def __init__(self, patterns: PatternSet, names: list[str], num_stored: list[int]) -> None:
        self._patterns = patterns
        self._names = names
        self._missing = list(num_stored)
        self._pending: dict[int, Marks] = {}
        self._num_distinct = [0] * len(names)
        self._totals = [np.zeros(NUM_TOTALS, dtype=np.int64) for _ in names]
        self._lock = Lock()

    def add(self, index: int, marks: Marks, num_scanned: int) -> None:
        """Take in what a thread saw of a tensor."""
        if not num_scanned:
            return
        if marks.has_infinite:
            raise ValueError(
                f"{self._names[index]}: values to quantise must be finite, and some are infinite "
                "or NaN"
            )
        with self._lock:
            if index in self._pending:
                self._pending[index].join(marks)
            else:
                self._pending[index] = marks
            self._missing[index] -= num_scanned
            if not self._missing[index]:
                whole = self._pending.pop(index)
                self._num_distinct[index] = self._patterns.finish(whole)
                self._totals[index] = whole.totals

    def result(self, sources: Mapping[str, Source]) -> StreamCounts:
        """The counts, once all numbers are in."""
        rows = tuple(
            TensorCounts(
                name=name,
                shape=tuple(source.shape),
                num_weights=source.size if isinstance(source, np.ndarray) else source.num_numbers,
                num_nonzeros=int(totals[NUM_NONZEROS]),
                num_distinct_nonzero=num_distinct,
            )
            for (name, source), totals, num_distinct in zip(
                sources.items(), self._totals, self._num_distinct, strict=True
            )
        )
        total = Counts(
            num_weights=sum(row.num_weights for row in rows),
            num_nonzeros=sum(row.num_nonzeros for row in rows),
            num_distinct_nonzero=self._patterns.count_union(),
        )
        return StreamCounts(
            counts=NetworkCounts(tensors=rows, total=total),
            stored_nonzeros=self._by_name(NUM_STORED_NONZEROS),
            rounded=self._by_name(NUM_ROUNDED),
        )

    def _by_name(self, which: int) -> dict[str, int]:
        totals = (int(each[which]) for each in self._totals)
        return dict(zip(self._names, totals, strict=True))
