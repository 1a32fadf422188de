"""Which value each nonzero has: its index in a codebook, coded by sign and then by size.

A codebook is sorted, its negative values first. The sign is coded in the context of the signs to
the left, above and in the plane before; the index among the values of that sign goes down a tree
of adaptive decisions. Or its bit pattern, bit by bit in an adaptive tree, or in fixed fields.
Plain Python that numba compiles.
"""

from analysis.codes.kernels.range_kernel import (
    DECODING,
    NUM_BYTES,
    NUM_DATA,
    OVERRUN,
    Cells,
    Table,
    code_counted,
    code_tree,
    code_uniform,
)
from analysis.codes.kernels.support_kernel import NUM_LINES, NUM_ROWS, WIDTH

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


def code_patterns(
    coder: Cells,
    data: Cells,
    table: Table,
    tree_bits: int,
    plain_bits: int,
    patterns: Cells,
    first: int,
) -> int:
    """Code patterns of tree_bits + plain_bits bits from index `first` on, while `data` has room.

    Args:
        coder: The coder's state.
        data: Bytes, written or read.
        table: Of 2^tree_bits nodes, for the high bits.
        tree_bits: High bits, each adaptive in the context of those before it.
        plain_bits: Low bits, at one bit each, <= 32.
        patterns: int64; filled when decoding.
        first: Where to resume.

    Returns:
        The next index to code, len(patterns) at the end; or OVERRUN.
    """
    for index in range(first, len(patterns)):
        if coder[DECODING]:
            if coder[NUM_BYTES] > coder[NUM_DATA]:
                return OVERRUN
        elif len(data) - coder[NUM_BYTES] < 128:
            return index
        pattern = patterns[index]
        high = code_tree(coder, data, table, 0, tree_bits, pattern >> plain_bits)
        low = pattern - ((pattern >> plain_bits) << plain_bits)
        if plain_bits:
            low = code_uniform(coder, data, low, 1 << plain_bits)
        patterns[index] = (high << plain_bits) | low
    return len(patterns)


def code_fields(coder: Cells, data: Cells, total: int, values: Cells, first: int) -> int:
    """Code integers in 0..total - 1, all equally likely, from index `first` on.

    Args:
        coder: The coder's state.
        data: Bytes, written or read.
        total: How many numbers there are, <= 2^32.
        values: int64; filled when decoding.
        first: Where to resume.

    Returns:
        The next index to code, len(values) at the end; or OVERRUN.
    """
    for index in range(first, len(values)):
        if coder[DECODING]:
            if coder[NUM_BYTES] > coder[NUM_DATA]:
                return OVERRUN
        elif len(data) - coder[NUM_BYTES] < 64:
            return index
        values[index] = code_uniform(coder, data, values[index], total)
    return len(values)
