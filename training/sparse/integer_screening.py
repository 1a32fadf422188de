"""The tightest screen on a CPU: a bound on each gradient by products of 16-bit integers.

Let a line x of Δ or X be s q + e, with q its integers in units of a step s, |q_n| <= K. Then

    |u · v| <= s_u s_v |q_u · q_v| + ‖e_u‖ ‖v‖ + (‖u‖ + ‖e_u‖) ‖e_v‖.

since u · v = (s_u q_u) · (s_v q_v) + e_u · v + (s_u q_u) · e_v. K is the largest number for which
no sum of N products of two integers overflows 32 bits: 4095 for N = 128. So the last two terms are
about 1/1000 of ‖u‖ ‖v‖, and almost every weight that the bound leaves does reach the threshold.
A product of 16-bit integers takes a processor half the time of one in float32 or less, and
nothing is written but the weights that are left. Each row of Δ has a step of its own, all columns
have one together, so that a row has one integer to compare with. Columns come by falling norms,
and a row looks no further than Cauchy-Schwarz asks for.

**Rounding.** s is max |x| / K, or 10⁻³⁰⁰ / K if that is larger. x / s in float64 is off by less
than K 2⁻⁵¹, so that |e_n| <= (1/2 + 2⁻²⁰) s: no more is asked of the integers, whose products are
exact. The rounding of the gradient itself is that of `training.sparse.screening`, whose `inflation`
is taken in, as are the errors of norms; that of the limits is below 2⁻⁴⁰ of them. Where a line is
not finite, no weight is named.
"""

from functools import lru_cache
from math import isqrt
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from training.kernels.backends import run_split
from training.kernels.compiled import compile_kernels
from training.sparse.screening import Screen, Vectors, inflation
from training.sparse.support import Support, column_type

Doubles = NDArray[np.float64]
Integers = NDArray[np.int16]
Numbers = NDArray[np.int64]

_TILE_ROWS, _LANES = 6, 16  # Of `training.kernels.integer_tiles`.
_LARGEST_SUM, _LARGEST_INTEGER = 2**31 - 1, 2**15 - 1
_HALF_STEP = 0.5 + 2.0**-20
_ROOM = 2**16  # Weights that are expected, at first.
_MOST_LEFT = 1 / 16  # Of all weights: above it dense gradients are as good.
_GRAIN = 2**22  # Products that are worth a thread.
_LINES_GRAIN = 2**18  # Numbers that are.


def screen_by_integers(
    deltas: Tensor, inputs: Tensor, lines: tuple[Vectors, Vectors], *, lr: float, threshold: float
) -> Screen | None:
    """Name the zero weights that may come back, one by one.

    Args:
        deltas: Δ (rows, N), on a CPU.
        inputs: X (columns, N), of the same type.
        lines: Their lines, as `measure_lines` gives them.
        lr: η.
        threshold: βλ, as the step rounds it.

    Returns:
        A screen with `entries`; None if numbers are not finite or too many weights are left.
    """
    tables = tuple(each.table.numpy() for each in lines)
    batch, shape = inputs.shape[1], (len(deltas), len(inputs))
    if not (lr > 0 and all(np.isfinite(table[2]).all() for table in tables)):
        return None
    drift, scale = inflation(inputs.dtype, batch)
    largest = min(_LARGEST_INTEGER, isqrt(_LARGEST_SUM // batch))
    column_order = np.argsort(tables[1][0])[::-1].copy()
    row_order, widths = np.empty((2, shape[0]), dtype=np.int64)
    limits = np.full(shape[0] + _TILE_ROWS, _LARGEST_SUM, dtype=np.int32)
    count = _kernels().plan_rows(
        *tables,
        column_order,
        threshold / scale / lr,
        drift,
        batch**0.5 * _HALF_STEP,
        largest,
        row_order,
        widths,
        limits,
    )
    products = np.empty((2, 0), dtype=np.int64)
    if count:
        row_order = row_order[:count]
        products = _find_products(
            _round_rows(deltas, tables[0], row_order, largest),
            _round_columns(inputs, tables[1], column_order[: widths[0]], largest),
            limits,
            -(-widths[:count:_TILE_ROWS] // _LANES),  # a tile's first row looks the furthest
        )
        products = products[:, products[1] < widths[0]]
    if products.shape[1] > _MOST_LEFT * shape[0] * shape[1]:
        return None
    starts, open_rows = np.zeros(shape[0] + 1, dtype=np.int64), np.empty(shape[0], dtype=np.int64)
    columns = torch.empty(products.shape[1], dtype=column_type(shape[1]))
    num_open = _kernels().group_products(
        products, row_order, column_order, starts, columns.numpy(), open_rows
    )
    rows = torch.from_numpy(open_rows[:num_open])
    entries = Support(torch.from_numpy(starts), columns, shape[1])
    is_borderline = torch.zeros(num_open, dtype=torch.bool)
    return Screen(rows, torch.from_numpy(column_order), shape[0], is_borderline, entries)


def _round_rows(matrix: Tensor, table: Doubles, order: Numbers, largest: int) -> Integers:
    """int16 (6 · tiles, 2 · pairs); what fills up the last tile is never read out."""
    num_tiles, num_pairs = -(-len(order) // _TILE_ROWS), -(-matrix.shape[1] // 2)
    integers = np.empty((num_tiles * _TILE_ROWS, 2 * num_pairs), dtype=np.int16)
    integers[len(order) :] = 0
    arrays = (_array(matrix), table, order, largest, integers)
    grain = max(1, _LINES_GRAIN // matrix.shape[1])
    run_split(lambda *part: _kernels().round_rows(*arrays, *part), len(order), grain=grain)
    return integers


def _round_columns(matrix: Tensor, table: Doubles, order: Numbers, largest: int) -> Integers:
    """int16 (blocks, pairs, 16, 2)."""
    num_blocks, num_pairs = -(-len(order) // _LANES), -(-matrix.shape[1] // 2)
    integers = np.empty((num_blocks, num_pairs, _LANES, 2), dtype=np.int16)
    arrays = (_array(matrix), table, order, largest, integers)
    grain = max(1, _LINES_GRAIN // (_LANES * matrix.shape[1]))
    run_split(lambda *part: _kernels().round_columns(*arrays, *part), num_blocks, grain=grain)
    return integers


def _find_products(
    rows: Integers, columns: Integers, limits: NDArray[np.int32], widths: Numbers
) -> Numbers:
    """Row and column of each product that reaches its row's limit, int64 (2, products)."""
    arrays = (rows, columns, limits, widths)

    def work(start: int, stop: int) -> Numbers:
        room = _ROOM
        while True:
            found = np.empty((2, room), dtype=np.int64)
            room = _kernels().find_products(*arrays, found, start, stop)
            if room <= found.shape[1]:
                return found[:, :room]

    size = columns.size * _TILE_ROWS
    return np.concatenate(run_split(work, len(widths), grain=max(1, _GRAIN // size)), axis=1)


def _array(matrix: Tensor) -> NDArray[Any]:
    matrix = matrix.detach()
    return (matrix.float() if matrix.dtype == torch.bfloat16 else matrix).contiguous().numpy()


@lru_cache(maxsize=1)
def _kernels() -> SimpleNamespace:
    from training.kernels import batch_lines, integer_lines, integer_tiles, vector_code  # noqa: PLC0415  # these need numba

    return compile_kernels(
        [vector_code, batch_lines, integer_tiles, integer_lines],
        ["plan_rows", "round_rows", "round_columns", "find_products", "group_products"],
    )
