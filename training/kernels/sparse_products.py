"""Products of a sparse weight with a batch, as kernels for `training.kernels.compiled`.

A weight has its entries by rows: those of row i are row_starts[i], ..., row_starts[i + 1] - 1. The
batch lies last: X is (columns, N) and Y is (rows, N). It is worked on in tiles that stay in the
second-level cache. This module needs numba; import it only where that is installed.
"""

import numpy as np

from training.kernels.batch_lines import GROUP, VECTOR_BYTES
from training.kernels.bf16 import Cells
from training.kernels.line_products import (
    LINE_BYTES,
    NARROW_BYTES,
    copy_vector,
    fetch_line,
    multiply_line,
    multiply_narrow_line,
    sum_groups,
    sum_rest,
)

_AHEAD = 8  # Rows between the one that is fetched into the cache and the one in use.


def multiply_rows(
    row_starts: Cells,
    columns: Cells,
    values: Cells,
    inputs: Cells,
    outputs: Cells,
    bounds: Cells,
    is_narrow: bool,
    start: int,
    stop: int,
) -> None:
    """outputs[i, n] = Σ_j W[i, j] inputs[j, n].

    A piece of work is (tile of the batch, block of rows): block b of rows bounds[b], ...,
    bounds[b + 1] - 1. Works on pieces start, ..., stop - 1.
    """
    batch, num_blocks = inputs.shape[1], len(bounds) - 1
    length = (NARROW_BYTES if is_narrow else LINE_BYTES) // inputs.itemsize
    tile = make_tile(inputs, length, len(inputs))
    flat = outputs.reshape(outputs.size)
    line = np.empty(length, dtype=inputs.dtype)
    packed = -1
    for piece in range(start, stop):
        left, block = piece // num_blocks * length, piece % num_blocks
        width = min(length, batch - left)
        if left != packed:
            pack_tile(inputs, 0, len(inputs), left, length, tile)
            packed = left
        limit = row_starts[bounds[block + 1]]
        for row in range(bounds[block], bounds[block + 1]):
            first, last = row_starts[row], row_starts[row + 1]
            fetch_line(flat, min(row + _AHEAD, bounds[block + 1] - 1) * batch + left, True)
            target, place = (flat, row * batch + left) if width == length else (line, 0)
            if is_narrow:
                multiply_narrow_line(values, columns, first, last, limit, tile, target, place)
            else:
                multiply_line(values, columns, first, last, limit, tile, target, place)
            if width < length:
                outputs[row, left:] = line[:width]


def sum_entries(
    row_starts: Cells,
    columns: Cells,
    gradients: Cells,
    inputs: Cells,
    sums: Cells,
    num_lines: int,
    start: int,
    stop: int,
) -> None:
    """sums[k] = Σ_n gradients[i, n] inputs[j, n] for every entry k, at (i, j).

    Works on rows start, ..., stop - 1. A tile has `num_lines` lines at most.
    """
    batch, num_columns = inputs.shape[1], len(inputs)
    length = LINE_BYTES // inputs.itemsize
    tile = make_tile(inputs, length, min(num_lines, num_columns))
    flat = gradients.reshape(gradients.size)
    line, totals = np.zeros(length, dtype=inputs.dtype), np.empty(GROUP, dtype=sums.dtype)
    firsts, lasts = row_starts[start:stop].copy(), row_starts[start + 1 : stop + 1].copy()
    sums[row_starts[start] : row_starts[stop]] = 0
    for lower in range(0, num_columns, num_lines):
        upper = min(lower + num_lines, num_columns)
        for row in range(start, stop):
            if upper < num_columns:
                ends = columns[firsts[row - start] : row_starts[row + 1]]
                lasts[row - start] = firsts[row - start] + np.searchsorted(ends, upper)
            else:
                lasts[row - start] = row_starts[row + 1]
        for left in range(0, batch, length):
            width = min(length, batch - left)
            pack_tile(inputs, lower, upper, left, length, tile)
            for row in range(start, stop):
                first, last = firsts[row - start], lasts[row - start]
                fetch_line(flat, min(row + _AHEAD, stop - 1) * batch + left, False)
                limit = row_starts[stop] if num_columns <= num_lines else last
                if width < length:
                    line[:width] = gradients[row, left:]
                source, place = (flat, row * batch + left) if width == length else (line, 0)
                rest = last - (last - first) % GROUP
                sum_groups(source, place, columns, first, rest, limit, tile, lower, sums)
                if rest < last and rest + GROUP <= row_starts[stop]:
                    sum_rest(source, place, columns, rest, last, limit, tile, lower, sums, rest)
                elif rest < last:  # the sums behind may be another thread's
                    totals[:] = 0
                    sum_rest(source, place, columns, rest, last, limit, tile, lower, totals, 0)
                    for k in range(last - rest):
                        sums[rest + k] += totals[k]
        firsts[:] = lasts


def make_tile(inputs: Cells, length: int, num_lines: int) -> Cells:
    """Room for lines that start at multiples of 64 bytes."""
    spare = 64 // inputs.itemsize
    room = np.empty(num_lines * length + spare, dtype=inputs.dtype)
    start = -(room.ctypes.data // inputs.itemsize) % spare
    return room[start : start + num_lines * length]


def pack_tile(inputs: Cells, lower: int, upper: int, left: int, length: int, tile: Cells) -> None:
    """The lines of rows lower, ..., upper - 1 from column `left` on, filled up with 0."""
    batch, step = inputs.shape[1], VECTOR_BYTES // inputs.itemsize
    width, flat = min(length, batch - left), inputs.reshape(inputs.size)
    whole = width // step * step
    for row in range(lower, upper):
        source, target = row * batch + left, (row - lower) * length
        for i in range(0, whole, step):
            copy_vector(flat, source + i, tile, target + i)
        for i in range(whole, width):
            tile[target + i] = flat[source + i]
        for i in range(width, length):
            tile[target + i] = 0
