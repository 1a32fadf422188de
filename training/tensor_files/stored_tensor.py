"""Tensors that stay in their file until their numbers are asked for, and types of numbers."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from training.system.files import FileBytes
from training.tensor_files.zip_records import Records

Float32s = NDArray[np.float32]

_CHUNK = 1 << 20
_MAX_DIMENSIONS = 32


@dataclass(frozen=True, kw_only=True)
class NumberType:
    """One type of number in a file.

    Attributes:
        name: torch's name of it.
        storage: NumPy's code of what is read, little-endian.
        kind: "float" for what a network computes with; "integer" for integers and flags;
            "other" for what cannot be read as real numbers.
        decode: From stored numbers to float32; floating-point types only.
    """

    name: str
    storage: str
    kind: Literal["float", "integer", "other"]
    decode: Callable[[NDArray[Any]], Float32s] | None = None

    @property
    def num_bytes(self) -> int:
        """Bytes of one number."""
        return np.dtype(self.storage).itemsize

    def to_float32(self, stored: NDArray[Any]) -> Float32s:
        """Values as float32: exact for all types but float64, which is rounded.

        A float64 beyond float32's range becomes infinite.

        Raises:
            ValueError: The type is not of floating point.
        """
        if self.decode is None:
            raise ValueError(f"numbers of type {self.name} cannot be read as float32")
        return np.asarray(self.decode(stored))  # a single number is an array too


def _same(stored: NDArray[Any]) -> Float32s:
    return stored.view(np.float32)


def _cast(stored: NDArray[Any]) -> Float32s:
    with np.errstate(over="ignore", invalid="ignore"):
        return stored.astype(np.float32)


def _shift(stored: NDArray[Any]) -> Float32s:
    """Bfloat16 is the upper half of float32."""
    return (stored.astype(np.uint32) << np.uint32(16)).view(np.float32)


def _look_up(exponent_bits: int, *, has_infinity: bool) -> Callable[[NDArray[Any]], Float32s]:
    return lambda stored: eight_bit_values(exponent_bits, has_infinity=has_infinity)[stored]


@lru_cache(maxsize=4)
def eight_bit_values(exponent_bits: int, *, has_infinity: bool) -> Float32s:
    """The 256 values of an 8-bit float with bias 2^(exponent_bits - 1) - 1.

    Args:
        exponent_bits: 4 (e4m3) or 5 (e5m2).
        has_infinity: Whether the highest exponent is kept for infinity and NaN; if not, only the
            pattern of all ones is NaN ("fn").

    >>> float(eight_bit_values(4, has_infinity=False)[0x7E])
    448.0
    """
    fraction_bits = 7 - exponent_bits
    bias = 2 ** (exponent_bits - 1) - 1
    values = np.empty(256, dtype=np.float32)
    for code in range(256):
        exponent, fraction = (code & 127) >> fraction_bits, code & (2**fraction_bits - 1)
        if has_infinity and exponent == 2**exponent_bits - 1:
            value = float("nan") if fraction else float("inf")
        elif not has_infinity and code & 127 == 127:
            value = float("nan")
        elif exponent:
            value = (1 + fraction / 2**fraction_bits) * 2.0 ** (exponent - bias)
        else:
            value = fraction / 2**fraction_bits * 2.0 ** (1 - bias)
        values[code] = -value if code & 128 else value
    return values


NUMBER_TYPES: dict[str, NumberType] = {
    each.name: each
    for each in (
        NumberType(name="float64", storage="<f8", kind="float", decode=_cast),
        NumberType(name="float32", storage="<f4", kind="float", decode=_same),
        NumberType(name="float16", storage="<f2", kind="float", decode=_cast),
        NumberType(name="bfloat16", storage="<u2", kind="float", decode=_shift),
        NumberType(
            name="float8_e4m3fn",
            storage="<u1",
            kind="float",
            decode=_look_up(4, has_infinity=False),
        ),
        NumberType(
            name="float8_e5m2", storage="<u1", kind="float", decode=_look_up(5, has_infinity=True)
        ),
        NumberType(name="int64", storage="<i8", kind="integer"),
        NumberType(name="int32", storage="<i4", kind="integer"),
        NumberType(name="int16", storage="<i2", kind="integer"),
        NumberType(name="int8", storage="<i1", kind="integer"),
        NumberType(name="uint64", storage="<u8", kind="integer"),
        NumberType(name="uint32", storage="<u4", kind="integer"),
        NumberType(name="uint16", storage="<u2", kind="integer"),
        NumberType(name="uint8", storage="<u1", kind="integer"),
        NumberType(name="bool", storage="<u1", kind="integer"),
        NumberType(name="complex64", storage="<c8", kind="other"),
        NumberType(name="complex128", storage="<c16", kind="other"),
        NumberType(name="float8_e8m0fnu", storage="<u1", kind="other"),
        NumberType(name="float8_e4m3fnuz", storage="<u1", kind="other"),
        NumberType(name="float8_e5m2fnuz", storage="<u1", kind="other"),
    )
}
"""By torch's name."""


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
    source: FileBytes | Records
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

    def read_unnoted(self, first: int, piece: NDArray[Any]) -> None:
        """As `read_piece_into`, for who calls `note` afterwards, such as beside the next read."""
        source = self.source.source if isinstance(self.source, Records) else self.source
        source.read_into(self.start + first * self.number_type.num_bytes, piece)

    def note(self, first: int, piece: NDArray[Any]) -> None:
        """Note the checksum of a piece, where the file has any to compare it with."""
        if isinstance(self.source, Records):
            self.source.note(self.start + first * self.number_type.num_bytes, piece)

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
