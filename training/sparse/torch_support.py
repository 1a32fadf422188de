"""The changes of a support in plain torch, for any device: the slow form of `compiled_support`.

Everything is made on the device of what came in. Large tensors are looked at piece by piece: torch
lists the nonzeros of fewer than 2³¹ numbers at once on CUDA, and beside a weight that fills half of
the memory there is no room for a copy. uint16 is widened by `widen` and made by `narrow`, since
torch does little else with it on CUDA.
"""

import torch
from torch import Tensor

_PIECE = 2**25  # Numbers that are looked at together.
_ROW_STRIDE = 2**31  # Above every column.


def collect(weights: Tensor, threshold: float, kind: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
    """Row starts, columns of a type, and values where not |w| <= threshold."""
    blocks = torch.split(weights, max(1, _PIECE // max(1, weights.shape[1])))
    starts = add_up(torch.cat([_find_kept(block, threshold).sum(1) for block in blocks]))
    values = weights.new_empty(int(starts[-1]))
    columns = torch.empty(len(values), dtype=kind, device=weights.device)
    first = 0
    for block in blocks:
        rows, numbers = _find_kept(block, threshold).nonzero(as_tuple=True)
        last = first + len(rows)
        _bits(columns)[first:last] = _bits(narrow(numbers, kind))
        values[first:last] = block[rows, numbers]
        first = last
    return starts, columns, values


def compact(row_starts: Tensor, columns: Tensor, values: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Row starts, columns and sources of the entries that are not 0."""
    parts = torch.split(values, _PIECE)
    sources = torch.cat([(part != 0).nonzero()[:, 0] + i * _PIECE for i, part in enumerate(parts)])
    return torch.searchsorted(sources, row_starts), take(columns, sources), sources


def merge(
    row_starts: Tensor, columns: Tensor, more_starts: Tensor, more_columns: Tensor
) -> tuple[Tensor, Tensor] | None:
    """Columns and sources of the union of two supports; None if a row's columns do not ascend."""
    own, more = (
        find_rows(starts) * _ROW_STRIDE + widen(numbers)
        for starts, numbers in ((row_starts, columns), (more_starts, more_columns))
    )
    places = torch.searchsorted(own, more)  # own entries before each new one
    falls = more.diff() <= 0
    if len(own):
        falls = torch.cat([falls, own[places.clamp_max(len(own) - 1)] == more])
    if bool(falls.any()):
        return None
    targets = places + torch.arange(len(more), device=places.device)
    is_new = torch.zeros(len(own) + len(more), dtype=torch.bool, device=places.device)
    is_new[targets] = True
    sources = torch.arange(len(is_new), device=places.device) - is_new.cumsum(0)
    sources[targets] = torch.arange(len(own), len(is_new), device=places.device)
    both = torch.cat([_bits(columns), _bits(more_columns)]).view(columns.dtype)
    return take(both, sources), sources


def spread(row_starts: Tensor, columns: Tensor, values: Tensor, num_columns: int) -> Tensor:
    """The dense weight."""
    weights = values.new_zeros(len(row_starts) - 1, num_columns)
    for first in range(0, len(values), _PIECE):
        last = min(first + _PIECE, len(values))
        entries = torch.arange(first, last, device=values.device)
        rows = torch.searchsorted(row_starts, entries, right=True) - 1
        weights[rows, widen(columns[first:last])] = values[first:last]
    return weights


def transpose(
    row_starts: Tensor, columns: Tensor, num_columns: int, kind: torch.dtype
) -> tuple[Tensor, Tensor, Tensor]:
    """Starts of the columns, and rows and offsets in them of the entries by columns."""
    ordered, positions = widen(columns).to(torch.int32).sort(stable=True)
    bounds = torch.arange(num_columns + 1, dtype=torch.int32, device=columns.device)
    starts = torch.searchsorted(ordered, bounds)
    rows = find_rows(row_starts)[positions]
    offsets = positions - row_starts[rows]
    return starts, narrow(rows, kind), narrow(offsets, columns.dtype)


def gather(row_starts: Tensor, rows: Tensor, offsets: Tensor, values: Tensor) -> Tensor:
    """values[row_starts[rows] + offsets]."""
    gathered = torch.empty_like(values)
    for first in range(0, len(values), _PIECE):
        last = min(first + _PIECE, len(values))
        places = row_starts[widen(rows[first:last])] + widen(offsets[first:last])
        gathered[first:last] = values[places]
    return gathered


def add_up(counts: Tensor) -> Tensor:
    """Where each group of the given counts begins; the last entry is their sum."""
    return torch.cat([counts.new_zeros(1, dtype=torch.int64), counts.cumsum(0)])


def find_rows(row_starts: Tensor) -> Tensor:
    """The row of each entry."""
    return torch.repeat_interleave(row_starts.diff())


def take(columns: Tensor, sources: Tensor) -> Tensor:
    """columns[sources]; torch does not index uint16 everywhere."""
    return _bits(columns)[sources].view(columns.dtype)


def widen(columns: Tensor) -> Tensor:
    """Columns of any type in int64.

    >>> widen(torch.tensor([0, 65_535]).to(torch.uint16)).tolist()
    [0, 65535]
    """
    numbers = _bits(columns).to(torch.int64)
    return numbers.bitwise_and_(0xFFFF) if columns.dtype == torch.uint16 else numbers


def narrow(numbers: Tensor, kind: torch.dtype) -> Tensor:
    """Columns in int64 to a type in which they fit, the inverse of `widen`.

    >>> narrow(torch.tensor([0, 65_535]), torch.uint16).tolist()
    [0, 65535]
    """
    if kind != torch.uint16:
        return numbers.to(kind)
    return numbers.to(torch.int16).view(torch.uint16)  # the lowest 16 bits


def _find_kept(weights: Tensor, threshold: float) -> Tensor:
    return ~(weights.abs() <= threshold)


def _bits(columns: Tensor) -> Tensor:
    """uint16 as int16, which torch copies and indexes everywhere."""
    return columns.view(torch.int16) if columns.dtype == torch.uint16 else columns
