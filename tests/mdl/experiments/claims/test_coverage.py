"""How often intervals hold a known truth: simulated seeds, and simulated test images."""

import math

import numpy as np
import pytest

from mdl.experiments.claims.lasso_settings import BestDifference
from mdl.experiments.claims.statistics import Basis, Estimate, Sample, Source, contrast

ALPHA = 0.05
NUM_WORLDS = 1000
SLACK = 3 * math.sqrt(ALPHA * (1 - ALPHA) / NUM_WORLDS)  # of a simulated share
WELCH_SLACK = 0.015
"""Welch's formula is not exact: with two seeds and unequal spreads it covers 93.5% or more."""


def covers(estimate: Estimate, truth: float) -> bool:
    low, high = estimate.interval(ALPHA)
    return low <= truth <= high


@pytest.mark.sample(3)
@pytest.mark.parametrize("num_seeds", [2, 3])
@pytest.mark.parametrize("spreads", [(1.0, 1.0), (1.0, 0.3), (1.0, 0.01)])
@pytest.mark.parametrize("image_deviation", [0.0, 0.3, 1.0])
def test_normal_seeds_with_a_known_error_beside_them(
    num_seeds: int, spreads: tuple[float, float], image_deviation: float
) -> None:
    rng = np.random.default_rng(num_seeds)
    hits = 0
    for _ in range(NUM_WORLDS):
        terms = []
        for sign, spread in zip((1, -1), spreads, strict=True):
            values = spread * rng.standard_normal(num_seeds)
            terms.append((sign, Sample(values=dict(enumerate(values.tolist())))))
        seeds = contrast(terms)
        images = Source(variance=image_deviation**2, degrees=math.inf)
        shifted = Estimate(
            value=seeds.value + image_deviation * rng.standard_normal(),
            sources=(*seeds.sources, images),
            basis=Basis.SEEDS_AND_IMAGES,
        )
        hits += covers(shifted, 0.0)
    assert hits / NUM_WORLDS >= 1 - ALPHA - WELCH_SLACK - SLACK


def draw_samples(
    rng: np.random.Generator,
    accuracies: list[float],
    *,
    num_seeds: int,
    num_images: int,
    answers_known: bool,
) -> list[Sample]:
    """Networks tested on the same images: some images are hard for all of them, and every seed
    shifts a network's chance of being right. The mean over images and seeds is `accuracies`."""
    hardness = rng.standard_normal(num_images)
    samples = []
    for accuracy in accuracies:
        # A probit model: P(right) averaged over hardness (1), the seed (0.05) is the accuracy.
        seeds = 0.05 * rng.standard_normal(num_seeds)
        cut = _probit(accuracy) * math.sqrt(1 + 0.05**2 + 0.5**2)
        answers = np.zeros((num_seeds, num_images))
        for seed, shift in enumerate(seeds.tolist()):
            own = 0.5 * rng.standard_normal(num_images)
            answers[seed] = hardness + own + shift < cut
        samples.append(
            Sample(
                values=dict(enumerate(answers.mean(axis=1).tolist())),
                num_images=num_images,
                answers=answers.mean(axis=0) if answers_known else None,
            )
        )
    return samples


def _probit(share: float) -> float:
    return float(-math.sqrt(2) * _inverse_erfc(2 * share))


def _inverse_erfc(value: float) -> float:
    low, high = -6.0, 6.0
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if math.erfc(middle) > value else (low, middle)
    return low


@pytest.mark.sample(3)
@pytest.mark.parametrize("answers_known", [False, True])
@pytest.mark.parametrize("num_seeds", [2, 3])
@pytest.mark.parametrize(
    ("accuracies", "signs"),
    [
        ([0.85], [1]),
        ([0.85, 0.80], [1, -1]),
        ([0.86, 0.78, 0.84], [2, -1, -1]),
        ([0.9, 0.86, 0.8, 0.79], [1, -1, -1, 1]),
    ],
)
@pytest.mark.slow
def test_networks_on_shared_test_images(
    num_seeds: int, accuracies: list[float], signs: list[float], answers_known: bool
) -> None:
    rng = np.random.default_rng(1)
    truth = sum(sign * accuracy for sign, accuracy in zip(signs, accuracies, strict=True))
    num_worlds, hits = 400, 0
    for _ in range(num_worlds):
        samples = draw_samples(
            rng, accuracies, num_seeds=num_seeds, num_images=400, answers_known=answers_known
        )
        hits += covers(contrast(list(zip(signs, samples, strict=True))), truth)
    assert hits / num_worlds >= 1 - ALPHA - WELCH_SLACK - 3 * math.sqrt(0.05 * 0.95 / num_worlds)


def test_one_seed_compared_image_by_image() -> None:
    """Narrower than without the answers, and still it covers."""
    rng = np.random.default_rng(4)
    num_worlds, hits, widths = 2000, 0, []
    for _ in range(num_worlds):
        hard = rng.random(500) < 0.3
        chances = (np.where(hard, 0.3, 0.95), np.where(hard, 0.2, 0.93))
        right = [(rng.random(500) < chance).astype(float) for chance in chances]
        paired, unpaired = (
            contrast(
                [
                    (
                        sign,
                        Sample(
                            values={0: float(each.mean())},
                            num_images=500,
                            answers=each if answers_known else None,
                        ),
                    )
                    for sign, each in zip((1, -1), right, strict=True)
                ]
            )
            for answers_known in (True, False)
        )
        hits += covers(paired, 0.3 * 0.1 + 0.7 * 0.02)
        ends = [one.interval(ALPHA) for one in (paired, unpaired)]
        widths.append([high - low for low, high in ends])
    mean_paired, mean_unpaired = np.mean(widths, axis=0)
    assert mean_paired < 0.85 * mean_unpaired
    assert hits / num_worlds >= 1 - ALPHA - 3 * math.sqrt(0.05 * 0.95 / num_worlds)


def test_one_seed_speaks_of_its_networks() -> None:
    """Truth is then the accuracy of these very networks on endless images."""
    rng = np.random.default_rng(2)
    num_worlds, hits = 2000, 0
    for _ in range(num_worlds):
        chances = (0.8, 0.72)
        samples = [
            Sample(values={0: rng.binomial(500, chance) / 500}, num_images=500)
            for chance in chances
        ]
        hits += covers(contrast([(1, samples[0]), (-1, samples[1])]), chances[0] - chances[1])
    assert hits / num_worlds >= 1 - ALPHA - 3 * math.sqrt(0.05 * 0.95 / num_worlds)


@pytest.mark.parametrize("gap", [0.0, 0.02])
def test_the_best_of_many_is_not_flattered(gap: float) -> None:
    """All settings of a side are equal, so that the best of six is best by luck alone."""
    rng = np.random.default_rng(3)
    num_worlds, hits, naive_hits = 400, 0, 0
    for _ in range(num_worlds):
        first, second = (
            tuple(
                Sample(values={0: rng.binomial(500, chance) / 500}, num_images=500)
                for _ in range(number)
            )
            for chance, number in ((0.8 + gap, 6), (0.8, 2))
        )
        best = BestDifference(first=first, second=second)
        low, high = best.interval(ALPHA)
        hits += low <= gap <= high
        winners = [max(side, key=lambda one: one.mean) for side in (first, second)]
        naive_hits += covers(contrast([(1, winners[0]), (-1, winners[1])]), gap)
    assert hits / num_worlds >= 1 - ALPHA
    assert naive_hits < hits
