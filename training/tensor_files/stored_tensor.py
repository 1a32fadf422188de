"""Tensors that stay in their file until their numbers are asked for. No torch."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.system.file_bytes import FileBytes
from training.tensor_files.number_types import Float32s, NumberType

_CHUNK = 1 << 20
_MAX_DIMENSIONS = 32
_MAX_NAME = 60


@dataclass(frozen=True, kw_only=True, eq=False)
class StoredTensor:
    """A dense tensor in a file.

    Attributes:
        shape: Its shape.
        number_type: Of its numbers.
        source: The open file.
        start: Byte of the file where its numbers begin.
        strides: Numbers from one index to the next in each dimension, where they do not lie row
            by row; the tensor then fills its piece of the file in another order. None row by row.
    """

    shape: tuple[int, ...]
    number_type: NumberType
    source: FileBytes
    start: int
    strides: tuple[int, ...] | None = None

    @property
    def num_numbers(self) -> int:
        """How many numbers it has."""
        return math.prod(self.shape)

    @property
    def num_bytes(self) -> int:
        """Bytes of the file that are its own."""
        return self.num_numbers * self.number_type.num_bytes

    @property
    def stored(self) -> "StoredTensor":
        """The numbers that lie in the file: all of them."""
        return self

    @property
    def place(self) -> tuple[object, ...]:
        """Equal for tensors that are one and the same in the file."""
        return (self.source, self.start, self.number_type.name, self.shape, self.strides)

    def read_piece(self, first: int, count: int) -> NDArray[Any]:
        """Numbers `first` to `first + count` as they are stored, in the order of the file.

        Raises:
            CheckpointError: The file cannot be read any more.
        """
        piece = np.empty(count, dtype=self.number_type.storage)
        self.read_piece_into(first, piece)
        return piece

    def read_piece_into(self, first: int, piece: NDArray[Any]) -> None:
        """Fill an array of the stored type with the numbers from `first` on."""
        self.source.read_into(self.start + first * self.number_type.num_bytes, piece)

    def read(self) -> NDArray[Any]:
        """The whole tensor, row by row, in the type that it is stored in."""
        numbers = self.read_piece(0, self.num_numbers)
        if self.strides is None:
            return numbers.reshape(self.shape)
        steps = tuple(stride * numbers.itemsize for stride in self.strides)
        view = np.lib.stride_tricks.as_strided(numbers, self.shape, steps, writeable=False)
        return np.ascontiguousarray(view)

    def read_float32(self) -> Float32s:
        """The whole tensor as float32, row by row."""
        return self.number_type.to_float32(self.read())

    def read_float64(self) -> NDArray[np.float64]:
        """The whole tensor as float64, row by row; exact for every floating-point type."""
        if self.number_type.name == "float64":
            return self.read().astype(np.float64)
        return self.read_float32().astype(np.float64)


@dataclass(frozen=True, kw_only=True, eq=False)
class StoredRows:
    """A matrix in a file as compressed sparse rows: what is not stored is +0.

    Attributes:
        shape: Of the tensor that the matrix stands for; its first dimension are the rows.
        row_ends: Where each row ends in `columns`, after a first 0.
        columns: Column of each stored entry.
        stored: The stored entries.
    """

    shape: tuple[int, ...]
    row_ends: StoredTensor
    columns: StoredTensor
    stored: StoredTensor

    @property
    def num_numbers(self) -> int:
        """How many numbers it has, those that are not stored counted in."""
        return math.prod(self.shape)

    @property
    def number_type(self) -> NumberType:
        """Of its entries."""
        return self.stored.number_type

    @property
    def num_bytes(self) -> int:
        """Bytes of the file that are its own."""
        return self.stored.num_bytes + self.columns.num_bytes + self.row_ends.num_bytes

    @property
    def matrix_shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.shape[0], math.prod(self.shape[1:])

    def check(self) -> None:
        """Check that the rows are what a matrix of this shape has, each entry once.

        Raises:
            ValueError: They are not.
        """
        num_rows, num_columns = self.matrix_shape
        num_stored = self.stored.num_numbers
        for indices in (self.row_ends, self.columns):
            if indices.number_type.name not in ("int32", "int64") or len(indices.shape) != 1:
                raise ValueError("is a sparse tensor with corrupt indices")
        if self.row_ends.shape != (num_rows + 1,) or self.columns.num_numbers != num_stored:
            raise ValueError("is a sparse tensor whose parts do not fit each other")
        ends = self.row_ends.read().astype(np.int64)
        if ends[0] != 0 or ends[-1] != num_stored or (np.diff(ends) < 0).any():
            raise ValueError("is a sparse tensor with corrupt rows")
        last = -1
        for first in range(0, num_stored, _CHUNK):
            piece = self.columns.read_piece(first, min(_CHUNK, num_stored - first)).astype(np.int64)
            if piece.min() < 0 or piece.max() >= num_columns:
                raise ValueError("is a sparse tensor with corrupt columns")
            rising = np.diff(piece, prepend=last) > 0
            starts = ends[np.searchsorted(ends, first) : np.searchsorted(ends, first + len(piece))]
            rising[starts - first] = True  # the first entry of a row follows nothing
            if not rising.all():
                raise ValueError("is a sparse tensor whose columns are not in order")
            last = int(piece[-1])


def shorten(name: str) -> str:
    """A name from a file in quotes, on one line and not too long, for messages.

    >>> shorten("a.weight"), shorten("x" * 1000) == repr("x" * 60 + "...")
    ("'a.weight'", True)
    """
    return repr(name if len(name) <= _MAX_NAME else name[:_MAX_NAME] + "...")


def printable(name: str) -> str:
    """A name from a file as a table can print it: as it is, or escaped, and not too long.

    >>> printable("a.weight"), len(printable("x" * 1000)), printable(chr(0)).isprintable()
    ('a.weight', 123, True)
    """
    shown = name if name.isprintable() else repr(name)[1:-1]
    return shown if len(shown) <= 2 * _MAX_NAME else shown[: 2 * _MAX_NAME] + "..."


def is_shape(value: Any) -> bool:
    """Whether it is a tuple of integers >= 0 that can be the shape of an array.

    >>> is_shape((2, 0)), is_shape([2, 3]), is_shape((2, -1)), is_shape((True,))
    (True, False, False, False)
    """
    return (
        isinstance(value, tuple)
        and len(value) <= _MAX_DIMENSIONS
        and all(type(size) is int and 0 <= size < 2**62 for size in value)
    )
