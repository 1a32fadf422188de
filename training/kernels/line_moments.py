"""Moments of the lines of a batch, as a kernel for `training.kernels.compiled`."""

import numpy as np

from training.kernels.bf16 import Cells

_LANES = 8  # Sums side by side, which fill a vector.


def measure_moments(
    matrix: Cells, means: Cells, spreads: Cells, largest: Cells, start: int, stop: int
) -> None:
    """Mean, ‖x - x̄‖ and max |x| of lines start, ..., stop - 1, in float64."""
    batch = matrix.shape[1]
    whole = batch // _LANES * _LANES
    parts = np.empty(_LANES)
    for line in range(start, stop):
        numbers = matrix[line]
        parts[:] = 0
        for n in range(0, whole, _LANES):
            for lane in range(_LANES):
                parts[lane] += numbers[n + lane]
        total = parts.sum()
        for n in range(whole, batch):
            total += numbers[n]
        mean = total / batch
        parts[:] = 0
        for n in range(0, whole, _LANES):
            for lane in range(_LANES):
                rest = numbers[n + lane] - mean
                parts[lane] += rest * rest
        total = parts.sum()
        for n in range(whole, batch):
            rest = numbers[n] - mean
            total += rest * rest
        means[line], spreads[line] = mean, np.sqrt(total)
        most = abs(numbers[0])
        for n in range(batch):
            most = max(most, abs(numbers[n]))
        largest[line] = most
