"""Steps of the binary arithmetic coder on plain integers and arrays, both directions in one.

The functions are plain Python; `analysis.codes.kernels` compiles them where numba is installed.
The message is an interval [low, low + range) inside [0, 1) that every decision narrows; see
`analysis.codes.arithmetic` for the whole argument. All numbers fit 64-bit signed integers: range is
at most 2^47, a probability has 16 bits, so that their product stays below 2^63.

The coder is an array of six integers. Encoding, `data` is the output, aligned at bit 0. Decoding,
`data` is the whole input, and the codeword starts at any bit of it.
"""

LOW = 0  # encoding: low end of the interval; decoding: distance of the codeword from it
RANGE = 1
NUM_BYTES = 2  # bytes that lie behind the 47 bits of LOW
DECODING = 3  # 1 if decoding
FIRST_BIT = 4  # decoding: where the codeword starts in `data`
END_BIT = 5  # decoding: where the input ends in `data`
CODER_SIZE = 6

WINDOW_BITS = 47
TOP = 1 << WINDOW_BITS
BOTTOM = TOP >> 8
MIX_PROBABILITY_BITS = 16


def code_bit(coder, data, probability, bit):
    """Codes one decision that is 1 with probability P / 2^16, P in 1..65535; returns it."""
    width = coder[RANGE]
    split = (width * probability) >> 16
    if coder[DECODING]:
        if coder[LOW] < split:
            width = split
            bit = 1
        else:
            coder[LOW] -= split
            width -= split
            bit = 0
    elif bit:
        width = split
    else:
        coder[LOW] += split
        width -= split
    while width < BOTTOM:
        shift_byte(coder, data)
        width <<= 8
    coder[RANGE] = width
    return bit


def shift_byte(coder, data):
    """Moves the window of 47 bits on by one byte: written out, or read in."""
    low = coder[LOW]
    position = coder[NUM_BYTES]
    if coder[DECODING]:
        first = coder[FIRST_BIT] + WINDOW_BITS + 8 * position
        coder[LOW] = (low << 8) | read_byte(data, first, coder[END_BIT])
    else:
        if low >= TOP:
            low -= TOP
            carry(data, position)
        data[position] = low >> (WINDOW_BITS - 8)
        coder[LOW] = (low & (BOTTOM - 1)) << 8
    coder[NUM_BYTES] = position + 1


def carry(data, position):
    """Adds one to the number that the bytes before `position` write."""
    position -= 1
    while data[position] == 255:
        data[position] = 0
        position -= 1
    data[position] += 1


def read_byte(data, first_bit, end_bit):
    """Eight bits from any bit position; bits past the end are zeros."""
    if first_bit >= end_bit:
        return 0
    index = first_bit >> 3
    pair = int(data[index]) << 8
    if index + 1 < len(data):
        pair |= int(data[index + 1])
    value = (pair >> (8 - (first_bit & 7))) & 255
    if first_bit + 8 > end_bit:
        missing = first_bit + 8 - end_bit
        value = (value >> missing) << missing
    return value
