"""Logit and logistic function as tables of integers, made by integer arithmetic only.

A probability p is an integer P in 1..65535 that stands for p = P / 2^16. A logit
x = ln(p / (1 - p)) is an integer in units of 1/256. The tables come from a Taylor series and from
powers of Python's integers, so they are the same on every machine, whatever its floating point.
"""

from functools import lru_cache

PROBABILITY_BITS = 16
PROBABILITY_ONE = 1 << PROBABILITY_BITS
LOGIT_BITS = 8
LOGIT_LIMIT = 2840  # ln(65535) * 256 = 2839.1: every P has its logit in -2840..2840
_GUARD_BITS = 192


@lru_cache(maxsize=1)
def squash_table() -> tuple[int, ...]:
    """P of the logits -2840..2840: round(2^16 / (1 + e^-x)), kept in 1..65535.

    >>> table = squash_table()
    >>> len(table), table[0], table[LOGIT_LIMIT], table[-1]
    (5681, 1, 32768, 65535)
    >>> table[LOGIT_LIMIT + 256]  # 65536 / (1 + 1/e) = 47911.2
    47911
    """
    one = 1 << _GUARD_BITS
    step = _exponential_of_step(one)
    powers = [one]
    for _ in range(LOGIT_LIMIT):
        powers.append(powers[-1] * step >> _GUARD_BITS)
    upper = [
        ((power << PROBABILITY_BITS + 1) + one + power) // (2 * (one + power)) for power in powers
    ]
    upper = [min(value, PROBABILITY_ONE - 1) for value in upper]
    return tuple([PROBABILITY_ONE - value for value in reversed(upper[1:])] + upper)


@lru_cache(maxsize=1)
def stretch_table() -> tuple[int, ...]:
    """Logit of P = 0..65535, the inverse of `squash_table`; P = 0 has the logit of P = 1.

    Of the logits with the same P it is the middle one.

    >>> table = stretch_table()
    >>> len(table), table[32768], table[47911], table[65535] == -table[1]
    (65536, 0, 256, True)
    """
    squash = squash_table()
    lower = [0] * PROBABILITY_ONE
    position = LOGIT_LIMIT
    for value in range(PROBABILITY_ONE // 2, PROBABILITY_ONE):
        while position < 2 * LOGIT_LIMIT and squash[position] < value:
            position += 1
        last = position
        while last < 2 * LOGIT_LIMIT and squash[last + 1] == squash[position]:
            last += 1
        lower[value] = (position + last) // 2 - LOGIT_LIMIT
    lower[PROBABILITY_ONE // 2] = 0
    for value in range(1, PROBABILITY_ONE // 2):
        lower[value] = -lower[PROBABILITY_ONE - value]
    lower[0] = lower[1]
    return tuple(lower)


def _exponential_of_step(one: int) -> int:
    """e^(1/256) in units of 1 / one, by its Taylor series."""
    total, term, order = one, one, 0
    while term:
        order += 1
        term = term // (order << LOGIT_BITS)
        total += term
    return total
