"""Bit patterns: bit by bit in an adaptive tree, or in fixed fields. Plain Python for numba."""

from analysis.codes.kernels.grid_fields import OVERRUN
from analysis.codes.kernels.range_kernel import (
    DECODING,
    NUM_BYTES,
    NUM_DATA,
    Cells,
    Table,
    code_tree,
    code_uniform,
)


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
