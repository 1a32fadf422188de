"""Transposes many small matrices of 16-bit numbers, as images between channels last and first."""

from training.kernels.bf16 import Cells


def transpose_matrices(source: Cells, target: Cells, start: int, stop: int) -> None:
    """target[i] = source[i]ᵀ for matrices start, ..., stop - 1; written row by row."""
    for i in range(start, stop):
        matrix, flipped = source[i], target[i]
        for row in range(flipped.shape[0]):
            line = flipped[row]
            for column in range(len(line)):
                line[column] = matrix[column, row]
