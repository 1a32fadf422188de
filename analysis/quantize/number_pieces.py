"""Numbers of many tensors in pieces of float32, in the order of their files, for any threads."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.run.progress import OnCount
from training.tensor_files.number_types import Float32s
from training.tensor_files.stored_tensor import StoredRows, StoredTensor

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
                stored.read_piece_into(first, numbers)
            if self._on_progress is not None:
                self._num_done += numbers.nbytes
                self._on_progress(self._num_done, self.num_bytes)
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
