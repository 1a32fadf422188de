"""The changes of a support by compiled kernels, rows split among threads."""

from functools import lru_cache
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from training.kernels import sparse_support
from training.kernels.backends import run_split
from training.kernels.compiled import compile_kernels
from training.sparse.torch_support import add_up

Numbers = NDArray[Any]

_GRAIN = 2**16  # Entries that are worth a thread.


def collect(weights: Tensor, threshold: float, kind: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
    """Row starts, columns of a type, and values where not |w| <= threshold."""
    num_rows, size = len(weights), weights.numel()
    counts = torch.empty(num_rows, dtype=torch.int64)
    dense = weights.numpy()

    def count(start: int, stop: int) -> None:
        _kernels().count_kept(dense, threshold, counts.numpy(), start, stop)

    _run(count, num_rows, size)
    starts = add_up(counts)
    columns = torch.empty(int(starts[-1]), dtype=kind)
    values = weights.new_empty(len(columns))

    def fill(start: int, stop: int) -> None:
        _kernels().collect_kept(
            dense, threshold, starts.numpy(), columns.numpy(), values.numpy(), start, stop
        )

    _run(fill, num_rows, size)
    return starts, columns, values


def compact(row_starts: Tensor, columns: Tensor, values: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Row starts, columns and sources of the entries that are not 0."""
    num_rows = len(row_starts) - 1
    counts = torch.empty(num_rows, dtype=torch.int64)
    before = (row_starts.numpy(), columns.numpy(), values.numpy())

    def count(start: int, stop: int) -> None:
        _kernels().count_nonzero(before[0], before[2], counts.numpy(), start, stop)

    _run(count, num_rows, len(columns))
    starts = add_up(counts)
    new_columns = columns.new_empty(int(starts[-1]))
    sources = torch.empty(len(new_columns), dtype=torch.int64)
    after = (starts.numpy(), new_columns.numpy(), sources.numpy())

    def fill(start: int, stop: int) -> None:
        _kernels().keep_nonzero(*before, *after, start, stop)

    _run(fill, num_rows, len(columns))
    return starts, new_columns, sources


def merge(
    row_starts: Tensor, columns: Tensor, more_starts: Tensor, more_columns: Tensor
) -> tuple[Tensor, Tensor] | None:
    """Columns and sources of the union of two supports; None if a row's columns do not ascend."""
    new_columns = columns.new_empty(len(columns) + len(more_columns))
    sources = torch.empty(len(new_columns), dtype=torch.int64)
    arrays = [
        part.numpy()
        for part in (row_starts, columns, more_starts, more_columns, new_columns, sources)
    ]

    def fill(start: int, stop: int) -> bool:
        ascends: bool = _kernels().merge_rows(*arrays, start, stop)
        return ascends

    in_order = all(_run(fill, len(row_starts) - 1, len(new_columns)))
    return (new_columns, sources) if in_order else None


def spread(row_starts: Tensor, columns: Tensor, values: Tensor, num_columns: int) -> Tensor:
    """The dense weight."""
    weights = values.new_empty(len(row_starts) - 1, num_columns)
    bits = torch.uint16 if values.dtype == torch.bfloat16 else values.dtype
    arrays = [part.numpy() for part in (row_starts, columns, values.view(bits), weights.view(bits))]

    def fill(start: int, stop: int) -> None:
        _kernels().spread_rows(*arrays, start, stop)

    _run(fill, len(weights), weights.numel())
    return weights


def transpose(
    row_starts: Tensor, columns: Tensor, num_columns: int, kind: torch.dtype
) -> tuple[Tensor, Tensor, Tensor]:
    """Starts of the columns, and rows and offsets in them of the entries by columns."""
    num_rows = len(row_starts) - 1
    before = (row_starts.numpy(), columns.numpy())

    def count(start: int, stop: int) -> tuple[int, Numbers]:
        counts = np.zeros(num_columns, dtype=np.int64)
        _kernels().count_columns(*before, counts, start, stop)
        return start, counts

    pieces = _run(count, num_rows, len(columns))
    counts = np.stack([piece for _, piece in pieces])  # by (rows of one thread, column)
    starts = add_up(torch.from_numpy(counts.sum(0)))
    places = starts.numpy()[:-1] + np.cumsum(counts, axis=0) - counts
    place_of = {first: places[i] for i, (first, _) in enumerate(pieces)}
    rows = torch.empty(len(columns), dtype=kind)
    offsets = torch.empty_like(columns)
    after = (rows.numpy(), offsets.numpy())

    def fill(start: int, stop: int) -> None:
        _kernels().sort_by_columns(*before, place_of[start], *after, start, stop)

    _run(fill, num_rows, len(columns))
    return starts, rows, offsets


def gather(row_starts: Tensor, rows: Tensor, offsets: Tensor, values: Tensor) -> Tensor:
    """values[row_starts[rows] + offsets]."""
    gathered = torch.empty_like(values)
    numbers = [_bits(values), _bits(gathered)]
    places = [row_starts.numpy(), rows.numpy(), offsets.numpy()]

    def fill(start: int, stop: int) -> None:
        _kernels().gather_entries(*places, *numbers, start, stop)

    run_split(fill, len(rows), grain=_GRAIN)
    return gathered


def _bits(values: Tensor) -> Numbers:
    return values.view(torch.uint16).numpy() if values.dtype == torch.bfloat16 else values.numpy()


def _run(task: Any, num_rows: int, num_items: int) -> list[Any]:
    """Split rows among threads by their mean number of items."""
    grain = max(1, _GRAIN * num_rows // max(1, num_items))
    return run_split(task, num_rows, grain=grain)


@lru_cache(maxsize=1)
def _kernels() -> SimpleNamespace:
    return compile_kernels(
        [sparse_support],
        [
            "count_kept",
            "collect_kept",
            "count_nonzero",
            "keep_nonzero",
            "merge_rows",
            "spread_rows",
            "count_columns",
            "sort_by_columns",
            "gather_entries",
        ],
    )
