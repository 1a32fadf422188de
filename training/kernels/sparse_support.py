"""How the support of a sparse weight changes, as kernels for `training.kernels.compiled`.

The entries of row i are row_starts[i], ..., row_starts[i + 1] - 1, and their columns ascend. Every
kernel works on rows start, ..., stop - 1, so rows may be split among threads.
"""

import numpy as np

from training.kernels.bf16 import Cells


def count_kept(weights: Cells, threshold: float, counts: Cells, start: int, stop: int) -> None:
    """counts[i] = the number of weights in row i that `collect_kept` keeps."""
    for row in range(start, stop):
        count = 0
        for weight in weights[row]:
            count += not (np.abs(weight) <= threshold)  # NaN is kept
        counts[row] = count


def collect_kept(
    weights: Cells,
    threshold: float,
    row_starts: Cells,
    columns: Cells,
    values: Cells,
    start: int,
    stop: int,
) -> None:
    """The columns and values of weights whose magnitude is above the threshold, or NaN."""
    num_columns = weights.shape[1]
    kept = np.empty(num_columns + 1, dtype=np.int64)
    for row in range(start, stop):
        count, first = 0, row_starts[row]
        if first == row_starts[row + 1]:
            continue
        for column in range(num_columns):
            kept[count] = column
            count += not (np.abs(weights[row, column]) <= threshold)
        for k in range(count):
            columns[first + k] = kept[k]
            values[first + k] = weights[row, kept[k]]


def count_nonzero(row_starts: Cells, values: Cells, counts: Cells, start: int, stop: int) -> None:
    """counts[i] = the number of entries in row i whose value is not 0."""
    for row in range(start, stop):
        count = 0
        for entry in range(row_starts[row], row_starts[row + 1]):
            count += values[entry] != 0
        counts[row] = count


def keep_nonzero(
    row_starts: Cells,
    columns: Cells,
    values: Cells,
    new_starts: Cells,
    new_columns: Cells,
    sources: Cells,
    start: int,
    stop: int,
) -> None:
    """The entries whose value is not 0: their columns, and their places before."""
    for row in range(start, stop):
        target = new_starts[row]
        for entry in range(row_starts[row], row_starts[row + 1]):
            if values[entry] != 0:
                new_columns[target], sources[target] = columns[entry], entry
                target += 1


def merge_rows(
    row_starts: Cells,
    columns: Cells,
    more_starts: Cells,
    more_columns: Cells,
    new_columns: Cells,
    sources: Cells,
    start: int,
    stop: int,
) -> bool:
    """The union of two supports: its columns, and where its entries were.

    A source is a place in `columns`, or len(columns) and a place in `more_columns`. Returns whether
    the columns of each row ascend: False if the supports overlap or one is not in order.
    """
    falls = 0
    for row in range(start, stop):
        mine, my_end = row_starts[row], row_starts[row + 1]
        other, other_end = more_starts[row], more_starts[row + 1]
        first = mine + other
        for target in range(first, my_end + other_end):
            if other == other_end or (mine < my_end and columns[mine] < more_columns[other]):
                new_columns[target], sources[target] = columns[mine], mine
                mine += 1
            else:
                new_columns[target], sources[target] = more_columns[other], len(columns) + other
                other += 1
            falls += target > first and new_columns[target] <= new_columns[target - 1]
    return falls == 0


def spread_rows(
    row_starts: Cells, columns: Cells, values: Cells, weights: Cells, start: int, stop: int
) -> None:
    """weights[i, j] = the value of the entry at (i, j), or 0."""
    for row in range(start, stop):
        weights[row] = 0
        for entry in range(row_starts[row], row_starts[row + 1]):
            weights[row, columns[entry]] = values[entry]


def count_columns(row_starts: Cells, columns: Cells, counts: Cells, start: int, stop: int) -> None:
    """counts[j] += the number of entries of these rows in column j."""
    for entry in range(row_starts[start], row_starts[stop]):
        counts[columns[entry]] += 1


def sort_by_columns(
    row_starts: Cells,
    columns: Cells,
    places: Cells,
    rows: Cells,
    offsets: Cells,
    start: int,
    stop: int,
) -> None:
    """Put the entries of these rows where their columns go, from places[j] on in column j.

    rows[p] and offsets[p] are the row of the entry that comes to p, and its place in that row.
    """
    for row in range(start, stop):
        first = row_starts[row]
        for entry in range(first, row_starts[row + 1]):
            place = places[columns[entry]]
            rows[place], offsets[place] = row, entry - first
            places[columns[entry]] = place + 1


def gather_entries(
    row_starts: Cells,
    rows: Cells,
    offsets: Cells,
    values: Cells,
    gathered: Cells,
    start: int,
    stop: int,
) -> None:
    """gathered[k] = the value at place offsets[k] of row rows[k], for start <= k < stop."""
    for k in range(start, stop):
        gathered[k] = values[row_starts[rows[k]] + np.int64(offsets[k])]
