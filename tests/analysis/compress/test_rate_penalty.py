"""What a bit costs: against finite differences of the binomial tail itself."""

import pytest

from analysis.bounds.bounds import binomial_tail, occam_hoeffding
from analysis.compress.rate_penalty import BoundPenalty, penalty_of_a_bit, score

DELTA = 0.05


@pytest.mark.parametrize(
    ("error", "bits", "num_samples"),
    [(0.01, 5_000, 60_000), (0.03, 2_500, 60_000), (0.3, 12_000, 50_000), (0.1, 200, 2_000)],
)
def test_worth_of_a_bit_is_the_ratio_of_the_bounds_slopes(error, bits, num_samples):
    errors, more = round(error * num_samples), max(num_samples // 1000, 1)
    here = binomial_tail(errors, num_samples, bits, DELTA)
    by_bits = (binomial_tail(errors, num_samples, bits + 16, DELTA) - here) / 16
    by_errors = (binomial_tail(errors + more, num_samples, bits, DELTA) - here) / more
    worth = penalty_of_a_bit(error, bits, num_samples, DELTA)
    assert worth == pytest.approx(by_bits / (by_errors * num_samples), rel=0.02)


def test_trading_errors_for_bits_at_this_rate_leaves_the_bound_where_it_is():
    num_samples, errors, bits = 60_000, 1_800, 2_500
    worth = penalty_of_a_bit(errors / num_samples, bits, num_samples, DELTA)
    fewer = 30
    traded = binomial_tail(errors - fewer, num_samples, bits + fewer / num_samples / worth, DELTA)
    assert traded == pytest.approx(binomial_tail(errors, num_samples, bits, DELTA), rel=1e-3)


@pytest.mark.parametrize("error", [0.0, 0.5, 0.999, 1.0])
@pytest.mark.parametrize("bits", [0.0, 1e3, 1e7])
def test_penalty_is_positive_everywhere(error, bits):
    assert 0 < penalty_of_a_bit(error, bits, 280, DELTA) < 1
    assert BoundPenalty(280, DELTA)(error, 2.3, bits) > 0


def test_penalty_follows_factor_and_loss():
    once, thrice = BoundPenalty(60_000, DELTA, 1.0), BoundPenalty(60_000, DELTA, 3.0)
    worth = penalty_of_a_bit(0.04, 3_000, 60_000, DELTA)
    assert once(0.04, 0.12, 3_000) == pytest.approx(worth * 0.12 / 0.04)
    assert thrice(0.04, 0.12, 3_000) == pytest.approx(3 * once(0.04, 0.12, 3_000))


def test_score_is_the_bound_and_tells_bad_from_worse_where_that_is_1():
    assert score(1_200, 60_000, 2_000, DELTA) == binomial_tail(1_200, 60_000, 2_000, DELTA)
    bad, worse = (score(250, 280, bits, DELTA) for bits in (5_000, 6_000))
    assert 1 < bad < worse
    assert bad == occam_hoeffding(250, 280, 5_000, DELTA)
