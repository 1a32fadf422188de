import math
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from scipy import stats

from mdl.experiments.claims.statistics import MIN_PAIRS, Basis, Sample, contrast, least_level

VALUES = st.floats(0.0, 1.0).map(lambda value: round(value, 4))


def sample_of(values: list[float], *, num_images: int | None = None, first: int = 0) -> Sample:
    return Sample(
        values={first + seed: value for seed, value in enumerate(values)}, num_images=num_images
    )


def some_spread(values: list[float]) -> bool:
    return max(values) - min(values) > 1e-3


GROUPS = st.lists(VALUES, min_size=2, max_size=MIN_PAIRS - 1).filter(some_spread)


@given(first=GROUPS, second=GROUPS, alpha=st.sampled_from([0.1, 0.05, 0.01]))
def test_two_samples_without_images_are_welch(
    first: list[float], second: list[float], alpha: float
) -> None:
    expected = stats.ttest_ind(first, second, equal_var=False)
    estimate = contrast([(1, sample_of(first)), (-1, sample_of(second))])
    interval = expected.confidence_interval(1 - alpha)
    assert estimate.interval(alpha) == pytest.approx((interval.low, interval.high), abs=1e-9)
    assert estimate.p_value(0.0) == pytest.approx(max(expected.pvalue, 1e-12), rel=1e-6)
    assert estimate.basis is Basis.SEEDS


@given(values=GROUPS, null=VALUES)
def test_one_sample_without_images_is_student(values: list[float], null: float) -> None:
    expected = stats.ttest_1samp(values, null)
    estimate = contrast([(1, sample_of(values))])
    interval = expected.confidence_interval(0.95)
    assert estimate.interval(0.05) == pytest.approx((interval.low, interval.high), abs=1e-9)
    assert estimate.p_value(null) == pytest.approx(max(expected.pvalue, 1e-12), rel=1e-6)


@given(
    pairs=st.lists(st.tuples(VALUES, VALUES), min_size=MIN_PAIRS, max_size=8).filter(
        lambda pairs: all(
            map(some_spread, (*map(list, zip(*pairs, strict=True)), [a - b for a, b in pairs]))
        )
    )
)
@example(pairs=[(0.0, 1.0), (0.0, 1.0), (0.0, 1.0), (0.5, 1.0), (1.0, 0.0)])
def test_enough_shared_seeds_are_paired(pairs: list[tuple[float, float]]) -> None:
    first, second = map(list, zip(*pairs, strict=True))
    expected = stats.ttest_rel(first, second)
    estimate = contrast([(1, sample_of(first)), (-1, sample_of(second))])
    interval = expected.confidence_interval(0.95)
    assert estimate.interval(0.05) == pytest.approx((interval.low, interval.high), abs=1e-9)
    other_seeds = sample_of(second, first=100)
    unpaired = contrast([(1, sample_of(first)), (-1, other_seeds)])
    welch = stats.ttest_ind(first, second, equal_var=False)
    assert unpaired.p_value(0.0) == pytest.approx(max(welch.pvalue, 1e-12), rel=1e-6)


@given(first=st.lists(VALUES, min_size=2, max_size=4).filter(some_spread), second=VALUES)
def test_one_seed_beside_more_takes_their_spread(first: list[float], second: float) -> None:
    estimate = contrast([(1, sample_of(first)), (-1, sample_of([second]))])
    spread = np.std(first, ddof=1) * math.sqrt(1 / len(first) + 1)
    half = stats.t.ppf(0.975, len(first) - 1) * spread
    low, high = estimate.interval(0.05)
    assert (high - low) / 2 == pytest.approx(half, rel=1e-9)


def test_one_seed_has_the_test_images_alone() -> None:
    first, second = sample_of([0.8], num_images=10_000), sample_of([0.75], num_images=10_000)
    estimate = contrast([(1, first), (-1, second)])
    half = 1.959964 * math.sqrt((0.8 * 0.2 + 0.75 * 0.25) / 10_000)
    assert estimate.interval(0.05) == pytest.approx((0.05 - half, 0.05 + half), abs=2e-5)
    assert estimate.basis is Basis.IMAGES
    same = contrast([(1, sample_of([1.0], num_images=100)), (-1, sample_of([1.0], num_images=100))])
    assert same.interval(0.05)[1] > 0.01  # a perfect score is not known without error


def answered(right: list[bool]) -> Sample:
    answers = np.array(right, dtype=float)
    return Sample(values={0: answers.mean()}, num_images=len(right), answers=answers)


@given(pairs=st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=200))
def test_answers_are_compared_as_mcnemar_does(pairs: list[tuple[bool, bool]]) -> None:
    """Only images that one of two networks has right count: b that the first has, c the second."""
    number, b, c = len(pairs), pairs.count((True, False)), pairs.count((False, True))
    first, second = (answered(list(side)) for side in zip(*pairs, strict=True))
    estimate = contrast([(1, first), (-1, second)])
    half = 1.959964 * math.sqrt(b + c - (b - c) ** 2 / number + 2) / number
    middle = (b - c) / number
    assert estimate.interval(0.05) == pytest.approx((middle - half, middle + half), abs=1e-6)


