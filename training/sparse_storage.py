"""Weights as they lie in a file: dense, or compressed sparse rows where that is smaller."""

import math
import warnings

import torch
from torch import Tensor

_BITS = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


def pack_tensor(tensor: Tensor) -> Tensor:
    """The tensor itself, or a sparse CSR tensor of shape (first dimension, all others) if smaller.

    Kept are all entries but +0: -0 and NaN keep their bits. Indices are int32 where they fit. With
    e bytes an entry and i an index, CSR takes nonzeros·(e + i) + (rows + 1)·i bytes.

    Args:
        tensor: Dense and contiguous, on the CPU.
    """
    if tensor.dim() < 2 or tensor.numel() == 0:
        return tensor
    matrix = tensor.reshape(len(tensor), -1)
    num_rows, num_columns = matrix.shape
    kept = matrix.view(_BITS[tensor.element_size()]) != 0
    num_kept = int(kept.sum())
    index_dtype = torch.int32 if max(num_kept, num_columns) < 2**31 else torch.int64
    num_bytes = num_kept * (tensor.element_size() + index_dtype.itemsize)
    num_bytes += (num_rows + 1) * index_dtype.itemsize
    if num_bytes >= tensor.numel() * tensor.element_size():
        return tensor
    rows_end = torch.zeros(num_rows + 1, dtype=index_dtype)
    rows_end[1:] = kept.sum(dim=1).cumsum(0)
    columns = kept.nonzero()[:, 1].to(index_dtype)
    with warnings.catch_warnings():  # torch before 2.13 calls CSR tensors a beta.
        warnings.simplefilter("ignore")
        return torch.sparse_csr_tensor(
            rows_end, columns, matrix[kept], size=(num_rows, num_columns), check_invariants=True
        )


def unpack_tensor(stored: Tensor, shape: tuple[int, ...]) -> Tensor:
    """The dense tensor of a known shape that `pack_tensor` was given; the same bits.

    A dense tensor comes back as it is. The invariants of a sparse one must have been checked.

    Raises:
        ValueError: Another shape, a layout that `pack_tensor` does not make, or a dense tensor
            that pretends to more entries than it stores.
    """
    if stored.layout == torch.strided:
        if tuple(stored.shape) != shape:
            raise ValueError(f"has shape {tuple(stored.shape)}, not {shape}")
        if not stored.is_contiguous():
            raise ValueError("is not stored entry by entry")
        return stored
    if stored.layout != torch.sparse_csr:
        raise ValueError(f"is stored as {stored.layout}, not dense or CSR")
    expected = (shape[0], math.prod(shape[1:])) if shape else None
    if tuple(stored.shape) != expected:
        raise ValueError(f"has shape {tuple(stored.shape)} in rows and columns, not {expected}")
    num_rows, num_columns = stored.shape
    row_sizes = stored.crow_indices().diff()
    rows = torch.repeat_interleave(torch.arange(num_rows), row_sizes)
    dense = torch.zeros(num_rows * num_columns, dtype=stored.dtype)
    dense[rows * num_columns + stored.col_indices()] = stored.values()
    return dense.view(shape)
