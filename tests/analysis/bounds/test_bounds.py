"""Published test vectors, orders that must hold, coverage, and independent arithmetic."""

import itertools
import math

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.bounds.bounds import (
    binomial_tail,
    chernoff_kl,
    compare_bounds,
    hold_out,
    maurer,
    occam_hoeffding,
    theorem_1,
    theorem_2,
)
from tests.examples import examples

# m, e/m, B at δ = .05; then Theorem 1, Hoeffding, Maurer, Chernoff-kl, tail: all printed digits.
VECTORS = [
    (50_000, 0.3216, 8258, ".609", ".561", ".5593", ".5592", ".5591"),
    (60_000, 0.02, 2000, ".149", ".128", ".0660", ".0659", ".0658"),
    (10_000, 0.16, 20, ".194", ".189", ".1854", ".1820", ".1803"),
    (30_000, 0.01, 0, ".0178", ".0171", ".0126", ".0115", ".0110"),
]
FUNCTIONS = (theorem_1, occam_hoeffding, maurer, chernoff_kl, binomial_tail)
CASES = {
    "num_samples": st.integers(8, 100_000),
    "share": st.floats(0, 1),
    "bits": st.one_of(st.floats(0, 30), st.floats(0, 1e5)),
    "delta": st.floats(1e-6, 0.5),
}


@pytest.mark.parametrize("row", VECTORS)
def test_vectors_to_all_printed_digits(row: tuple) -> None:
    num_samples, share, bits, *expected = row
    num_errors = round(num_samples * share)
    for function, text in zip(FUNCTIONS, expected, strict=True):
        value = function(num_errors, num_samples, bits, 0.05)
        assert f"{value:.{len(text) - 1}f}".removeprefix("0") == text, function.__name__


def test_naive_underflow_would_give_less() -> None:
    assert binomial_tail(16_080, 50_000, 8258, 0.05) > 0.559  # the naive one: .405


@given(**CASES)
def test_order(num_samples: int, share: float, bits: float, delta: float) -> None:
    num_errors = int(share * num_samples)
    one, hoeffding, third, chernoff, tail = (
        function(num_errors, num_samples, bits, delta) for function in FUNCTIONS
    )
    assert num_errors / num_samples <= tail <= chernoff <= third <= 1
    assert chernoff <= hoeffding <= one


@given(**CASES, more=st.integers(1, 50), factor=st.floats(1.01, 2))
@examples(0.5)
def test_monotone_in_errors_bits_and_delta(
    *, num_samples: int, share: float, bits: float, delta: float, more: int, factor: float
) -> None:
    num_errors = int(share * num_samples)
    more_errors = min(num_samples, num_errors + more)
    for function in FUNCTIONS:
        value = function(num_errors, num_samples, bits, delta)
        assert value <= function(more_errors, num_samples, bits, delta) + 1e-15
        assert value <= function(num_errors, num_samples, bits * factor + 0.1, delta)
        assert value <= function(num_errors, num_samples, bits, delta / factor)


@pytest.mark.parametrize(("e", "m", "bits", "delta"), [(3, 50, 0, 0.05), (7, 4000, 12.5, 1e-3)])
def test_formulas_in_high_precision_rounded_upward(
    e: int, m: int, bits: float, delta: float
) -> None:
    with mpmath.workdps(50):
        q, two_m = mpmath.mpf(e) / m, 2 * mpmath.mpf(m)
        b, d = mpmath.mpf(bits), mpmath.mpf(delta)
        nats = b * mpmath.log(2) + mpmath.log(1 / d)
        exact = {
            theorem_1: q + mpmath.sqrt((b + mpmath.log(2 / d)) / two_m),
            occam_hoeffding: q + mpmath.sqrt(nats / two_m),
        }
        for function, level in (
            (chernoff_kl, nats / m),
            (maurer, (nats + mpmath.log(2 * mpmath.sqrt(m))) / m),
        ):
            exact[function] = mpmath.findroot(
                lambda p, level=level: (
                    q * mpmath.log(q / p) + (1 - q) * mpmath.log((1 - q) / (1 - p)) - level
                ),
                (q + (1 - q) / 100, 0.99),
                solver="anderson",
            )
        for function, value in exact.items():
            found = function(e, m, bits, delta)
            assert value <= found <= value * (1 + mpmath.mpf("1e-12")), function.__name__


def test_theorem_2_adds_its_own_terms() -> None:
    value = theorem_2(1200, 60_000, 0.05, value_bits=256, map_bits=1700.5, num_weights=5000)
    expected = 0.02 + math.sqrt((256 + 1700.5 + math.log(2 * 5000 / 0.05)) / 120_000)
    assert value == pytest.approx(expected, rel=1e-14)
    # It is valid: no less than Occam-Hoeffding on all bits of the proof's description.
    assert value >= occam_hoeffding(1200, 60_000, 256 + 1700.5 + math.log2(5000), 0.05)


