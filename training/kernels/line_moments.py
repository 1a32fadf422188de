"""Moments of the lines of a batch, as a kernel for `training.kernels.compiled`."""

import numpy as np

from training.kernels.bf16 import Cells


def measure_moments(
    matrix: Cells, means: Cells, spreads: Cells, largest: Cells, start: int, stop: int
) -> None:
    """Mean, ‖x - x̄‖ and max |x| of lines start, ..., stop - 1, in float64."""
    batch = matrix.shape[1]
    for line in range(start, stop):
        numbers = matrix[line]
        mean = _sum(numbers, 0.0, False) / batch
        means[line], spreads[line] = mean, np.sqrt(_sum(numbers, mean, True))
        largest[line] = _find_largest(numbers)


def _sum(numbers: Cells, origin: float, squared: bool) -> float:
    """Σ (x - origin), or of its squares: four sums side by side, which fill a vector."""
    whole = len(numbers) // 4 * 4
    a = b = c = d = 0.0
    for n in range(0, whole, 4):
        p, q = numbers[n] - origin, numbers[n + 1] - origin
        r, s = numbers[n + 2] - origin, numbers[n + 3] - origin
        if squared:
            p, q, r, s = p * p, q * q, r * r, s * s
        a, b, c, d = a + p, b + q, c + r, d + s
    for n in range(whole, len(numbers)):
        rest = numbers[n] - origin
        a += rest * rest if squared else rest
    return (a + b) + (c + d)


def _find_largest(numbers: Cells) -> float:
    most = abs(numbers[0])
    for number in numbers:
        size = abs(number)
        most = size if size > most else most
    return most
