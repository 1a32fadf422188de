"""Which value each nonzero has: its index in a codebook, coded by sign and then by size.

A codebook is sorted, its negative values first. The sign is coded in the context of the signs to
the left, above and in the plane before; the index among the values of that sign goes down a tree
of adaptive decisions. Plain Python that numba compiles.
"""

from analysis.codes.kernels.grid_fields import NUM_LINES, NUM_ROWS, OVERRUN, WIDTH
from analysis.codes.kernels.range_kernel import (
    DECODING,
    NUM_BYTES,
    NUM_DATA,
    Cells,
    Table,
    code_counted,
    code_tree,
)

NUM_SIGN_CONTEXTS = 27


def code_symbols(
    coder: Cells,
    data: Cells,
    grid: Cells,
    in_context: int,
    num_negative: int,
    tree_bits: Cells,
    signs: Table,
    trees: Table,
    row_starts: Cells,
    indices: Cells,
    symbols: Cells,
    first_row: int,
    marks: Cells,
) -> int:
    """Code the symbols of the rows from `first_row` on, until a row might not fit into `data`.

    Args:
        coder: The coder's state.
        data: Bytes, written or read.
        grid: Layout of a row.
        in_context: 1 if the signs around a weight are its sign's context.
        num_negative: Values below zero in the codebook.
        tree_bits: Bits of an index among the negative and among the positive values, (2,); a
            group without values has -1.
        signs: Table of sign decisions.
        trees: Table of index decisions: one tree for the negative values, then one for the others.
        row_starts: int64 (num_rows + 1,): where each row's nonzeros start in `indices`.
        indices: Columns of the nonzeros.
        symbols: int64: index in the codebook of each nonzero; filled when decoding.
        first_row: Where to resume.
        marks: Zeros, planes of (lines + 2) x (width + 2).

    Returns:
        The next row to code, num_rows at the end; or OVERRUN.
    """
    num_lines, width = grid[NUM_LINES], grid[WIDTH]
    pitch = width + 2
    plane_pitch = (num_lines + 2) * pitch
    both = tree_bits[0] >= 0 and tree_bits[1] >= 0
    for row in range(first_row, grid[NUM_ROWS]):
        start, end = row_starts[row], row_starts[row + 1]
        if coder[DECODING]:
            if coder[NUM_BYTES] > coder[NUM_DATA]:
                return OVERRUN
        elif len(data) - coder[NUM_BYTES] < 128 * (end - start) + 64:
            return row
        for index in range(start, end):
            column = indices[index]
            line = column // width
            plane = line // num_lines
            place = plane * plane_pitch + (line % num_lines + 1) * pitch + 1 + column % width
            symbol = symbols[index]
            positive = 1 if symbol >= num_negative else 0
            if both:
                context = 0
                if in_context:
                    context = (marks[place - 1] + 1) * 9 + (marks[place - pitch] + 1) * 3 + 1
                    if plane > 0:
                        context += marks[place - plane_pitch]
                positive = code_counted(coder, data, signs, context, positive)
            elif tree_bits[1] >= 0:
                positive = 1
            num_bits = tree_bits[positive]
            first = positive << tree_bits[0] if positive and both else 0
            base = num_negative if positive else 0
            marks[place] = 2 * positive - 1
            symbols[index] = base + code_tree(coder, data, trees, first, num_bits, symbol - base)
        for index in range(start, end):
            column = indices[index]
            line = column // width
            plane = line // num_lines
            marks[plane * plane_pitch + (line % num_lines + 1) * pitch + 1 + column % width] = 0
    return grid[NUM_ROWS]
