"""The support of a tensor: which of its weights are nonzero, by adaptive contexts."""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.codes.arithmetic_coder import ArithmeticCoder, counted_table
from analysis.codes.context_schemes import NUM_SCHEMES, Scheme, candidates
from analysis.codes.errors import CodecError
from analysis.codes.grid import Grid
from analysis.codes.kernels.grid_fields import (
    NUM_CHUNK_CONTEXTS,
    NUM_LINE_CONTEXTS,
    NUM_POSITION_CONTEXTS,
    NUM_ROW_CONTEXTS,
)
from analysis.codes.matrix import SparseMatrix
from analysis.codes.memory import BYTES_A_VALUE, check_memory

Ints = NDArray[np.int64]
_SAMPLE_POSITIONS = 1 << 20


def code_support(
    coder: ArithmeticCoder, grid: Grid, matrix: SparseMatrix | None
) -> tuple[Ints, Ints, Scheme]:
    """Code a support and the scheme that it is coded in.

    Args:
        coder: Writes or reads.
        grid: The layout of the tensor.
        matrix: The tensor to encode; None when decoding.

    Returns:
        row_starts, columns, and the scheme.
    """
    features = 0 if matrix is None else choose_scheme(grid, matrix, coder).features
    features = coder.uniform(features, NUM_SCHEMES)
    starts, columns = _code_rows(coder, grid, features, matrix)
    return starts, columns, Scheme(features)


def choose_scheme(grid: Grid, matrix: SparseMatrix, coder: ArithmeticCoder) -> Scheme:
    """The scheme that codes a tensor, or a sample of its rows, in the fewest bits."""
    schemes = candidates(grid)
    num_sampled = max(_SAMPLE_POSITIONS // max(grid.num_columns, 1), 1)
    if num_sampled < grid.num_rows:
        # A run of rows, so that what neighbouring rows have in common is seen; it starts with a
        # channel's first unit, so that each row keeps its place in the image.
        first = (grid.num_rows - num_sampled) // 2 // grid.side**2 * grid.side**2
        matrix = matrix.select_rows(np.arange(first, first + num_sampled))
        grid = replace(grid, num_rows=num_sampled)

    def cost(scheme: Scheme) -> float:
        trial = coder.fork()
        _code_rows(trial, grid, scheme.features, matrix)
        return trial.information

    return min(schemes, key=cost)


def _code_rows(
    coder: ArithmeticCoder, grid: Grid, features: int, matrix: SparseMatrix | None
) -> tuple[Ints, Ints]:
    check_memory(8 * 3 * grid.num_columns)
    if matrix is None:
        starts = np.zeros(grid.num_rows + 1, dtype=np.int64)
        found = np.zeros(2 * grid.num_columns, dtype=np.int64)
    else:
        starts, found = matrix.row_starts, matrix.columns
    layout = grid.as_array()
    tables = [
        counted_table(size)
        for size in (NUM_ROW_CONTEXTS, NUM_LINE_CONTEXTS, NUM_CHUNK_CONTEXTS, NUM_POSITION_CONTEXTS)
    ]
    marks, line_marks = plane_marks(grid), np.zeros((grid.num_planes + 1, grid.num_lines + 1), int)
    counts = np.zeros(grid.num_columns, dtype=np.int64)

    def step(state: Any, data: Any, first: int) -> int:
        return int(
            coder.kernels.code_support(
                state,
                data,
                layout,
                features,
                *tables,
                starts,
                found,
                first,
                marks,
                line_marks,
                counts,
            )
        )

    def room(first: int) -> None:
        nonlocal found
        if coder.decoding:
            check_memory(16 * len(found) + BYTES_A_VALUE * int(starts[first]))
            longer = np.zeros(2 * len(found), dtype=np.int64)
            longer[: len(found)] = found
            found = longer

    coder.run(step, 0, grid.num_rows, room=room)
    return starts, found[: starts[-1]]


def plane_marks(grid: Grid) -> Ints:
    """Zeros for one row of a tensor, with a border around each plane."""
    num_marks = grid.num_planes * (grid.num_lines + 2) * (grid.width + 2)
    check_memory(8 * num_marks)
    return np.zeros(num_marks, dtype=np.int64)


def code_enumerative(coder: ArithmeticCoder, num_positions: int, places: Ints | None) -> Ints:
    """Code the places of nonzeros among n: their number in 0..n, then which of C(n, number).

    Args:
        coder: Writes or reads.
        num_positions: n.
        places: Flat places, ascending; None when decoding.
    """
    num_nonzeros = coder.uniform(0 if places is None else len(places), num_positions + 1)
    check_memory(BYTES_A_VALUE * num_nonzeros)
    found = np.zeros(num_nonzeros, dtype=np.int64) if places is None else places
    index = 0

    def step(state: Any, data: Any, first: int) -> int:
        nonlocal index
        position, index = coder.kernels.code_enumerative(
            state, data, num_positions, num_nonzeros, found, first, index
        )
        return int(position)

    coder.run(step, 0, num_positions, room=lambda first: None)
    if index != num_nonzeros:
        raise CodecError("damaged: fewer nonzeros than it says")
    return found
