"""The inverses against exact rational sums, high-precision arithmetic and the beta quantile."""

import math
from fractions import Fraction

import mpmath
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from scipy.stats import beta, binom

from analysis.bounds.tails import (
    _stirling_error,
    binary_kl,
    binomial_tail_inverse,
    kl_inverse,
    log_binomial_cdf,
)


def exact_cdf(num_errors: int, num_samples: int, p: float) -> Fraction:
    chance = Fraction(p)
    return sum(
        (
            math.comb(num_samples, j) * chance**j * (1 - chance) ** (num_samples - j)
            for j in range(num_errors + 1)
        ),
        start=Fraction(0),
    )


def precise_kl(q: float, p: float) -> mpmath.mpf:
    q, p = mpmath.mpf(q), mpmath.mpf(p)
    first = 0 if q == 0 else q * mpmath.log(q / p)
    return first + (0 if q == 1 else (1 - q) * mpmath.log((1 - q) / (1 - p)))


@example(num_samples=11, share=0.125, log_probability=-1e-3)
@given(num_samples=st.integers(1, 40), share=st.floats(0, 1), log_probability=st.floats(-60, -1e-3))
def test_tail_inverse_brackets_the_exact_rational_root_from_above(
    num_samples: int, share: float, log_probability: float
) -> None:
    num_errors = min(int(share * num_samples), num_samples - 1)
    root = binomial_tail_inverse(num_errors, num_samples, log_probability)
    with mpmath.workdps(60):
        wanted = mpmath.exp(mpmath.mpf(log_probability))
        cdf = exact_cdf(num_errors, num_samples, root)
        assert mpmath.mpf(cdf.numerator) / cdf.denominator <= wanted
        cdf = exact_cdf(num_errors, num_samples, root - 2e-11 * root)  # still believed
        assert mpmath.mpf(cdf.numerator) / cdf.denominator >= wanted


@pytest.mark.parametrize("num_samples", [100, 30_000, 60_000, 10**6])
@pytest.mark.parametrize("share", [0.0001, 0.02, 0.3216, 0.9])
@pytest.mark.parametrize("probability", [0.05, 1e-8, 1e-200])
def test_tail_inverse_is_the_clopper_pearson_limit(
    num_samples: int, share: float, probability: float
) -> None:
    num_errors = int(num_samples * share)
    root = binomial_tail_inverse(num_errors, num_samples, math.log(probability))
    expected = beta.isf(probability, num_errors + 1, num_samples - num_errors)
    assert root == pytest.approx(expected, rel=1e-8)


def test_tail_inverse_where_floats_underflow() -> None:
    # log P[Bin <= e] is near -5,700 nats: exp of it is 0, and a naive inversion stops at .405.
    root = binomial_tail_inverse(16_080, 50_000, math.log(0.05) - 8258 * math.log(2))
    with mpmath.workdps(50):
        p = mpmath.mpf(root)
        term = total = mpmath.mpf(1)
        for j in range(16_080, 14_000, -1):
            term *= j * (1 - p) / ((50_000 - j + 1) * p)
            total += term
        log_pmf = mpmath.log(mpmath.binomial(50_000, 16_080)) + 16_080 * mpmath.log(p)
        log_cdf = log_pmf + 33_920 * mpmath.log(1 - p) + mpmath.log(total)
        assert log_cdf <= mpmath.log(mpmath.mpf("0.05")) - 8258 * mpmath.log(2)
        assert log_cdf == pytest.approx(math.log(0.05) - 8258 * math.log(2), abs=1e-6)
    assert binom.cdf(16_080, 50_000, root) == 0


ZERO = st.just(0.0)  # between 0 and 1e-12, 60 digits are too few for the check itself


@given(q=ZERO | st.floats(1e-12, 1), nats=ZERO | st.floats(1e-12, 40))
def test_kl_inverse_is_the_root_from_above(q: float, nats: float) -> None:
    root = kl_inverse(q, nats)
    assert q <= root <= 1
    with mpmath.workdps(60):
        if root < 1:
            assert precise_kl(q, root) >= nats
            below = max(q, root - 1e-14)  # near 1 one ulp of p is much of kl
            assert precise_kl(q, below) <= nats + mpmath.mpf("1e-13") * (1 + nats)


@pytest.mark.parametrize("q", [0.0, 1e-9, 0.5, 1 - 1e-9, 1.0])
@pytest.mark.parametrize("nats", [0.0, 1e-12, 1.0, 700.0, 1e12])
def test_kl_inverse_at_the_ends(q: float, nats: float) -> None:
    root = kl_inverse(q, nats)
    assert q <= root <= 1
    if nats >= 700:
        assert root == 1
    if nats == 0:
        assert root == pytest.approx(q, abs=2e-7)


def test_all_errors_leave_nothing_to_say() -> None:
    assert binomial_tail_inverse(7, 7, -1.0) == 1
    assert kl_inverse(1.0, 1.0) == 1


def test_a_tail_above_one_half_has_its_root_below_the_frequency() -> None:
    root = binomial_tail_inverse(50, 100, math.log(0.9))
    assert root < 0.5
    assert root == pytest.approx(beta.isf(0.9, 51, 50), rel=1e-9)


@given(num_samples=st.integers(1, 400), share=st.floats(0, 1), p=st.floats(0.001, 0.999))
def test_log_cdf_against_scipy(num_samples: int, share: float, p: float) -> None:
    num_errors = int(share * num_samples)
    expected = binom.logcdf(num_errors, num_samples, p)
    if expected > -600:
        assert log_binomial_cdf(num_errors, num_samples, p) == pytest.approx(
            expected, rel=1e-9, abs=1e-9
        )


@pytest.mark.parametrize("count", [1, 2, 16, 17, 100, 10**6, 10**12])
def test_stirling_error(count: int) -> None:
    with mpmath.workdps(60):
        n = mpmath.mpf(count)
        expected = mpmath.loggamma(n + 1) - (
            (n + 0.5) * mpmath.log(n) - n + mpmath.log(2 * mpmath.pi) / 2
        )
        assert _stirling_error(count) == pytest.approx(float(expected), abs=2e-14)


def test_kl_values() -> None:
    assert binary_kl(0.3, 0.3) == 0
    assert binary_kl(0.0, 1.0) == math.inf
    assert binary_kl(1.0, 1.0) == 0
    assert binary_kl(0.0, 0.5) == pytest.approx(math.log(2))


@pytest.mark.parametrize(
    ("call", "word"),
    [
        (lambda: binary_kl(-0.1, 0.5), "q"),
        (lambda: binary_kl(0.1, 1.5), "p"),
        (lambda: kl_inverse(math.nan, 1.0), "q"),
        (lambda: kl_inverse(0.5, -1.0), "nats"),
        (lambda: kl_inverse(0.5, math.inf), "nats"),
        (lambda: binomial_tail_inverse(3, 2, -1.0), "num_errors"),
        (lambda: binomial_tail_inverse(-1, 2, -1.0), "num_errors"),
        (lambda: binomial_tail_inverse(0, 0, -1.0), "num_samples"),
        (lambda: binomial_tail_inverse(True, 2, -1.0), "num_errors"),
        (lambda: binomial_tail_inverse(1, 2, 0.0), "log_probability"),
    ],
)
def test_refusals_name_the_argument(call, word: str) -> None:
    with pytest.raises(ValueError, match=word):
        call()
