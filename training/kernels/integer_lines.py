"""Lines of a batch as 16-bit integers, and which of their products reach a limit: kernels.

Integers lie as `training.kernels.integer_tiles` reads them, filled up with 0. This module needs
numba; import it only where that is installed.
"""

import numpy as np

from training.kernels.bf16 import Cells
from training.kernels.integer_tiles import TILE_ROWS, find_reaching
from training.kernels.vector_code import LANES

_MARGIN = 1 - 2.0**-40
_SMALLEST_UNIT = 1e-250  # Of a product; times 2³¹ it is far below any threshold.
_LARGEST_SUM = 2**31 - 1
_SMALLEST_SIZE = 1e-300


def plan_rows(
    deltas: Cells,
    inputs: Cells,
    column_order: Cells,
    reach: float,
    drift: float,
    error: float,
    largest: int,
    row_order: Cells,
    widths: Cells,
    limits: Cells,
) -> int:
    """Which rows to look at, how far, and what their integer products must reach.

    Args:
        deltas: Table of the lines of Δ, (4, rows), as `training.sparse.screening.Vectors` has it.
        inputs: Likewise of X, (4, columns).
        column_order: The columns by falling spreads.
        reach: What the bound on a gradient must reach.
        drift: Share of ‖Δ_i‖ ‖X_j‖ that rounding adds.
        error: Most ‖e‖, in steps.
        largest: K, the largest integer.
        row_order: int64 (rows): becomes the rows to look at, by falling widths.
        widths: int64 (rows): becomes the number of columns that each is looked at in.
        limits: int32 (rows): becomes what its products of integers are compared with.

    Returns:
        How many rows there are to look at.
    """
    num_rows, num_columns = deltas.shape[1], inputs.shape[1]
    rising = inputs[0][column_order[::-1]]
    most_mean, most, step = inputs[1].max(), inputs[2].max(), find_step(inputs[3].max(), largest)
    reach *= _MARGIN
    starts = np.zeros(num_columns + 2, dtype=np.int64)  # of rows by the columns they do not look at
    closed = np.empty(num_rows, dtype=np.int64)
    for row in range(num_rows):
        rest = reach - deltas[1, row] * most_mean - drift * deltas[2, row] * most
        needed = 0.0
        if rest > 0:
            needed = rest / deltas[0, row] * _MARGIN if deltas[0, row] > 0 else np.inf
        closed[row] = np.searchsorted(rising, needed)
        starts[closed[row] + 1] += 1
    for i in range(num_columns):
        starts[i + 1] += starts[i]
    for row in range(num_rows):
        if closed[row] == num_columns:
            continue
        place = starts[closed[row]]
        starts[closed[row]] += 1
        norm, own = deltas[2, row], find_step(deltas[3, row], largest)
        slack = error * (own * most + step * (norm + error * own)) + drift * norm * most
        limit = (reach - slack) / max(own * step, _SMALLEST_UNIT) * _MARGIN
        row_order[place], widths[place] = row, num_columns - closed[row]
        limits[place] = np.int32(min(limit, _LARGEST_SUM)) if limit > 0 else 0
    return int(starts[num_columns])


def find_step(size: float, largest: int) -> float:
    """What the integer 1 stands for in a line whose largest number is `size`."""
    return max(size, _SMALLEST_SIZE) / largest


def round_rows(
    matrix: Cells, table: Cells, chosen: Cells, largest: int, integers: Cells, start: int, stop: int
) -> None:
    """integers[i, n]: matrix[chosen[i], n] in steps of its own, for i = start, ..., stop - 1."""
    batch = matrix.shape[1]
    for i in range(start, stop):
        numbers, factor = matrix[chosen[i]], 1 / find_step(table[3, chosen[i]], largest)
        for n in range(batch):
            integers[i, n] = np.int16(np.int32(np.rint(numbers[n] * factor)))
        for n in range(batch, integers.shape[1]):
            integers[i, n] = 0


def round_columns(
    matrix: Cells, table: Cells, chosen: Cells, largest: int, integers: Cells, start: int, stop: int
) -> None:
    """integers[b, p, c, h]: matrix[chosen[16 b + c], 2 p + h] in common steps, for b < stop."""
    batch = matrix.shape[1]
    factor = 1 / find_step(table[3].max(), largest)
    line = np.zeros(2 * integers.shape[1], dtype=np.int16)
    for block in range(start, stop):
        for c in range(LANES):
            if block * LANES + c < len(chosen):
                numbers = matrix[chosen[block * LANES + c]]
                for n in range(batch):
                    line[n] = np.int16(np.int32(np.rint(numbers[n] * factor)))
            for pair in range(integers.shape[1]):
                integers[block, pair, c, 0] = line[2 * pair]
                integers[block, pair, c, 1] = line[2 * pair + 1]


def find_products(
    rows: Cells, columns: Cells, limits: Cells, widths: Cells, found: Cells, start: int, stop: int
) -> int:
    """Which products of rows with columns are as large as the row's limit, or larger.

    Args:
        rows: int16 (6 · tiles, 2 · pairs).
        columns: int16 (blocks, pairs, 16, 2).
        limits: int32 (6 · tiles), >= 0.
        widths: Blocks of columns to look at, by tile.
        found: int64 (2, room), row and column of each as far as there is room.
        start: First tile.
        stop: Behind the last tile.

    Returns:
        How many there are.
    """
    num_pairs = rows.shape[1] // 2
    left, right = rows.reshape(rows.size), columns.reshape(columns.size)
    size, room = num_pairs * 2 * LANES, found.shape[1]
    masks = np.zeros(TILE_ROWS, dtype=np.int64)
    count = 0
    for tile in range(start, stop):
        first = tile * TILE_ROWS
        for block in range(widths[tile]):
            find_reaching(
                left, first * 2 * num_pairs, num_pairs, right, block * size, limits, first, masks
            )
            if masks[0] | masks[1] | masks[2] | masks[3] | masks[4] | masks[5]:
                for m in range(TILE_ROWS):
                    for c in range(LANES):
                        if masks[m] >> c & 1:
                            if count < room:
                                found[0, count] = first + m
                                found[1, count] = block * LANES + c
                            count += 1
    return count


def group_products(
    found: Cells,
    row_order: Cells,
    column_order: Cells,
    starts: Cells,
    columns: Cells,
    open_rows: Cells,
) -> int:
    """Put what `find_products` found into the rows and columns that it stands for, in their order.

    Args:
        found: int64 (2, products), numbers into the orders.
        row_order: Row of each number.
        column_order: Column of each number.
        starts: int64 (rows + 1), 0: becomes the starts of the rows.
        columns: (products): become the columns, ascending in each row.
        open_rows: int64 (rows): becomes the rows that have some.

    Returns:
        How many rows have some.
    """
    num_rows, num_products = len(starts) - 1, found.shape[1]
    for k in range(num_products):
        starts[row_order[found[0, k]] + 1] += 1
    num_open = 0
    for row in range(num_rows):
        open_rows[num_open] = row
        num_open += starts[row + 1] > 0
        starts[row + 1] += starts[row]
    places = starts[:num_rows].copy()
    for k in range(num_products):
        row, column = row_order[found[0, k]], column_order[found[1, k]]
        place = places[row]
        while place > starts[row] and columns[place - 1] > column:
            columns[place] = columns[place - 1]
            place -= 1
        columns[place] = column
        places[row] += 1
    return num_open
