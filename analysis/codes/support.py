"""The support of a tensor: which of its weights are nonzero, by adaptive contexts.

The encoder takes the scheme of contexts that pays. A scheme is six flags, and six bits of the
description name it:

- lines: empty lines and chunks of lines are one decision each (fast where little is nonzero);
- density: how many of the row's weights so far are nonzero;
- neighbours: the weights to the left, above, and above to both sides;
- planes: the same place and its neighbours in the input channel before (the other colours);
- zones: the distance from the unit's own place in the image;
- columns: how many of the column's weights, in the rows before, are nonzero.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from analysis.codes.arithmetic_coder import ArithmeticCoder, CodecError, counted_table
from analysis.codes.grid import Grid
from analysis.codes.kernels.support_kernel import (
    COLUMNS,
    DENSITY,
    LINES,
    NEIGHBOURS,
    NUM_CHUNK_CONTEXTS,
    NUM_LINE_CONTEXTS,
    NUM_POSITION_CONTEXTS,
    NUM_ROW_CONTEXTS,
    PLANES,
    ZONES,
)
from analysis.codes.matrix import BYTES_A_PLACE, BYTES_A_VALUE, Ints, SparseMatrix, check_memory

NAMES = {
    LINES: "lines",
    DENSITY: "density",
    NEIGHBOURS: "neighbours",
    PLANES: "planes",
    ZONES: "zones",
    COLUMNS: "columns",
}
NUM_SCHEMES = 1 << len(NAMES)
_SMALL = 1 << 15
_MIXES = (
    0,
    DENSITY,
    NEIGHBOURS,
    COLUMNS,
    ZONES,
    NEIGHBOURS | PLANES,
    NEIGHBOURS | ZONES,
    DENSITY | COLUMNS,
    NEIGHBOURS | COLUMNS,
    NEIGHBOURS | PLANES | ZONES,
    NEIGHBOURS | PLANES | COLUMNS,
    NEIGHBOURS | ZONES | COLUMNS,
    NEIGHBOURS | PLANES | ZONES | COLUMNS,
    DENSITY | NEIGHBOURS | PLANES | ZONES,
    DENSITY | NEIGHBOURS | PLANES | ZONES | COLUMNS,
)
_SAMPLE_POSITIONS = 1 << 20


@dataclass(frozen=True)
class Scheme:
    """A sum of the features, 0..63."""

    features: int

    def __str__(self) -> str:
        """The flags by name.

        >>> str(Scheme(LINES | ZONES)), str(Scheme(0))
        ('lines, zones', 'one context')
        """
        names = [name for flag, name in NAMES.items() if self.features & flag]
        return ", ".join(names) or "one context"


def candidates(grid: Grid) -> tuple[Scheme, ...]:
    """The schemes that the encoder tries on a tensor.

    Large tensors always get lines, which make them fast.
    """
    useful = DENSITY | COLUMNS | LINES
    if grid.has_image:
        useful |= NEIGHBOURS
        if grid.num_planes > 1:
            useful |= PLANES
        if grid.centre:
            useful |= ZONES
    mixes = {mix & useful for mix in _MIXES}
    with_lines = {mix | LINES for mix in mixes}
    is_small = grid.num_rows * grid.num_columns <= _SMALL
    return tuple(Scheme(mix) for mix in sorted(mixes | with_lines if is_small else with_lines))


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
            check_memory(2 * BYTES_A_PLACE * len(found))
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
    check_memory((BYTES_A_PLACE + BYTES_A_VALUE) * num_nonzeros)
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
