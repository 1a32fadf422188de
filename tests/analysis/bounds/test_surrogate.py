"""The bound by way of a surrogate: against other routes, exhaustively, and how often it fails.

What would be invalid fails here: each term at the whole δ, differences counted on the samples, and
a target that the fresh images chose.
"""

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import beta, binom

from analysis.bounds.surrogate import surrogate
from tests.analysis.bounds.test_coverage import fails_too_often

DELTA = 0.1


def limits_of(counts: np.ndarray, total: int, delta: float) -> np.ndarray:
    """The Clopper-Pearson limits of one chance at these counts, all at once: each term is one."""
    return np.asarray(beta.ppf(1 - delta, counts + 1, total - counts))


@pytest.mark.parametrize(
    ("e", "m", "bits", "d", "n"),
    [(1311, 60_000, 2, 211, 10_000), (0, 50, 0, 3, 20), (7, 9, 3, 0, 5)],
)
def test_it_is_the_sum_of_two_clopper_pearson_limits(
    e: int, m: int, bits: int, d: int, n: int
) -> None:
    limits = (
        beta.ppf(1 - DELTA / 2 * 2.0**-bits, e + 1, m - e),
        beta.ppf(1 - DELTA / 2, d + 1, n - d),
    )
    found = surrogate(e, m, bits, DELTA, num_disagreements=d, num_fresh=n)
    assert found == pytest.approx(min(1.0, sum(limits)), rel=1e-9)


@given(st.integers(0, 40), st.integers(0, 20), st.floats(0, 500), st.floats(0.001, 0.9))
def test_it_grows_with_what_counts_against_it(e: int, d: int, bits: float, delta: float) -> None:
    def at(e: int, d: int, bits: float, delta: float) -> float:
        return surrogate(e, 50, bits, delta, num_disagreements=d, num_fresh=30)

    found = at(e, d, bits, delta)
    assert min(1.0, e / 50 + d / 30) <= found <= 1
    for more in (at(e + 1, d, bits, delta), at(e, d + 1, bits, delta)):
        assert more >= found
    assert min(at(e, d, bits + 1, delta), at(e, d, bits, delta / 2)) >= found


@pytest.mark.parametrize("delta", [0.5, 0.9])
def test_all_outcomes_of_a_tiny_world_and_the_worst_target_for_each(delta: float) -> None:
    """Three images, two classes, a language of two networks; f may be any of eight, seeing S."""
    chances, labels = np.array([0.5, 0.3, 0.2]), np.array([0, 1, 1])
    language = [np.array([0, 1, 0]), np.array([0, 0, 0])]  # one bit each
    targets = [np.array(each) for each in product((0, 1), repeat=3)]
    m = n = 4
    total = 0.0
    for draw in product(range(3), repeat=m):
        sample = np.array(draw)
        errors = [int((g != labels)[sample].sum()) for g in language]
        e, g = min(errors), language[int(np.argmin(errors))]
        limits = np.array(
            [surrogate(e, m, 1, delta, num_disagreements=d, num_fresh=n) for d in range(n + 1)]
        )
        worst = 0.0
        for f in targets:
            missed = limits < chances[f != labels].sum() - 1e-12
            outcomes = binom.pmf(np.arange(n + 1), n, chances[f != g].sum())
            worst = max(worst, float(outcomes[missed].sum()))
        total += chances[sample].prod() * worst
    assert 0 < total <= delta


def adversary(each: float, num_draws: int = 4000) -> np.ndarray:
    """Whether the sum, each term at `each`, failed on a target that the sample chose for that.

    Images are of three kinds: g is wrong (chance r), or right (one half, and the rest). Where the
    sample misleads about g already, the target is g; where not, it differs from g, and is wrong, on
    the second kind. So either of two things going wrong is enough.
    """
    rng = np.random.default_rng(0)
    m, n, r = 60_000, 30_000, 0.02
    limits = limits_of(rng.binomial(m, r, num_draws), m, each)
    different = np.where(limits + limits_of(np.zeros(1), n, each) < r, 0.0, 0.5)
    limits += limits_of(rng.binomial(n, different), n, each)
    return limits < r + different


def test_each_term_has_half_of_delta() -> None:
    assert not fails_too_often(adversary(DELTA / 2))
    assert fails_too_often(adversary(DELTA))


def test_a_target_that_knows_the_samples() -> None:
    """f does as g on the samples and is wrong elsewhere: only fresh images tell."""
    rng = np.random.default_rng(1)
    num_images, m, n, num_draws = 300, 80, 60, 3000
    labels = rng.integers(0, 3, num_images)
    g = np.where(rng.uniform(size=num_images) < 0.1, (labels + 1) % 3, labels)
    wrong = (labels + 2) % 3  # g is never this
    sample = rng.integers(0, num_images, (num_draws, m))
    fresh = rng.integers(0, num_images, (num_draws, n))
    errors = (g != labels)[sample].sum(axis=1)
    seen = np.zeros((num_draws, num_images), bool)
    np.put_along_axis(seen, sample, values=True, axis=1)
    target = np.where(seen, g, wrong)
    truth = (target != labels).mean(axis=1)
    differ = np.take_along_axis(target != g, fresh, axis=1).sum(axis=1)
    assert not np.take_along_axis(target != g, sample, axis=1).any()

    def failures(differences: np.ndarray, total: int) -> np.ndarray:
        counts, place = np.unique([errors, differences], axis=1, return_inverse=True)
        found = [
            surrogate(int(e), m, 0, DELTA, num_disagreements=int(d), num_fresh=total)
            for e, d in counts.T
        ]
        return np.array(found)[place.reshape(-1)] < truth

    assert not fails_too_often(failures(differ, n))
    assert failures(np.zeros(num_draws), m).all()


def test_a_target_that_the_fresh_images_chose() -> None:
    """Of 64 targets the one closest to g on them: its differences are too few."""
    rng = np.random.default_rng(2)
    m, n, r, different, num_draws = 60_000, 200, 0.001, 0.3, 3000
    limits = limits_of(rng.binomial(m, r, num_draws), m, DELTA / 2)
    counted = rng.binomial(n, different, (num_draws, 64))
    one = limits + limits_of(counted[:, 0], n, DELTA / 2)
    closest = limits + limits_of(counted.min(axis=1), n, DELTA / 2)
    assert not fails_too_often(one < r + different)
    assert fails_too_often(closest < r + different)
