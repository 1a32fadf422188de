"""log2 C(n, k): bits that say which k of n things are chosen, never below the truth. No torch."""

import math

_EPSILON = math.ulp(1.0)
_EXACT_LIMIT = 64  # chosen things up to which C(n, k) is computed as an integer


def log2_binomial(num_things: int, num_chosen: int) -> float:
    """log2 C(n, k), rounded upward: above the true value by less than 1e-5 bits and 1e-14 of it.

    Up to 64 chosen (or left) things, C(n, k) is computed as an integer. Beyond, Robbins' form
    of Stirling's formula bounds it from above:

        √(2πn) (n/e)ⁿ e^(1/(12n+1)) < n! < √(2πn) (n/e)ⁿ e^(1/(12n)),  so with r = n - k
        ln C(n, k) < k ln(n/k) + r ln(n/r) + ½ ln(n / (2πkr)) + 1/(12n) - 1/(12k+1) - 1/(12r+1).

    No large numbers cancel in it: both first terms are >= 0, each off by a few units in its last
    place, and sixteen such units are added.

    Args:
        num_things: n >= 0.
        num_chosen: k, in 0..n.

    Raises:
        ValueError: No such numbers.

    >>> log2_binomial(4, 2) >= math.log2(6), round(log2_binomial(4, 2), 6), log2_binomial(9, 0)
    (True, 2.584963, 0.0)
    """
    _check(num_things, num_chosen)
    chosen, rest = num_chosen, num_things - num_chosen
    if min(chosen, rest) == 0:
        return 0.0
    if min(chosen, rest) <= _EXACT_LIMIT:
        return _log2_up(math.comb(num_things, chosen))
    main = _scaled_log(chosen, rest) + _scaled_log(rest, chosen)
    root = 0.5 * math.log(num_things / (2 * math.pi * chosen) / rest)  # < 0
    correction = 1 / (12 * num_things) - 1 / (12 * chosen + 1) - 1 / (12 * rest + 1)
    slack = 16 * _EPSILON * (main + abs(root) + 1)
    return (main + root + correction + slack) / math.log(2) * (1 + 4 * _EPSILON)


def binomial_bits(num_things: int, num_chosen: int) -> int:
    """Whole bits that a number below C(n, k) surely fits in: its code is an index.

    Exact up to 64 chosen (or left) things, and never above ceil(log2 C(n, k)) by more than one bit.

    >>> binomial_bits(4, 2), binomial_bits(5, 0), binomial_bits(4, 1)
    (3, 0, 2)
    """
    _check(num_things, num_chosen)
    if min(num_chosen, num_things - num_chosen) <= _EXACT_LIMIT:
        return (math.comb(num_things, num_chosen) - 1).bit_length()
    return math.ceil(log2_binomial(num_things, num_chosen))


def _scaled_log(count: int, others: int) -> float:
    """One term of the entropy: count · ln((count + others) / count), which never cancels."""
    return count * math.log1p(others / count)


def _log2_up(number: int) -> float:
    """log2 of an integer >= 1, at or above it."""
    shift = max(0, number.bit_length() - 64)
    return (shift + math.log2(number >> shift)) * (1 + 4 * _EPSILON) + (shift > 0) * 2.0**-62


def _check(num_things: int, num_chosen: int) -> None:
    for name, value in (("num_things", num_things), ("num_chosen", num_chosen)):
        if not isinstance(value, int) or isinstance(value, bool) or value < 0:
            raise ValueError(f"{name} must be an integer >= 0, not {value!r}")
    if num_chosen > num_things:
        raise ValueError(f"num_chosen must be <= num_things = {num_things}, not {num_chosen}")
