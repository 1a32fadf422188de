"""How often bounds fail, simulated where they can: the best classifier of a language is chosen.

A bound at δ may fail in a share δ of all data sets. The test of that share is a binomial test; it
would notice a bound that forgets the description's length, as each case here also shows.
"""

import math
from collections.abc import Callable

import numpy as np
import pytest
from scipy.stats import binom, binomtest

from analysis.bounds.bounds import (
    better_of_two,
    binomial_tail,
    chernoff_kl,
    hold_out,
    maurer,
    occam_hoeffding,
    theorem_1,
)
from training.data.generators.glyphs import GLYPHS

FUNCTIONS = (theorem_1, occam_hoeffding, maurer, chernoff_kl, binomial_tail)
DELTA = 0.1
SURE = 1e-6  # chance that a valid bound is blamed


def fails_too_often(failures: np.ndarray, delta: float = DELTA) -> bool:
    """Whether the share of failures is above δ beyond any chance."""
    test = binomtest(int(failures.sum()), len(failures), delta, alternative="greater")
    return bool(test.pvalue < SURE)


def bounds_of(function: Callable, errors: np.ndarray, num_samples: int, bits: float) -> np.ndarray:
    """The bound at each of these numbers of errors."""
    values, place = np.unique(errors, return_inverse=True)
    limits = np.array([function(int(e), num_samples, bits, DELTA) for e in values])
    return limits[place].reshape(errors.shape)


def least_errors(
    rng: np.random.Generator, size: int, num_samples: int, p: float, num: int
) -> np.ndarray:
    """The least errors among `size` independent classifiers of true error p, `num` times.

    P[least > e] = (1 - F(e))^size, so a uniform number gives the quantile at 1 - U^(1/size).
    """
    level = -np.expm1(np.log(rng.uniform(size=num)) / size)
    return binom.ppf(level, num_samples, p).astype(int)


@pytest.mark.sample(3)
@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("bits", [0, 2, 5, 10, 15, 20])
def test_the_best_of_a_whole_code_on_exact_binomials(function: Callable, bits: int) -> None:
    """2^B classifiers of a few true errors; the one with the fewest errors is quoted."""
    rng = np.random.default_rng(bits)
    num_samples, num_draws = 120, 4000
    true_errors = np.array([0.5]) if bits < 2 else np.array([0.2, 0.3, 0.3, 0.5])
    group = 2**bits // len(true_errors)
    errors = np.array([least_errors(rng, group, num_samples, p, num_draws) for p in true_errors])
    best = errors.argmin(axis=0)
    quoted, truth = errors.min(axis=0), true_errors[best]
    assert not fails_too_often(bounds_of(function, quoted, num_samples, bits) < truth)
    if bits >= 5 and function in {chernoff_kl, binomial_tail}:  # what δ instead of δ 2^-B does
        assert fails_too_often(bounds_of(function, quoted, num_samples, 0) < truth)


@pytest.mark.sample(3)
@pytest.mark.parametrize("bits", [0, 3, 8, 12])
def test_the_tail_is_tight_for_equal_classifiers(bits: int) -> None:
    """The share of failures comes near δ, so the test above has something to notice."""
    rng = np.random.default_rng(bits)
    quoted = least_errors(rng, 2**bits, 2000, 0.4, 4000)
    share = (bounds_of(binomial_tail, quoted, 2000, bits) < 0.4).mean()
    assert 0.3 * DELTA < share < 1.3 * DELTA
    half_paid = bounds_of(binomial_tail, quoted, 2000, bits - 2) < 0.4 if bits > 2 else np.ones(99)
    assert fails_too_often(half_paid)


def test_codewords_of_many_lengths() -> None:
    """Elias gamma: classifier i has 2 floor(log2 i) + 1 bits; the least bound is quoted."""
    rng = np.random.default_rng(0)
    num_samples, num_draws, num_classifiers = 60, 1500, 1023
    lengths = 2 * np.floor(np.log2(np.arange(1, num_classifiers + 1))).astype(int) + 1
    assert (2.0**-lengths).sum() <= 1
    true_errors = rng.uniform(0.2, 0.6, num_classifiers)
    errors = rng.binomial(num_samples, true_errors, (num_draws, num_classifiers))
    paid = np.empty(errors.shape)
    for bits in np.unique(lengths):
        same = lengths == bits
        paid[:, same] = bounds_of(binomial_tail, errors[:, same], num_samples, int(bits))
    best = paid.argmin(axis=1)
    rows = np.arange(num_draws)
    assert not fails_too_often(paid[rows, best] < true_errors[best])
    free = bounds_of(binomial_tail, errors, num_samples, 0)
    best = free.argmin(axis=1)
    assert fails_too_often(free[rows, best] < true_errors[best])


