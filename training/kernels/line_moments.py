"""Norms of the lines of a batch, as a kernel for `training.kernels.compiled`.

Sums may be taken in any order.
"""

import numpy as np

from training.kernels.bf16 import Cells


def measure_lines(matrix: Cells, table: Cells, start: int, stop: int) -> None:
    """‖x - x̄‖, √N |x̄|, ‖x‖ and max |x| of lines start, ..., stop - 1: columns of a table."""
    batch = matrix.shape[1]
    for line in range(start, stop):
        numbers = matrix[line]
        mean, most = 0.0, abs(numbers[0])
        for n in range(batch):
            mean += np.float64(numbers[n])
        mean /= batch
        total = 0.0
        for n in range(batch):
            rest = np.float64(numbers[n]) - mean
            total += rest * rest
        for n in range(batch):
            most = max(most, abs(numbers[n]))
        spread, size = np.sqrt(total), abs(mean) * np.sqrt(batch)
        table[0, line], table[1, line] = spread, size
        table[2, line], table[3, line] = np.hypot(spread, size), most
