"""Which weights outside the support come back in a step: dense gradients, by unscreened rows."""

from dataclasses import dataclass

import torch
from torch import Tensor

from training.kernels.backends import backend_name
from training.sparse import compiled_support
from training.sparse.screening import Screen, pad_vectors
from training.sparse.support import Support, collect, column_type
from training.sparse.torch_support import find_rows, take, widen

_BLOCK_ENTRIES = 2**23  # Gradients that are looked at together.
_MARGIN = 1 - 2.0**-20  # Of the first look, which does not round as the step does.


@dataclass(frozen=True)
class Regrown:
    """Weights that come back, row by row, their columns ascending.

    Attributes:
        rows: int64.
        columns: int64.
        gradients: Of the type that a dense step has its gradients in.
    """

    rows: Tensor
    columns: Tensor
    gradients: Tensor


def find_regrown(
    support: Support,
    deltas: Tensor,
    inputs: Tensor,
    found: Screen,
    *,
    lr: float,
    threshold: float,
    dtype: torch.dtype,
) -> Regrown:
    """Zero weights outside the support with |η ∂| >= βλ, and those whose gradient is NaN.

    Args:
        support: Where the weight has entries.
        deltas: Δ (rows, N).
        inputs: X (columns, N).
        found: The rows and columns to look at.
        lr: η.
        threshold: βλ, as the step rounds it.
        dtype: Of the weights, in which the step computes η ∂.
    """
    kind = torch.bfloat16 if deltas.dtype == torch.bfloat16 else dtype
    limit = _MARGIN * threshold / lr if lr > 0 else float("inf")
    some = inputs[pad_vectors(found.columns)]
    parts = []
    for block in torch.split(found.rows, max(1, _BLOCK_ENTRIES // max(1, len(some)))):
        gradients = (deltas[pad_vectors(block)] @ some.t()).to(kind)
        rows, columns = _find_large(gradients, limit)
        real = (rows < len(block)) & (columns < len(found.columns))
        rows, columns = rows[real], columns[real]
        parts.append((block[rows], found.columns[columns], gradients[rows, columns]))
    if not parts:
        empty = torch.empty(0, dtype=torch.int64)
        return Regrown(empty, empty, torch.empty(0, dtype=kind))
    rows, columns, numbers = map(torch.cat, zip(*parts, strict=True))
    # NaN comes back, so that it is seen.
    reach = ~((lr * numbers.to(dtype)).abs() < threshold)
    fresh = reach & ~_is_stored(support, rows, columns)
    return Regrown(rows[fresh], columns[fresh], numbers[fresh])


def _find_large(gradients: Tensor, limit: float) -> tuple[Tensor, Tensor]:
    """Rows and columns with |g| >= limit, some just below it, and NaN."""
    if gradients.dtype == torch.bfloat16 and backend_name(gradients.device) == "numba":
        below = int(torch.tensor(limit, dtype=torch.float32).view(torch.int32)) // 2**16 - 1
        bits = gradients.abs().view(torch.uint16)  # in the order of the magnitudes, NaN on top
        kind = column_type(gradients.shape[1])
        starts, columns, _ = compiled_support.collect(bits, below, kind)
    else:
        found, _ = collect(gradients, threshold=limit * _MARGIN)
        starts, columns = found.row_starts, found.columns
    return find_rows(starts), columns.to(torch.int64)


def _is_stored(support: Support, rows: Tensor, columns: Tensor) -> Tensor:
    """Which weights lie in the support, bool; the rows ascend."""
    if not len(rows):
        return torch.zeros(0, dtype=torch.bool, device=rows.device)
    chosen, places = torch.unique_consecutive(rows, return_inverse=True)
    starts, sizes = support.row_starts[chosen], support.row_starts[chosen + 1]
    sizes = sizes - starts
    owners = torch.repeat_interleave(sizes)
    firsts = sizes.cumsum(0) - sizes
    entries = torch.arange(len(owners), device=rows.device) + (starts - firsts)[owners]
    stored = owners * support.num_columns + widen(take(support.columns, entries))
    wanted = places * support.num_columns + columns
    nearest = torch.searchsorted(stored, wanted).clamp_max(len(stored) - 1)
    return stored[nearest] == wanted if len(stored) else torch.zeros_like(wanted, dtype=torch.bool)