def linear_rules(num_rules: int, size: int) -> Callable[[np.ndarray], np.ndarray]:
    """Rules fixed before the data: least squares on some pixels, from glyphs of another seed."""
    rng = np.random.default_rng(1)
    images, labels = GLYPHS.draw(1500, image_size=size, seed=99)
    inputs = images.flatten(1).numpy() / 127.5 - 1
    targets = np.eye(10)[labels.numpy()]
    rules = np.zeros((num_rules, inputs.shape[1] + 1, 10))
    for rule in rules:
        pixels = rng.choice(inputs.shape[1], 24, replace=False)
        design = np.column_stack([inputs[:, pixels], np.ones(len(inputs))])
        rule[np.append(pixels, -1)] = np.linalg.lstsq(design, targets, rcond=None)[0]

    def decide(pixels: np.ndarray) -> np.ndarray:
        design = np.column_stack([pixels / 127.5 - 1, np.ones(len(pixels))]).astype(np.float32)
        return np.stack([(design @ rule.astype(np.float32)).argmax(1) for rule in rules], axis=1)

    return decide


@pytest.mark.slow
def test_a_language_of_rules_on_endless_glyphs() -> None:
    """2^7 linear rules, many small training sets; the true errors from a large fresh draw."""
    bits, size, num_samples, num_draws, num_fresh = 7, 8, 50, 300, 30_000
    decide = linear_rules(2**bits, size)

    def find_errors(num: int, stream: str) -> np.ndarray:
        images, labels = GLYPHS.draw(num, image_size=size, seed=5, stream=stream)
        return decide(images.flatten(1).numpy()) != labels.numpy()[:, None]

    true_errors = find_errors(num_fresh, "fresh").mean(axis=0)
    assert np.ptp(true_errors) > 0.01
    wrong = find_errors(num_samples * num_draws, "train")
    errors = wrong.reshape(num_draws, num_samples, -1).sum(axis=1)
    best = errors.argmin(axis=1)
    quoted, truth = errors.min(axis=1), true_errors[best]
    for function in FUNCTIONS:
        assert not fails_too_often(bounds_of(function, quoted, num_samples, bits) < truth)
    assert fails_too_often(bounds_of(binomial_tail, quoted, num_samples, 0) < truth)


def chance_of_failure(bound: Callable[[int], float], num_samples: int, p: float) -> float:
    """P[bound < p] for one classifier of true error p, summed over all outcomes."""
    errors = np.arange(num_samples + 1)
    missed = np.array([bound(int(e)) < p for e in errors])
    return float(binom.pmf(errors, num_samples, p)[missed].sum())


def test_the_better_of_occam_and_hold_out_costs_half_of_delta_each() -> None:
    m, held_out, p = 200, 120, 0.4

    def fails(each: float) -> float:
        trained = chance_of_failure(lambda e: binomial_tail(e, m, 0, each), m, p)
        tested = chance_of_failure(lambda e: hold_out(e, held_out, 0, each), held_out, p)
        return 1 - (1 - trained) * (1 - tested)  # independent samples

    assert fails(DELTA / 2) <= DELTA < fails(DELTA)  # paying nothing for the choice is too little
    for errors, tested in ((60, 50), (90, 30)):
        value = better_of_two(
            errors, m, 0, DELTA, num_held_out_errors=tested, num_held_out_samples=held_out
        )
        parts = (binomial_tail(errors, m, 0, DELTA / 2), hold_out(tested, held_out, 0, DELTA / 2))
        assert value == min(parts)
        assert value > min(binomial_tail(errors, m, 0, DELTA), hold_out(tested, held_out, 0, DELTA))
    chosen = better_of_two(
        90,
        m,
        3,
        DELTA,
        num_held_out_errors=30,
        num_held_out_samples=held_out,
        hold_out_bits=math.log2(8),
    )
    assert chosen == hold_out(30, held_out, 3, DELTA / 2)
