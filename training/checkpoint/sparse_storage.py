"""Weights as they lie in a file: dense, or compressed sparse rows where that is smaller."""

import math
import warnings
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from training.networks.state_check import view_bits

_CHUNK = 2**18  # Entries whose places are found at once.


def pack_tensor(tensor: Tensor, *, num_stored: int | None = None) -> Tensor:
    """The tensor itself, or a sparse CSR tensor of shape (first dimension, all others) if smaller.

    Stored are all entries but +0: -0 and NaN keep their bits. Indices are int32 where they fit.
    With e bytes an entry and i an index, CSR takes stored·(e + i) + (rows + 1)·i bytes.

    Args:
        tensor: Dense and contiguous, on the CPU, or what `pack_rows` made.
        num_stored: How many entries are not +0, where that is known.
    """
    if tensor.layout == torch.sparse_csr or tensor.dim() < 2 or tensor.numel() == 0:
        return tensor
    num_rows, num_columns = len(tensor), tensor.numel() // len(tensor)
    bits = view_bits(tensor).reshape(num_rows, num_columns)
    if num_stored is None:
        num_stored = int(np.count_nonzero(bits))
    index = _index_type(num_stored, num_columns)
    if not _is_smaller(num_stored, (num_rows, num_columns), bits.dtype):
        return tensor
    row_ends = np.zeros(num_rows + 1, index)
    # NumPy's memory lies on huge pages where torch's does not, which halves the time of this.
    columns, values = np.empty(num_stored, index), np.empty(num_stored, bits.dtype)
    _compress_rows(bits, row_ends, columns, values)
    values_as_stored = _as_tensor(values).view(tensor.dtype)
    return _make_csr(row_ends, columns, values_as_stored, (num_rows, num_columns))


def pack_rows(
    row_ends: NDArray[Any], columns: NDArray[Any], values: Tensor, shape: tuple[int, int]
) -> Tensor | None:
    """What `pack_tensor` makes of the dense tensor with these entries; None if dense is smaller.

    Args:
        row_ends: Integers (rows + 1): row i has entries row_ends[i], ..., row_ends[i + 1] - 1.
        columns: Integers (entries), ascending within a row.
        values: (entries), none of them +0, on the CPU; the result holds them, not a copy.
        shape: (rows, columns).
    """
    if not _is_smaller(len(columns), shape, np.dtype(f"V{values.element_size()}")):
        return None
    index = _index_type(len(columns), shape[1])
    return _make_csr(row_ends.astype(index), columns.astype(index), values, shape)


def _index_type(num_stored: int, num_columns: int) -> np.dtype[Any]:
    return np.dtype(np.int32 if max(num_stored, num_columns) < 2**31 else np.int64)


def _is_smaller(num_stored: int, shape: tuple[int, int], kind: np.dtype[Any]) -> bool:
    """Whether CSR takes less than dense rows and columns of numbers of a type."""
    size = _index_type(num_stored, shape[1]).itemsize
    num_bytes = num_stored * (kind.itemsize + size) + (shape[0] + 1) * size
    return num_bytes < shape[0] * shape[1] * kind.itemsize


def _make_csr(
    row_ends: NDArray[Any], columns: NDArray[Any], values: Tensor, shape: tuple[int, int]
) -> Tensor:
    _pass_over_beta()
    return torch.sparse_csr_tensor(
        torch.from_numpy(row_ends),
        _as_tensor(columns),
        values,
        size=shape,
        check_invariants=False,  # they hold by the way the indices were made
    )


def _compress_rows(
    bits: NDArray[Any], row_ends: NDArray[Any], columns: NDArray[Any], values: NDArray[Any]
) -> None:
    """Write where each row ends, and columns and values of what is not 0, row by row."""
    num_rows, num_columns = bits.shape
    rows_at_once = max(1, _CHUNK // num_columns)
    done = 0
    for first in range(0, num_rows, rows_at_once):
        entries = bits[first : first + rows_at_once].reshape(-1)
        places = np.flatnonzero(entries != 0)
        starts = np.arange(0, entries.size + 1, num_columns)
        ends = np.searchsorted(places, starts)
        row_ends[first + 1 : first + len(starts)] = done + ends[1:]
        values[done : done + len(places)] = entries[places]
        places -= np.repeat(starts[:-1], np.diff(ends))
        columns[done : done + len(places)] = places
        done += len(places)


def _as_tensor(array: NDArray[Any]) -> Tensor:
    """A flat array as a tensor, with stride 1 even if it is empty: equal networks, equal files."""
    return torch.from_numpy(array).as_strided(array.shape, (1,))


def unpack_rows(
    row_ends: NDArray[Any], columns: NDArray[Any], values: NDArray[Any], shape: tuple[int, ...]
) -> NDArray[Any]:
    """The dense array that `pack_tensor` was given; the same bits.

    Args:
        row_ends: Integers (rows + 1): row i has entries row_ends[i], ..., row_ends[i + 1] - 1.
        columns: Integers (entries), in [0, columns) and each once in a row; not checked here.
        values: (entries), of any type.
        shape: Of the array; its first dimension are the rows.
    """
    num_rows, num_columns = shape[0], math.prod(shape[1:])
    dense = np.zeros(num_rows * num_columns, values.dtype)  # on huge pages, unlike torch's
    places = np.repeat(np.arange(num_rows) * num_columns, np.diff(row_ends))
    places += columns
    dense[places] = values
    return dense.reshape(shape)


@lru_cache(maxsize=1)
def _pass_over_beta() -> None:
    """Take the one warning of torch before 2.13 that CSR tensors are a beta.

    Filters of warnings belong to all threads, so they are changed here once and not at each use.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.eye(1).to_sparse_csr()
