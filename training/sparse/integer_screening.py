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
is taken in, as are the errors of norms; that of the limits is below 2⁻⁴⁰ of them. Lines that are not
finite are not for integers: then nothing more is screened.
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

_TILE_ROWS, _LANES = 6, 16  # Of `training.kernels.integer_tiles`.
_LARGEST_SUM, _LARGEST_INTEGER = 2**31 - 1, 2**15 - 1
_SMALLEST = 1e-300
_HALF_STEP = 0.5 + 2.0**-20
_MARGIN = 1 - 2.0**-40
_SMALLEST_UNIT = 1e-250  # Of a product; times 2³¹ it is far below any threshold.
_ROOM = 2**16  # Weights that are expected, at first.
_MOST_LEFT = 1 / 16  # Of the weights looked at: above it dense gradients are as good.
_GRAIN = 2**22  # Products that are worth a thread.


def close_by_integers(
    found: Screen,
    deltas: Tensor,
    inputs: Tensor,
    lines: tuple[Vectors, Vectors],
    *,
    lr: float,
    threshold: float,
) -> Screen:
    """Name the weights that may come back, one by one, within the rows and columns of a screen.

    Args:
        found: From `training.sparse.screening.screen`.
        deltas: Δ (rows, N), on a CPU.
        inputs: X (columns, N), of the same type.
        lines: Their lines, as `measure_lines` gives them.
        lr: η.
        threshold: βλ, as the step rounds it.

    Returns:
        A screen with `entries`; or the same one if lines are not finite or most weights are left.
    """
    rows, columns = lines[0].select(found.rows), lines[1].select(found.columns)
    if not (bool(rows.norms.isfinite().all()) and bool(columns.norms.isfinite().all())):
        return found
    by_spread = columns.spreads.argsort(descending=True)
    columns, column_order = columns.select(by_spread), found.columns[by_spread]
    drift, scale = inflation(inputs.dtype, inputs.shape[1])
    reach = threshold / scale / lr  # What a gradient must reach by its bound.
    widths = _count_columns(rows, columns, drift=drift, reach=reach)
    by_width = widths.argsort(descending=True)
    rows, widths, row_order = rows.select(by_width), widths[by_width], found.rows[by_width]

    largest = min(_LARGEST_INTEGER, isqrt(_LARGEST_SUM // inputs.shape[1]))
    steps = rows.largest.clamp_min(_SMALLEST) / largest
    step = float(columns.largest.max().clamp_min(_SMALLEST)) / largest
    error = inputs.shape[1] ** 0.5 * _HALF_STEP
    most = float(columns.norms.max())
    slack = error * (steps * most + step * (rows.norms + error * steps)) + drift * rows.norms * most
    units = (steps * step).clamp_min(_SMALLEST_UNIT)
    limits = ((reach - slack) / units * _MARGIN).nan_to_num(0).clamp(0, _LARGEST_SUM)

    left = _round_rows(deltas, row_order, 1 / steps)
    right = _round_columns(inputs, column_order, 1 / step)
    products = _find_products(left, right, limits, widths)
    products = products[:, products[1] < len(column_order)]
    if products.shape[1] > _MOST_LEFT * len(found.rows) * len(found.columns):
        return found
    shape = len(lines[0].spreads), len(lines[1].spreads)
    entries = _group(products, row_order, column_order, shape)
    rows = entries.row_starts.diff().nonzero()[:, 0]
    is_borderline = torch.zeros_like(rows, dtype=torch.bool)
    return Screen(rows, found.columns, found.num_rows, is_borderline, entries)


def _count_columns(rows: Vectors, columns: Vectors, *, drift: float, reach: float) -> Tensor:
    """How many of the columns, by falling spreads, Cauchy-Schwarz leaves to each row."""
    others = rows.means * columns.means.max() + drift * rows.norms * columns.norms.max()
    needed = (reach - others) / rows.spreads * _MARGIN
    rising = columns.spreads.flip(0)
    return len(rising) - torch.searchsorted(rising, needed.nan_to_num(0))


def _round_rows(matrix: Tensor, order: Tensor, factors: Tensor) -> NDArray[np.int16]:
    """int16 (6 · tiles, 2 · pairs)."""
    num_tiles, num_pairs = -(-len(order) // _TILE_ROWS), -(-matrix.shape[1] // 2)
    integers = np.zeros((num_tiles * _TILE_ROWS, 2 * num_pairs), dtype=np.int16)
    arrays = (_array(matrix), order.numpy(), factors.numpy(), integers)
    run_split(lambda *part: _kernels().round_rows(*arrays, *part), len(order), grain=_lines(matrix))
    return integers


def _round_columns(matrix: Tensor, order: Tensor, factor: float) -> NDArray[np.int16]:
    """int16 (blocks, pairs, 16, 2)."""
    num_blocks, num_pairs = -(-len(order) // _LANES), -(-matrix.shape[1] // 2)
    integers = np.zeros((num_blocks, num_pairs, _LANES, 2), dtype=np.int16)
    arrays = (_array(matrix), order.numpy(), factor, integers)
    run_split(
        lambda *part: _kernels().round_columns(*arrays, *part), num_blocks, grain=_lines(matrix)
    )
    return integers


def _find_products(
    rows: NDArray[np.int16], columns: NDArray[np.int16], limits: Tensor, widths: Tensor
) -> Tensor:
    """Row and column of each product that reaches its row's limit, int64 (2, products)."""
    padded = np.full(len(rows), _LARGEST_SUM, dtype=np.int32)
    padded[: len(limits)] = limits.numpy()
    blocks = -(-widths[::_TILE_ROWS] // _LANES)  # the first row of a tile looks the furthest
    arrays = (rows, columns, padded, blocks.numpy())

    def work(start: int, stop: int) -> NDArray[np.int64]:
        room = _ROOM
        while True:
            found = np.empty((2, room), dtype=np.int64)
            room = _kernels().find_products(*arrays, found, start, stop)
            if room <= found.shape[1]:
                return found[:, :room]

    num_tiles = len(rows) // _TILE_ROWS
    grain = max(1, _GRAIN * num_tiles // max(1, rows.size * columns.shape[0] * _LANES))
    return torch.from_numpy(np.concatenate(run_split(work, num_tiles, grain=grain), axis=1))


def _group(
    products: Tensor, row_order: Tensor, column_order: Tensor, shape: tuple[int, int]
) -> Support:
    """The weights that products stand for."""
    starts = torch.zeros(shape[0] + 1, dtype=torch.int64)
    columns = torch.empty(products.shape[1], dtype=column_type(shape[1]))
    arrays = (products, row_order, column_order, starts, columns)
    _kernels().group_products(*(part.numpy() for part in arrays))
    return Support(starts, columns, shape[1])


def _array(matrix: Tensor) -> NDArray[Any]:
    matrix = matrix.detach()
    return (matrix.float() if matrix.dtype == torch.bfloat16 else matrix).contiguous().numpy()


def _lines(matrix: Tensor) -> int:
    return max(1, _GRAIN // matrix.shape[1])


@lru_cache(maxsize=1)
def _kernels() -> SimpleNamespace:
    from training.kernels import batch_lines, integer_lines, integer_tiles, vector_code  # noqa: PLC0415  # these need numba

    return compile_kernels(
        [vector_code, batch_lines, integer_tiles, integer_lines],
        ["round_rows", "round_columns", "find_products", "group_products"],
    )