@pytest.mark.sample(3)
@pytest.mark.parametrize("bits", [0, 1, 4])
@pytest.mark.parametrize("num_samples", [10, 60])
@pytest.mark.parametrize("p", [0.02, 0.13, 0.5, 0.8])
@pytest.mark.parametrize("function", FUNCTIONS)
def test_coverage_is_exact_for_one_codeword(function, bits: int, num_samples: int, p: float):
    """P[bound < p] <= δ 2^-B for each codeword, summed over all outcomes; so <= δ for all."""
    delta = 0.2
    chances = [
        math.comb(num_samples, e) * p**e * (1 - p) ** (num_samples - e)
        for e in range(num_samples + 1)
    ]
    missed = sum(
        chance for e, chance in enumerate(chances) if function(e, num_samples, bits, delta) < p
    )
    assert missed <= delta * 2.0**-bits * (1 + 1e-12)


@pytest.mark.parametrize("bits", [0, 3, 8])
def test_coverage_simulated_over_whole_codes(bits: int) -> None:
    """All 2^B classifiers of a code at once, the worst of them chosen after the data."""
    rng = np.random.default_rng(bits)
    num_samples, delta, num_draws = 80, 0.1, 2000
    true_errors = rng.uniform(0.05, 0.6, size=2**bits)
    limits = np.array([binomial_tail(e, num_samples, bits, delta) for e in range(num_samples + 1)])
    errors = rng.binomial(num_samples, true_errors, size=(num_draws, 2**bits))
    failures = (limits[errors] < true_errors).any(axis=1).mean()
    assert failures <= delta + 3 * math.sqrt(delta * (1 - delta) / num_draws)
    # The same code claimed to be free of charge fails far more often: the test can see a failure.
    if bits == 8:
        free = np.array([binomial_tail(e, num_samples, 0, delta) for e in range(num_samples + 1)])
        assert (free[errors] < true_errors).any(axis=1).mean() > 0.9


def test_hold_out_pays_for_a_choice() -> None:
    assert hold_out(30, 1000, 0, 0.05) == binomial_tail(30, 1000, 0, 0.05)
    assert hold_out(30, 1000, math.log2(40), 0.05) > hold_out(30, 1000, 0, 0.05)


def test_side_by_side() -> None:
    bounds = compare_bounds(1200, 60_000, 2000, 0.05)
    assert [bound.name for bound in bounds] == [function.__name__ for function in FUNCTIONS]
    assert not any(bound.is_vacuous for bound in bounds)
    assert bounds[-1].beats_guessing(10)
    assert bounds[-1].to_dict()["value"] == bounds[-1].value
    assert [bound.name for bound in compare_bounds(1, 7, 0, 0.05)].count("maurer") == 0


def test_bounds_show_themselves_in_a_notebook() -> None:
    bounds = compare_bounds(1200, 60_000, 2000, 0.05)
    page = bounds._repr_html_()
    assert page.count("<tr>") == 1 + len(bounds)
    assert "6.58%" in page and "&gt;= δ" in page  # 0.06577..., rounded upward
    assert "vacuous" in compare_bounds(9, 10, 2000, 0.05)[-1]._repr_html_()


@pytest.mark.parametrize("bits", [1e6, 8.2e9])
def test_too_long_a_description_is_vacuous(bits: float) -> None:
    for bound in compare_bounds(100, 20_000, bits, 0.05):
        assert bound.is_vacuous, bound
        assert math.isfinite(bound.value)
        assert not bound.beats_guessing(10)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_no_error_and_all_errors(function) -> None:
    for errors, bits in itertools.product((0, 50), (0, 3, 1e5)):
        value = function(errors, 50, bits, 0.05)
        assert errors / 50 < value or value == 1
        assert not math.isnan(value)


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ((-1, 10, 0, 0.05), "num_errors"),
        ((11, 10, 0, 0.05), "num_errors"),
        ((1.5, 10, 0, 0.05), "num_errors"),
        ((0, 0, 0, 0.05), "num_samples"),
        ((1, 10, -1, 0.05), "description_bits"),
        ((1, 10, math.nan, 0.05), "description_bits"),
        ((1, 10, math.inf, 0.05), "description_bits"),
        ((1, 10, 0, 0.0), "delta"),
        ((1, 10, 0, 1.0), "delta"),
    ],
)
def test_refusals(function, arguments: tuple, word: str) -> None:
    with pytest.raises(ValueError, match=word):
        function(*arguments)


def test_maurer_needs_eight_samples_and_theorem_2_a_weight() -> None:
    with pytest.raises(ValueError, match="num_samples must be >= 8"):
        maurer(0, 7, 0, 0.05)
    with pytest.raises(ValueError, match="num_weights"):
        theorem_2(0, 7, 0.05, value_bits=1, map_bits=1, num_weights=0)
