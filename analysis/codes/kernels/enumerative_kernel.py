"""A support by its number among all that have as many nonzeros. Plain Python for numba."""

from analysis.codes.kernels.grid_fields import OVERRUN
from analysis.codes.kernels.range_kernel import (
    DECODING,
    NUM_BYTES,
    NUM_DATA,
    RANGE,
    Cells,
    code_split,
)


def code_enumerative(
    coder: Cells,
    data: Cells,
    num_positions: int,
    num_nonzeros: int,
    indices: Cells,
    from_position: int,
    from_index: int,
) -> tuple[int, int]:
    """Code a support among all C(n, nonzeros) of them, in log2 C(n, nonzeros) bits.

    Position by position, a one has the probability (ones left) / (positions left). Zeros after the
    last one cost nothing and are not walked.

    Args:
        coder: The coder's state.
        data: Bytes, written or read.
        num_positions: n.
        num_nonzeros: Ones among them.
        indices: int64: their positions, ascending; filled when decoding.
        from_position: Where to resume.
        from_index: Ones before that.

    Returns:
        (position, index) to resume from; position = n at the end, OVERRUN past the data's end.
    """
    decoding = coder[DECODING]
    index = from_index
    for position in range(from_position, num_positions):
        left = num_nonzeros - index
        if left == 0:
            return num_positions, index
        if decoding:
            if coder[NUM_BYTES] > coder[NUM_DATA]:
                return OVERRUN, index
        elif len(data) - coder[NUM_BYTES] < 64:
            return position, index
        bit = 0
        if not decoding and indices[index] == position:
            bit = 1
        remaining = num_positions - position
        if left < remaining:
            bit = code_split(coder, data, coder[RANGE] // remaining * left, bit)
        else:
            bit = 1
        if bit:
            indices[index] = position
            index += 1
    return num_positions, index