def test_one_sample_without_answers_unpairs_all() -> None:
    right = [True] * 80 + [False] * 20
    known, unknown = answered(right), sample_of([0.8], num_images=100)
    unpaired = contrast([(1, unknown), (-1, unknown)])
    assert contrast([(1, known), (-1, unknown)]).interval(0.05) == unpaired.interval(0.05)
    assert contrast([(1, known), (-1, known)]).interval(0.05)[1] < unpaired.interval(0.05)[1]


def test_seeds_and_images_add_up_in_squares() -> None:
    values = [0.80, 0.82, 0.81]
    both = contrast([(1, sample_of(values, num_images=1000))])
    seeds = contrast([(1, sample_of(values))])
    images = contrast([(1, sample_of([0.81], num_images=1000))])
    for alpha in (0.2, 0.05, 0.001):
        halves = [(one.interval(alpha)[1] - one.value) for one in (seeds, images)]
        assert both.interval(alpha)[1] - both.value == pytest.approx(math.hypot(*halves))
    assert both.basis is Basis.SEEDS_AND_IMAGES


def simulated(chances: np.ndarray, num_seeds: int, generator: np.random.Generator) -> Sample:
    """Seeds that are right on each image with a chance of its own."""
    right = generator.random((num_seeds, len(chances))) < chances
    return Sample(
        values=dict(enumerate(right.mean(axis=1))),
        num_images=len(chances),
        answers=right.mean(axis=0),
    )


def test_three_seeds_tell_what_the_images_leave_with_any_number_of_them() -> None:
    """The error by the choice of images from a population of them, of endlessly many seeds."""
    generator = np.random.default_rng(0)
    num_images, found = 4000, []
    spread = generator.beta(0.6, 0.4, size=(2, 200_000))
    limit = stats.norm.ppf(0.975) * math.sqrt(float(np.var(spread[0] - spread[1])) / num_images)
    for num_seeds in (3, 3, 3, 3, 300):
        chances = generator.beta(0.6, 0.4, size=(2, num_images))
        first, second = (simulated(each, num_seeds, generator) for each in chances)
        estimate = contrast([(1, first), (-1, second)])
        found.append(estimate.images_alone(0.05))
        low, high = estimate.interval(0.05)
        assert found[-1] < (high - low) / 2
    assert found == pytest.approx([limit] * 5, rel=0.06)


def test_what_the_images_leave_is_not_known_of_one_seed_or_without_answers() -> None:
    answers = np.array([1.0, 0.0, 1.0, 1.0])
    one = Sample(values={0: 0.75}, num_images=4, answers=answers)
    many = Sample(values={0: 0.75, 1: 0.75}, num_images=4, answers=answers)
    assert contrast([(1, many)]).images_alone(0.05) is not None
    for other in (one, sample_of([0.5, 0.6], num_images=4), sample_of([0.5, 0.6])):
        assert contrast([(1, many), (-1, other)]).images_alone(0.05) is None


def test_a_count_with_one_seed_is_exact() -> None:
    estimate = contrast([(1, sample_of([0.3]))])
    assert estimate.basis is Basis.NOTHING
    assert estimate.interval(0.05) == (0.3, 0.3)
    assert (estimate.p_value(0.3), estimate.p_value(0.0)) == (1.0, 1e-12)


@given(
    values=GROUPS,
    null=st.floats(-0.5, 1.5),
    alpha=st.floats(1e-6, 0.5),
    num_images=st.sampled_from([None, 100, 10_000]),
)
def test_interval_and_p_value_agree(
    values: list[float], null: float, alpha: float, num_images: int | None
) -> None:
    estimate = contrast([(1, sample_of(values, num_images=num_images))])
    low, high = estimate.interval(alpha)
    p_value = estimate.p_value(null)
    if abs(p_value - alpha) > 1e-6:
        assert (p_value < alpha) == (not low <= null <= high)


def test_least_level_of_an_interval_that_never_leaves_out() -> None:
    assert least_level(lambda alpha: (-1.0, 1.0), 0.0) == 1.0
    assert least_level(lambda alpha: (-1.0, 1.0), 2.0) == 1e-12


@pytest.mark.parametrize(
    ("values", "num_images", "message"),
    [
        ({}, None, "at least one seed"),
        ({0: math.nan}, None, "finite"),
        ({0: 0.5}, 0, "num_images must be >= 1"),
    ],
)
def test_what_a_sample_refuses(
    values: dict[int, float], num_images: int | None, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        Sample(values=values, num_images=num_images)


def test_answers_must_be_as_many_as_the_images() -> None:
    with pytest.raises(ValueError, match=r"answers must be \(3,\), not \(2,\)"):
        Sample(values={0: 0.5}, num_images=3, answers=np.zeros(2))


def test_a_contrast_needs_terms() -> None:
    with pytest.raises(ValueError, match="at least one sample"):
        contrast([])


@pytest.mark.process
def test_statistics_load_no_torch() -> None:
    modules = ("decisions", "rank_agreement", "statistics")
    names = ", ".join(f"mdl.experiments.claims.{module}" for module in modules)
    program = f"import sys, {names}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
