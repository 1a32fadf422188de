"""log2 C(n, k) from above: against integers, and against many digits where those are huge."""

import math

import mpmath
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from analysis.bounds.binomial_lengths import binomial_bits, log2_binomial
from tests.examples import examples


def by_whole_numbers(num_things: int, num_chosen: int) -> tuple[int, mpmath.mpf]:
    count = math.comb(num_things, num_chosen)
    with mpmath.workdps(40):
        return (count - 1).bit_length(), mpmath.log(count, 2)


def by_many_digits(num_things: int, num_chosen: int) -> mpmath.mpf:
    with mpmath.workdps(60):
        parts = (num_things + 1, num_chosen + 1, num_things - num_chosen + 1)
        n, k, r = (mpmath.loggamma(mpmath.mpf(part)) for part in parts)
        return (n - k - r) / mpmath.log(2)


@pytest.mark.slow
def test_every_small_case() -> None:
    for n in range(160):
        for k in range(n + 1):
            bits, exact = by_whole_numbers(n, k)
            assert exact <= log2_binomial(n, k) <= exact + 1e-5
            assert bits <= binomial_bits(n, k) <= bits + 1
            if min(k, n - k) <= 64:
                assert binomial_bits(n, k) == bits
            assert log2_binomial(n, k) == pytest.approx(log2_binomial(n, n - k), rel=1e-12)


@given(n=st.integers(0, 20_000), share=st.floats(0, 1))
@examples(2)
def test_larger_cases_against_whole_numbers(n: int, share: float) -> None:
    k = round(share * n)
    bits, exact = by_whole_numbers(n, k)
    assert exact <= log2_binomial(n, k) <= exact * (1 + 1e-14) + 1e-5
    assert bits <= binomial_bits(n, k) <= bits + 1


@given(n=st.integers(1, 10**12), share=st.floats(0, 1))
@example(n=256_240_800, share=1 - 1e-7)
@example(n=256_240_800, share=0.02)
@example(n=10**12, share=0.5)
@examples(2)
def test_huge_cases_against_many_digits(n: int, share: float) -> None:
    k = min(n, int(share * n))
    exact = by_many_digits(n, k)
    assert exact <= log2_binomial(n, k) <= exact * (1 + 1e-14) + 1e-5
    assert binomial_bits(n, k) >= exact


@pytest.mark.parametrize(
    ("arguments", "rule"),
    [
        ((3, 4), "num_chosen must be <= num_things = 3, not 4"),
        ((3, -1), "num_chosen must be an integer >= 0, not -1"),
        ((2.0, 1), r"num_things must be an integer >= 0, not 2\.0"),
        ((True, 1), "num_things must be an integer"),
    ],
)
def test_refusals(arguments: tuple, rule: str) -> None:
    for function in (log2_binomial, binomial_bits):
        with pytest.raises(ValueError, match=rule):
            function(*arguments)
