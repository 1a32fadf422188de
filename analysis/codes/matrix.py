"""Tensors as the codes see them: bit patterns of b-bit numbers, without the zeros.

A few bits can stand for a large network whose numbers are all alike, so the length of the data is
no limit to what a decoder allocates; the memory that is available is.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from analysis.codes.arithmetic_coder import CodecError
from analysis.quantize.formats import NumberFormat, chunks
from analysis.quantize.integers import IntegerFormat
from training.system import memory

Ints = NDArray[np.int64]
Numbers = NumberFormat | IntegerFormat
"""The set that the numbers of a tensor are from: R_b, or the integers of b bits."""

BYTES_A_PLACE = 8
"""What the column of a nonzero number takes."""
BYTES_A_VALUE = 16
"""What a nonzero number takes beside its column while it is decoded: its symbol and its pattern."""
BYTES_A_ROW = 24
"""Most that a row of a matrix takes beside its nonzeros."""
_ASKED_FOR = 1 << 20  # Bytes.
_CHUNK = 1 << 20  # Entries whose places are found at once.
_UNSIGNED = {8: np.uint8, 16: np.uint16, 32: np.uint32}


@dataclass(frozen=True, kw_only=True, eq=False)
class SparseMatrix:
    """The nonzeros of a matrix, row by row.

    Attributes:
        num_rows: Rows.
        num_columns: Columns.
        row_starts: int64 (num_rows + 1,): where each row's nonzeros start.
        columns: int64 (nonzeros,): ascending in each row.
        patterns: int64 (nonzeros,): bit patterns as integers >= 1.
    """

    num_rows: int
    num_columns: int
    row_starts: Ints
    columns: Ints
    patterns: Ints

    @property
    def num_nonzeros(self) -> int:
        """‖w‖₀."""
        return len(self.columns)

    @property
    def is_full(self) -> bool:
        """Whether no entry is zero."""
        return self.num_nonzeros == self.num_rows * self.num_columns

    def select_rows(self, rows: Ints) -> "SparseMatrix":
        """The matrix of these rows alone, in that order."""
        counts = np.diff(self.row_starts)[rows]
        starts = np.zeros(len(rows) + 1, dtype=np.int64)
        np.cumsum(counts, out=starts[1:])
        offsets = np.repeat(self.row_starts[rows] - starts[:-1], counts)
        places = np.arange(starts[-1]) + offsets
        return SparseMatrix(
            num_rows=len(rows),
            num_columns=self.num_columns,
            row_starts=starts,
            columns=self.columns[places],
            patterns=self.patterns[places],
        )


def read_patterns(values: Tensor, number_format: Numbers) -> Ints:
    """Bit patterns, flat, of values that are numbers of the set.

    Raises:
        ValueError: A value is not in the set, or is not finite.
    """
    if isinstance(number_format, IntegerFormat):
        return number_format.patterns(values)
    found = np.empty(values.numel(), dtype=np.int64)
    start = 0
    unsigned = _UNSIGNED[number_format.bits_per_weight]
    for piece in chunks(values.detach().contiguous()):
        chunk = piece + 0.0  # -0 + 0 is 0: zero has one pattern
        codes = number_format.codes(chunk).cpu().numpy().view(unsigned)
        same = torch.equal(_as_values(codes, number_format).to(chunk.dtype), chunk)
        if not (same and bool(torch.isfinite(chunk).all())):
            raise ValueError(
                f"values must be finite numbers of {number_format.name}; round them first, "
                "by quantize_network"
            )
        found[start : start + len(codes)] = codes
        start += len(codes)
    return found


def make_values(patterns: Ints, number_format: Numbers) -> Tensor:
    """The numbers, float32 or integers, that patterns stand for.

    Raises:
        CodecError: One stands for infinity or NaN, or for -0: no encoder writes it.
    """
    bits = number_format.bits_per_weight
    if len(patterns) and (patterns.min() < 0 or patterns.max() >> bits):
        raise CodecError(f"damaged: a pattern of more than {bits} bits")
    if isinstance(number_format, IntegerFormat):
        return number_format.values(patterns)
    values = _as_values(patterns.astype(_UNSIGNED[bits]), number_format)
    if not bool(torch.isfinite(values).all()):
        raise CodecError("damaged: a number that is infinite or not a number")
    if np.any(patterns == 1 << (bits - 1)):
        raise CodecError("damaged: a negative zero")
    return values


def to_matrix(values: Tensor, number_format: Numbers, num_rows: int) -> SparseMatrix:
    """The nonzeros of a tensor, cut into `num_rows` rows of equal length."""
    flat = values.detach().reshape(-1)
    num_columns = flat.numel() // num_rows
    places = _nonzero_places(flat)
    starts = np.searchsorted(places, np.arange(num_rows + 1, dtype=np.int64) * num_columns)
    kept = flat if len(places) == flat.numel() else flat[torch.from_numpy(places)]
    return SparseMatrix(
        num_rows=num_rows,
        num_columns=num_columns,
        row_starts=starts.astype(np.int64),
        columns=places % num_columns,
        patterns=read_patterns(kept, number_format),
    )


def to_tensor(matrix: SparseMatrix, number_format: Numbers, shape: tuple[int, ...]) -> Tensor:
    """The dense tensor of that shape, the inverse of `to_matrix`."""
    dtype = make_values(matrix.patterns[:0], number_format).dtype
    flat = torch.zeros(matrix.num_rows * matrix.num_columns, dtype=dtype)
    starts = matrix.row_starts
    for first in range(0, matrix.num_nonzeros, _CHUNK):
        end = min(first + _CHUNK, matrix.num_nonzeros)
        low, high = (
            np.searchsorted(starts, first, "right") - 1,
            np.searchsorted(starts, end, "left"),
        )
        ends: Ints = np.clip(starts[low : high + 1], first, end)
        rows = np.repeat(np.arange(low, high), ends[1:] - ends[:-1])
        places = torch.from_numpy(rows * matrix.num_columns + matrix.columns[first:end])
        flat[places] = make_values(matrix.patterns[first:end], number_format)
    return flat.view(shape)


def _nonzero_places(flat: Tensor) -> Ints:
    """Flat indices of the nonzeros, found piece by piece: memory for the nonzeros alone."""
    found = []
    start = 0
    for chunk in chunks(flat.contiguous()):
        found.append(np.flatnonzero(chunk.cpu().numpy()).astype(np.int64) + start)
        start += chunk.numel()
    return np.concatenate(found) if found else np.zeros(0, dtype=np.int64)


def _as_values(codes: NDArray[np.unsignedinteger], number_format: NumberFormat) -> Tensor:
    signed = {8: np.uint8, 16: np.int16, 32: np.int32}[number_format.bits_per_weight]
    raw = torch.from_numpy(np.ascontiguousarray(codes).view(signed))
    return raw.view(number_format.dtype).to(torch.float32)


def check_memory(num_bytes: int) -> None:
    """Refuse to take more memory than is available.

    The coder takes many small arrays, of which asking the system would cost more than all else.

    Args:
        num_bytes: What is about to be taken; below 1 MiB the system is not asked.

    Raises:
        OutOfMemoryError: It is more.
    """
    if num_bytes >= _ASKED_FOR:
        memory.check_memory(num_bytes, "this network")
