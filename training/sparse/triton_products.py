"""Sparse products by Triton kernels, for CUDA.

Nothing waits for the device, and a product is the same in every run: the order of each sum follows
from the support, the size of the batch and the type. Fusion of products and sums is off, so that
every operation rounds on its own.
"""

import importlib
from dataclasses import dataclass
from functools import lru_cache
from types import ModuleType

import torch
from torch import Tensor

from training.sparse.support import Support

_GROUPS = {torch.bfloat16: 16, torch.float32: 16, torch.float64: 8}  # Entries at once.
_LINES = {torch.bfloat16: 128, torch.float32: 64, torch.float64: 32}  # Images at once: 256 bytes.
_NARROWEST_LINE = 16
_NUM_WARPS = 4
_NUM_PIECES = 4096  # That keep a device busy: a longer row than its share is cut.
_SHORTEST_PIECE = 1024  # Entries; to cut rows into shorter ones costs more than it gains.
_STEP = 16  # Of a piece's length; Triton compiles anew for a number that is no multiple.
_CACHE_BYTES = 24 * 2**20  # Of a batch's inputs that stay in the second-level cache.


@dataclass(frozen=True)
class _Pieces:
    """How rows are cut, as `training.kernels.triton_sparse` has it.

    Attributes:
        length: Entries of a piece; longer rows are cut.
        most_long_rows: There are no more rows of several pieces; 0 if no row is cut.
        starts: int64 (rows + 1).
        rows: int64, of each piece; the number of rows where there is none.
    """

    length: int
    most_long_rows: int
    starts: Tensor
    rows: Tensor


def multiply(support: Support, values: Tensor, inputs: Tensor) -> Tensor:
    """Y = W X, as `training.sparse.products.multiply`."""
    batch = inputs.shape[1]
    outputs = inputs.new_empty(support.num_rows, batch)
    if outputs.numel() == 0:  # a device takes no grid of 0
        return outputs
    line = _line(inputs)
    num_lines = -(-batch // line)
    pieces = _cut(support, num_lines)
    is_cut = pieces.most_long_rows > 0
    wide = torch.promote_types(inputs.dtype, torch.float32)
    partial_sums = torch.empty(2 * pieces.most_long_rows * batch, dtype=wide, device=inputs.device)
    _kernels().multiply_rows[(len(pieces.rows) if is_cut else support.num_rows, num_lines)](
        support.row_starts,
        support.columns,
        values,
        inputs,
        outputs,
        pieces.starts,
        pieces.rows,
        partial_sums,
        support.num_rows,
        pieces.length,
        batch,
        IS_CUT=is_cut,
        **_constants(inputs),
    )
    if is_cut:
        long_rows = _find_long_rows(pieces)
        _kernels().add_pieces[(len(long_rows), num_lines)](
            long_rows,
            pieces.starts,
            partial_sums,
            outputs,
            support.num_rows,
            batch,
            LINE=line,
            num_warps=1,
            enable_fp_fusion=False,
        )
    return outputs


def sum_products(support: Support, gradients: Tensor, inputs: Tensor) -> Tensor:
    """∂W at the entries, as `training.sparse.products.sum_products`.

    The batch is taken in parts whose inputs stay in the second-level cache.
    """
    batch, wide = inputs.shape[1], torch.promote_types(inputs.dtype, torch.float32)
    if not support.num_entries or not batch:
        return torch.zeros(support.num_entries, dtype=wide, device=inputs.device)
    sums = torch.empty(support.num_entries, dtype=wide, device=inputs.device)
    pieces = _cut(support, 1)
    is_cut = pieces.most_long_rows > 0
    line = _line(inputs)
    fitting = _CACHE_BYTES // (support.num_columns * inputs.itemsize) // line
    width = max(1, fitting) * line
    for left in range(0, batch, width):
        _kernels().sum_entries[(len(pieces.rows) if is_cut else support.num_rows,)](
            support.row_starts,
            support.columns,
            gradients,
            inputs,
            sums,
            pieces.starts,
            pieces.rows,
            support.num_rows,
            pieces.length,
            batch,
            left,
            min(left + width, batch),
            IS_FIRST=left == 0,
            IS_CUT=is_cut,
            **_constants(inputs),
        )
    return sums


def _line(inputs: Tensor) -> int:
    """Images at once: a power of two."""
    batch = max(_NARROWEST_LINE, inputs.shape[1])
    return min(_LINES[inputs.dtype], 1 << (batch - 1).bit_length())


def _constants(inputs: Tensor) -> dict[str, int | bool]:
    return {
        "IS_WIDE": inputs.dtype == torch.float64,
        "GROUP": _GROUPS[inputs.dtype],
        "LINE": _line(inputs),
        "num_warps": _NUM_WARPS,
        "enable_fp_fusion": False,
    }


def _cut(support: Support, num_lines: int) -> _Pieces:
    """Cut the rows so that no piece is more than a small share of the work, if one can be."""
    share = support.num_entries * num_lines // _NUM_PIECES
    length = max(_SHORTEST_PIECE, share // _STEP * _STEP)
    starts = support.row_starts
    if support.num_columns <= length or support.num_entries <= length:
        return _Pieces(length, 0, starts, starts)
    counts = ((starts.diff() + length - 1) // length).clamp_min(1)
    piece_starts = torch.cat([starts.new_zeros(1), counts.cumsum(0)])
    most_more = support.num_entries // length  # Σ (c - 1) <= Σ ⌊entries of a row / length⌋
    numbers = torch.arange(support.num_rows + most_more, device=starts.device)
    rows = torch.searchsorted(piece_starts[1:], numbers, right=True)
    return _Pieces(length, most_more, piece_starts, rows)


def _find_long_rows(pieces: _Pieces) -> Tensor:
    """The rows of several pieces, filled up with the number of rows; no wait for their count."""
    ranks = (pieces.starts.diff() > 1).cumsum(0)
    numbers = torch.arange(1, pieces.most_long_rows + 1, device=ranks.device)
    return torch.searchsorted(ranks, numbers)


@lru_cache(maxsize=1)
def _kernels() -> ModuleType:
    return importlib.import_module("training.kernels.triton_sparse")
