"""Steps of the arithmetic coder on plain integers and arrays, both directions in one.

The functions are plain Python, which is their reference form; `analysis.codes.arithmetic_coder`
compiles them where numba is installed. A message is an interval [low, low + range) inside [0, 1)
that every decision narrows; `analysis.codes.arithmetic_coder` has the whole argument. All numbers
are whole and stay below 2^63, so the same bits come out on every machine.

The coder is an array of seven integers. The window shows 56 bits of the interval's low end; the
bytes before it are settled but for a carry.
"""

from collections.abc import MutableSequence
from typing import Protocol

Cells = MutableSequence[int]
"""A one-dimensional array of integers."""


class Table(Protocol):
    """A two-dimensional array of integers."""

    def __getitem__(self, place: tuple[int, int]) -> int: ...
    def __setitem__(self, place: tuple[int, int], value: int) -> None: ...


LOW = 0  # low end of the interval in the window, below 2^56
RANGE = 1  # width of the interval, in 2^48 + 1 .. 2^56 between two decisions
OFFSET = 2  # decoding: how far the codeword lies above the low end
NUM_BYTES = 3  # bytes that the window has moved past
DECODING = 4  # 1 if decoding
NUM_DATA = 5  # decoding: bytes of data; zeros follow them
DAMAGED = 6  # decoding: 1 once the data lie where no encoder goes
CODER_SIZE = 7

WINDOW_BITS = 56
TOP = 1 << WINDOW_BITS
BOTTOM = TOP >> 8
MAX_TOTAL = 1 << 32
"""Largest denominator of a probability: its share of the range is at least 2^16."""
OVERRUN = -1
"""Returned by a kernel when the decoder has read far past the end of its data."""


def code_split(coder: Cells, data: Cells, split: int, bit: int) -> int:
    """Code one decision: 1 takes the lower `split` of the range, 0 takes the rest; returns it."""
    width = coder[RANGE]
    if coder[DECODING]:
        if coder[OFFSET] < split:
            bit = 1
            width = split
        else:
            bit = 0
            coder[OFFSET] -= split
            coder[LOW] += split
            width -= split
    elif bit:
        width = split
    else:
        coder[LOW] += split
        width -= split
    coder[RANGE] = width
    if width <= BOTTOM or coder[LOW] >= TOP:
        settle(coder, data)
    return bit


def code_uniform(coder: Cells, data: Cells, value: int, total: int) -> int:
    """Code an integer in 0..total - 1, all equally likely, total <= MAX_TOTAL; returns it."""
    share = coder[RANGE] // total
    if coder[DECODING]:
        value = coder[OFFSET] // share
        if value >= total:  # the rest of an uneven division: no encoder goes there
            value = total - 1
            coder[OFFSET] = share * total - 1
            coder[DAMAGED] = 1
        coder[OFFSET] -= share * value
    coder[LOW] += share * value
    coder[RANGE] = share
    settle(coder, data)
    return value


def code_choice(coder: Cells, data: Cells, ends: Cells, value: int) -> int:
    """Code one of K values by their shares of a total; returns it.

    `ends` are the K running sums of the shares, integers >= 1; the last, the total, is at most
    MAX_TOTAL.
    """
    total = ends[len(ends) - 1]
    unit = coder[RANGE] // total
    if coder[DECODING]:
        place = coder[OFFSET] // unit
        if place >= total:  # the rest of an uneven division: no encoder goes there
            place = total - 1
            coder[OFFSET] = unit * total - 1
            coder[DAMAGED] = 1
        value = 0
        while ends[value] <= place:
            value += 1
    first = ends[value - 1] if value > 0 else 0
    if coder[DECODING]:
        coder[OFFSET] -= unit * first
    coder[LOW] += unit * first
    coder[RANGE] = unit * (ends[value] - first)
    settle(coder, data)
    return value


def code_counted(coder: Cells, data: Cells, table: Table, context: int, bit: int) -> int:
    """Code one decision by the Krichevsky-Trofimov estimate of its context, which then learns it.

    `table[context]` holds 2 n1 + 1 and 2 n + 2, where n1 of n decisions were 1.
    """
    ones = table[context, 0]
    total = table[context, 1]
    bit = code_split(coder, data, coder[RANGE] // total * ones, bit)
    table[context, 0] = ones + 2 * bit
    table[context, 1] = total + 2
    return bit


def decide(
    coder: Cells,
    data: Cells,
    low: int,
    width: int,
    offset: int,
    table: Table,
    context: int,
    bit: int,
) -> tuple[int, int, int, int]:
    """`code_counted` for inner loops, on a coder whose three moving parts are held by the caller.

    Returns:
        (low, width, offset, bit).
    """
    ones = table[context, 0]
    total = table[context, 1]
    split = width // total * ones
    if coder[DECODING]:
        bit = 1 if offset < split else 0
    if bit:
        width = split
    else:
        low += split
        offset -= split
        width -= split
    table[context, 0] = ones + 2 * bit
    table[context, 1] = total + 2
    if width <= BOTTOM or low >= TOP:
        coder[LOW], coder[RANGE], coder[OFFSET] = low, width, offset
        settle(coder, data)
        low, width, offset = coder[LOW], coder[RANGE], coder[OFFSET]
    return low, width, offset, bit


def code_tree(
    coder: Cells, data: Cells, table: Table, first: int, num_bits: int, value: int
) -> int:
    """Code a number of `num_bits` bits, high bits first, each by the node of the bits before it.

    The nodes of one tree are the 2^num_bits rows of the table from `first` on.
    """
    node = 1
    for place in range(num_bits - 1, -1, -1):
        node = 2 * node + code_counted(coder, data, table, first + node, (value >> place) & 1)
    return node - (1 << num_bits)


def settle(coder: Cells, data: Cells) -> None:
    """Hand on a carry, and move the window while the range is narrow."""
    if coder[LOW] >= TOP:
        coder[LOW] -= TOP
        if not coder[DECODING]:
            carry(data, coder[NUM_BYTES])
    while coder[RANGE] <= BOTTOM:
        position = coder[NUM_BYTES]
        if coder[DECODING]:
            coming = position + (WINDOW_BITS >> 3)
            byte = int(data[coming]) if coming < coder[NUM_DATA] else 0
            coder[OFFSET] = (coder[OFFSET] << 8) | byte
        else:
            data[position] = coder[LOW] >> (WINDOW_BITS - 8)
            coder[OFFSET] = 0  # `decide` counts it down without need; so it stays in 64 bits
        coder[LOW] = (coder[LOW] & (BOTTOM - 1)) << 8
        coder[RANGE] <<= 8
        coder[NUM_BYTES] = position + 1


def carry(data: Cells, position: int) -> None:
    """Add one to the number that the bytes before `position` write."""
    position -= 1
    while data[position] == 255:
        data[position] = 0
        position -= 1
    data[position] += 1
