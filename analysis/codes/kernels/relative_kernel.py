"""Numbers of a tensor relative to those of a prior: which of them are changed, and to what.

Both tensors hold indices into one ascending list of numbers, in which zero stands. A number that
the prior has too is one decision, "not changed", which costs a fraction of a bit where most are
so. A changed one says whether it became zero, then up or down and how far, zero not counted as a
place; what the ends of the list leave no choice about is not said. Plain Python that numba
compiles.
"""

from analysis.codes.kernels.range_kernel import (
    DAMAGED,
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

NUM_CHANGE_CONTEXTS = 6
NUM_ZERO_CONTEXTS = 2
NUM_WAY_CONTEXTS = 3
MAX_SIZE_BITS = 33
NUM_SIZE_CONTEXTS = 2 * MAX_SIZE_BITS
_TREE_BITS = 3
NUM_TREE_CONTEXTS = 2 * 2 ** (_TREE_BITS + 1)
_MOST_BYTES = 1024  # more than one number takes


def code_changes(
    coder: Cells,
    data: Cells,
    prior: Cells,
    found: Cells,
    num_symbols: int,
    zero: int,
    width: int,
    in_context: int,
    changes: Table,
    zeros: Table,
    ways: Table,
    sizes: Table,
    trees: Table,
    first: int,
) -> int:
    """Code the numbers from index `first` on, while `data` has room.

    Args:
        coder: The coder's state.
        data: Bytes, written or read.
        prior: int64 (n,): index of each of the prior's numbers, below `num_symbols`.
        found: int64 (n,): likewise of the tensor; filled when decoding.
        num_symbols: Numbers in the list.
        zero: Index of zero.
        width: Numbers in a row.
        in_context: 1 if changes to the left and above are a number's context.
        changes: Table of the decisions whether a number is changed.
        zeros: Table of those whether it became zero.
        ways: Table of those whether it went up.
        sizes: Table of those about the bits of how far.
        trees: Table of those about the lower bits of how far, where they are few.
        first: Where to resume.

    Returns:
        The next index to code, n at the end; or OVERRUN.
    """
    for index in range(first, len(prior)):
        if coder[DECODING]:
            if coder[NUM_BYTES] > coder[NUM_DATA]:
                return OVERRUN
        elif len(data) - coder[NUM_BYTES] < _MOST_BYTES:
            return index
        before, now = prior[index], found[index]
        is_zero = 1 if before == zero else 0
        context = is_zero * 3
        if in_context:
            if index % width > 0 and found[index - 1] != prior[index - 1]:
                context += 1
            if index >= width and found[index - width] != prior[index - width]:
                context += 1
        changed = code_counted(coder, data, changes, context, 1 if now != before else 0)
        if not changed:
            found[index] = before
            continue
        up, down = num_symbols - 1 - before, before
        if not is_zero:
            side = 1 if before > zero else 0
            up, down = up - 1 + side, down - side
            became_zero = 1
            if up + down > 0:
                became_zero = code_counted(coder, data, zeros, side, 1 if now == zero else 0)
            if became_zero:
                found[index] = zero
                continue
        elif up + down == 0:  # a list of zero alone: no encoder comes here
            coder[DAMAGED] = 1
            return index
        way = 1 if now > before else 0
        if up > 0 and down > 0:
            kind = 1
            if not is_zero:
                kind = 2 if before > zero else 0
            way = code_counted(coder, data, ways, kind, way)
        else:
            way = 1 if up > 0 else 0
        far = now - before if way else before - now
        crosses = way == 1 and before < zero and now > zero
        if crosses or (way == 0 and before > zero and now < zero):
            far -= 1
        far = code_distance(coder, data, sizes, trees, is_zero, up if way else down, far)
        if way:
            now = before + far
            if before < zero <= now:
                now += 1
        else:
            now = before - far
            if now <= zero < before:
                now -= 1
        found[index] = now
    return len(prior)


def code_distance(
    coder: Cells, data: Cells, sizes: Table, trees: Table, kind: int, room: int, far: int
) -> int:
    """Code a number in 1..room: how many bits it has, one decision each, and then its bits."""
    most, length = 0, 0
    while room >> most:
        most += 1
    while far >> length and length < most:
        length += 1
    num_bits = 1
    while num_bits < most:
        more = 1 if length > num_bits else 0
        context = kind * MAX_SIZE_BITS + num_bits
        if not code_counted(coder, data, sizes, context, more):
            break
        num_bits += 1
    low = num_bits - 1
    rest = far - (1 << low)
    if 0 < low <= _TREE_BITS:
        tree = (kind << (_TREE_BITS + 1)) + (1 << low)
        rest = code_tree(coder, data, trees, tree, low, rest)
    elif low:
        rest = code_uniform(coder, data, rest, 1 << low)
    else:
        rest = 0
    far = (1 << low) + rest
    if far > room:  # no encoder writes it
        coder[DAMAGED] = 1
        far = room
    return far
