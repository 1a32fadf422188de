"""Sparse products by compiled kernels, tile by tile of the batch; a tile stays in the cache."""

from collections.abc import Callable
from functools import lru_cache
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from training.kernels import bf16
from training.kernels.backends import run_split
from training.kernels.compiled import compile_kernels
from training.sparse.support import Support

_TILE_BYTES = 3 * 2**18  # Most of a second-level cache of 1 MiB.
_LINE_BYTES, _NARROW_BYTES = 256, 128  # Of `training.kernels.line_products`.
_NUM_BLOCKS = 64  # Of rows with about as much work each.
_ROW_WORK = 8  # What a row costs beside its entries, in entries.
_GRAIN = 2**22  # Products that are worth a thread.


def multiply(support: Support, values: Tensor, inputs: Tensor) -> Tensor:
    """Y = W X, as `training.sparse.products.multiply`."""
    outputs = inputs.new_empty(support.num_rows, inputs.shape[1])
    starts, bounds = support.row_starts.numpy(), _split_rows(support)
    is_narrow = support.num_columns * _LINE_BYTES > _TILE_BYTES
    length = (_NARROW_BYTES if is_narrow else _LINE_BYTES) // inputs.itemsize
    num_tiles = -(-inputs.shape[1] // length)
    arrays = [
        starts,
        support.columns.numpy(),
        _array(values),
        _array(inputs),
        _array(outputs),
        bounds,
    ]

    def work(start: int, stop: int) -> None:
        _kernels().multiply_rows(*arrays, is_narrow, start, stop)

    _run(work, num_tiles * _NUM_BLOCKS, support, inputs.shape[1])
    return outputs


def sum_products(support: Support, gradients: Tensor, inputs: Tensor) -> Tensor:
    """∂W at the entries, as `training.sparse.products.sum_products`."""
    kind = torch.promote_types(inputs.dtype, torch.float32)
    sums = torch.empty(support.num_entries, dtype=kind)
    arrays = [
        support.row_starts.numpy(),
        support.columns.numpy(),
        _array(gradients),
        _array(inputs),
        sums.numpy(),
    ]
    bounds = _split_rows(support)

    def work(start: int, stop: int) -> None:
        rows = int(bounds[start]), int(bounds[stop])
        _kernels().sum_entries(*arrays, _TILE_BYTES // _LINE_BYTES, *rows)

    _run(work, _NUM_BLOCKS, support, inputs.shape[1])
    return sums


def _split_rows(support: Support) -> NDArray[np.int64]:
    """Bounds of `_NUM_BLOCKS` blocks of rows with about as much work each."""
    work = support.row_starts.numpy() + _ROW_WORK * np.arange(support.num_rows + 1)
    goals = work[-1] * np.arange(_NUM_BLOCKS + 1) // _NUM_BLOCKS
    bounds: NDArray[np.int64] = np.searchsorted(work, goals)
    return bounds


def _run(work: Callable[[int, int], None], num_pieces: int, support: Support, batch: int) -> None:
    products = (support.num_entries + _ROW_WORK * support.num_rows) * batch
    run_split(work, num_pieces, grain=max(1, _GRAIN * num_pieces // max(1, products)))


def _array(numbers: Tensor) -> NDArray[Any]:
    return (
        numbers.view(torch.uint16).numpy() if numbers.dtype == torch.bfloat16 else numbers.numpy()
    )


@lru_cache(maxsize=1)
def _kernels() -> SimpleNamespace:
    from training.kernels import batch_lines, line_products, sparse_products, vector_code  # noqa: PLC0415  # these need numba

    return compile_kernels(
        [bf16, vector_code, batch_lines, line_products, sparse_products],
        ["multiply_rows", "sum_entries"],
    )
