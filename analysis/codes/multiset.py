"""Sets of numbers whose order says nothing, without paying for an order.

The patterns of b bits form a tree. At each node that holds N of the numbers, how many go left is
coded as one of N + 1 equally likely counts. That is as long as coding the numbers one after
another by Laplace's rule, less the log2(N! / (n1! n2! ...)) bits of their order.
"""

from analysis.codes.arithmetic_coder import ArithmeticCoder
from analysis.codes.errors import CodecError


def code_multiset(
    coder: ArithmeticCoder,
    patterns: list[int],
    num_patterns: int,
    num_bits: int,
    *,
    distinct: bool = False,
) -> list[int]:
    """Code numbers of `num_bits` bits as a multiset; returns them in ascending order.

    Args:
        coder: Writes or reads.
        patterns: The numbers, in any order; ignored when decoding.
        num_patterns: How many there are; the decoder must know it.
        num_bits: Bits of each, in 1..32.
        distinct: Whether no number may occur twice.

    Raises:
        CodecError: Decoding, and a number occurs twice although none may.
    """
    found: list[int] = []
    waiting = [(0, num_bits, num_patterns, sorted(patterns))]
    while waiting:
        prefix, bits_left, count, members = waiting.pop()
        if count == 0:
            continue
        if distinct and count > 1 << bits_left:
            raise CodecError("damaged: a set that lists a number twice")
        if bits_left == 0:
            found += [prefix] * count
            continue
        middle = ((2 * prefix) | 1) << (bits_left - 1)
        left = [member for member in members if member < middle]
        num_left = coder.uniform(len(left), count + 1)
        right = members[len(left) :]
        waiting.append((2 * prefix + 1, bits_left - 1, count - num_left, right))
        waiting.append((2 * prefix, bits_left - 1, num_left, left))
    return found
