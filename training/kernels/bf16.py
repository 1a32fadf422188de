"""bfloat16 as integers of 16 bits, for kernels: the upper half of a float32; transposition."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Cells = NDArray[Any]
"""Numbers side by side."""
Real = Any
"""One number of some numeric type of NumPy's."""


def widen_bf16(bits: Real) -> Real:
    """The float32 with these 16 bits in its upper half; exact."""
    return np.uint32(np.uint32(bits) << np.uint32(16)).view(np.float32)


def round_bf16(value: Real) -> Real:
    """The 16 bits of the bfloat16 nearest to a float32, ties to even; NaN stays NaN."""
    bits = np.float32(value).view(np.uint32)
    odd = (bits >> np.uint32(16)) & np.uint32(1)
    rounded = np.uint16((bits + np.uint32(0x7FFF) + odd) >> np.uint32(16))
    return rounded if value == value else np.uint16(0x7FC0)  # noqa: PLR0124


def transpose_matrices(source: Cells, target: Cells, start: int, stop: int) -> None:
    """target[i] = source[i]ᵀ for matrices start, ..., stop - 1; written row by row."""
    for i in range(start, stop):
        matrix, flipped = source[i], target[i]
        for row in range(flipped.shape[0]):
            line = flipped[row]
            for column in range(len(line)):
                line[column] = matrix[column, row]
