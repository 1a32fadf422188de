"""Lines of a batch as 16-bit integers, and which of their products reach a limit: kernels.

Integers lie as `training.kernels.integer_tiles` reads them, filled up with 0. This module needs
numba; import it only where that is installed.
"""

import numpy as np

from training.kernels.bf16 import Cells
from training.kernels.integer_tiles import TILE_ROWS, find_reaching
from training.kernels.vector_code import LANES


def round_rows(
    matrix: Cells, chosen: Cells, factors: Cells, integers: Cells, start: int, stop: int
) -> None:
    """integers[i, n] = matrix[chosen[i], n] · factors[i], rounded, for i = start, ..., stop - 1."""
    for i in range(start, stop):
        numbers, factor = matrix[chosen[i]], factors[i]
        for n in range(matrix.shape[1]):
            integers[i, n] = np.int16(np.int32(np.rint(numbers[n] * factor)))


def round_columns(
    matrix: Cells, chosen: Cells, factor: float, integers: Cells, start: int, stop: int
) -> None:
    """integers[b, p, c, h] = matrix[chosen[16 b + c], 2 p + h] · factor, for b < stop from start."""
    batch = matrix.shape[1]
    line = np.empty(batch, dtype=np.int16)
    for block in range(start, stop):
        for c in range(min(LANES, len(chosen) - block * LANES)):
            numbers = matrix[chosen[block * LANES + c]]
            for n in range(batch):
                line[n] = np.int16(np.int32(np.rint(numbers[n] * factor)))
            for pair in range(batch // 2):
                integers[block, pair, c, 0] = line[2 * pair]
                integers[block, pair, c, 1] = line[2 * pair + 1]
            if batch % 2:
                integers[block, batch // 2, c, 0] = line[batch - 1]


def find_products(
    rows: Cells,
    columns: Cells,
    limits: Cells,
    widths: Cells,
    found: Cells,
    start: int,
    stop: int,
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
    found: Cells, row_order: Cells, column_order: Cells, starts: Cells, columns: Cells
) -> None:
    """Put what `find_products` found into the rows and columns that it stands for, in their order.

    Args:
        found: int64 (2, products), numbers into the orders.
        row_order: Row of each number.
        column_order: Column of each number.
        starts: int64 (rows + 1), 0: becomes the starts of the rows.
        columns: (products): become the columns, ascending in each row.
    """
    num_rows, num_products = len(starts) - 1, found.shape[1]
    for k in range(num_products):
        starts[row_order[found[0, k]] + 1] += 1
    for row in range(num_rows):
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
