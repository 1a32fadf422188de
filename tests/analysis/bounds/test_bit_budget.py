"""Bits that a target leaves: the exact inverse of the binomial tail, and a published table."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from analysis.bounds.bit_budget import bits_for_target, budget_table
from analysis.bounds.bounds import binomial_tail

DELTA = 0.05


@given(
    num_samples=st.integers(1, 5_000),
    share=st.floats(0, 1),
    target=st.floats(0.01, 0.99),
    delta=st.floats(1e-6, 0.5),
)
def test_largest_length_that_holds(num_samples, share, target, delta):
    num_errors = int(share * num_samples)
    bits = bits_for_target(target, num_errors, num_samples, delta)
    if bits is None:
        assert binomial_tail(num_errors, num_samples, 0, delta) > target
        return
    assert binomial_tail(num_errors, num_samples, bits, delta) <= target
    assert binomial_tail(num_errors, num_samples, bits + 1, delta) > target


@pytest.mark.sample(3)
@pytest.mark.parametrize(
    ("target", "num_samples", "error", "kilobits"),
    [
        (0.116, 60_000, 0.01, 7.5),
        (0.116, 60_000, 0.02, 5.6),
        (0.116, 60_000, 0.05, 2.3),
        (0.582, 50_000, 0.15, 28.8),
        (0.582, 50_000, 0.25, 16.4),
        (0.582, 50_000, 0.3, 11.7),
        (0.582, 50_000, 0.35, 7.9),
        (0.9, 50_000, 0.2, 98),
    ],
)
def test_published_table(target, num_samples, error, kilobits):
    bits = bits_for_target(target, round(error * num_samples), num_samples, DELTA)
    assert bits == pytest.approx(1000 * kilobits, rel=0.02)


@pytest.mark.parametrize(("num_errors", "target"), [(0, 0.3), (3, 0.2), (10, 0.4)])
def test_against_the_binomial_law_itself(num_errors, target):
    """The tail at the target is below δ 2^-B up to the largest B that holds, not beyond."""
    bits = bits_for_target(target, num_errors, 100, DELTA)
    tail = binom.cdf(num_errors, 100, target)
    assert DELTA * 2.0 ** -(bits + 1) < tail <= DELTA * 2.0**-bits


def test_table_rows_below_the_target():
    rows = budget_table(0.116, 60_000, DELTA, (0.0, 0.02, 0.1, 0.116, 0.3))
    assert [row.num_errors for row in rows] == [0, 1200, 6000]
    for row in rows:
        assert row.description_bits == bits_for_target(0.116, row.num_errors, 60_000, DELTA)
        assert row.bits_per_point == row.description_bits - bits_for_target(
            0.116, row.num_errors + 600, 60_000, DELTA
        )
    lengths = [row.description_bits for row in rows]
    assert lengths == sorted(lengths, reverse=True)


def test_no_length_for_too_few_samples():
    (row,) = budget_table(0.2, 20, DELTA, (0.1,))
    assert row.to_dict() == {
        "num_errors": 2,
        "error": 0.1,
        "description_bits": None,
        "bits_per_point": None,
    }
    assert bits_for_target(0.5, 20, 20, DELTA) is None


@pytest.mark.parametrize("target", [0, 1, -0.1, 1.5, float("nan")])
def test_target_outside_its_range(target):
    with pytest.raises(ValueError, match=r"target must lie in \(0, 1\)"):
        bits_for_target(target, 1, 10, DELTA)


def test_other_values_outside_their_range():
    with pytest.raises(ValueError, match="errors must lie in"):
        budget_table(0.2, 100, DELTA, (1.5,))
    with pytest.raises(ValueError, match="num_errors"):
        bits_for_target(0.2, 11, 10, DELTA)
    with pytest.raises(ValueError, match="delta"):
        bits_for_target(0.2, 1, 10, 0.0)
