"""The changes of a support in plain torch, for any device: the slow form of `compiled_support`."""

import torch
from torch import Tensor


def collect(weights: Tensor, threshold: float, kind: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
    """Row starts, columns of a type, and values where not |w| <= threshold."""
    kept = ~(weights.abs() <= threshold)
    columns = kept.nonzero()[:, 1]
    return add_up(kept.sum(1)), columns.to(kind), weights[kept]


def compact(row_starts: Tensor, columns: Tensor, values: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Row starts, columns and sources of the entries that are not 0."""
    kept = values != 0
    sources = kept.nonzero()[:, 0]
    return add_up(kept)[row_starts], take(columns, sources), sources


def merge(
    row_starts: Tensor, columns: Tensor, more_starts: Tensor, more_columns: Tensor
) -> tuple[Tensor, Tensor] | None:
    """Columns and sources of the union of two supports; None if a row's columns do not ascend."""
    parts = [find_rows(starts) for starts in (row_starts, more_starts)]
    rows = torch.cat(parts)
    numbers = [columns.to(torch.int64), more_columns.to(torch.int64)]
    for own_rows, own_columns in zip(parts, numbers, strict=True):
        if bool(((own_rows.diff() == 0) & (own_columns.diff() <= 0)).any()):
            return None
    both = torch.cat(numbers)
    width = int(both.max()) + 1 if len(both) else 1
    keys, sources = (rows * width + both).sort(stable=True)
    if bool((keys.diff() == 0).any()):
        return None
    return both[sources].to(columns.dtype), sources


def spread(row_starts: Tensor, columns: Tensor, values: Tensor, num_columns: int) -> Tensor:
    """The dense weight."""
    weights = values.new_zeros(len(row_starts) - 1, num_columns)
    weights[find_rows(row_starts), columns.to(torch.int64)] = values
    return weights


def transpose(
    row_starts: Tensor, columns: Tensor, num_columns: int, kind: torch.dtype
) -> tuple[Tensor, Tensor, Tensor]:
    """Starts of the columns, rows of a type, and positions of the entries by columns."""
    numbers = columns.to(torch.int64)
    positions = numbers.argsort(stable=True)
    starts = add_up(torch.bincount(numbers, minlength=num_columns))
    rows = find_rows(row_starts)[positions].to(kind)
    return starts, rows, positions.to(position_type(len(columns)))


def add_up(counts: Tensor) -> Tensor:
    """Where each of so many begins, and in the end how many there are."""
    return torch.cat([counts.new_zeros(1, dtype=torch.int64), counts.cumsum(0)])


def find_rows(row_starts: Tensor) -> Tensor:
    """The row of each entry."""
    return torch.repeat_interleave(row_starts.diff())


def position_type(num_entries: int) -> torch.dtype:
    """The type of positions among so many entries."""
    return torch.int32 if num_entries < 2**31 else torch.int64


def take(columns: Tensor, sources: Tensor) -> Tensor:
    """columns[sources]; torch does not index uint16 everywhere."""
    if columns.dtype != torch.uint16:
        return columns[sources]
    return columns.view(torch.int16)[sources].view(torch.uint16)
