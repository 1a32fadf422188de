import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mdl.experiments.claims.claim import Comparison, Judgement, Outcome, Unit
from mdl.experiments.claims.decisions import combine, decide, holm_levels
from mdl.experiments.claims.statistics import Basis, Estimate, Source

HOLDS, REVERSED, OPEN = Outcome.HOLDS, Outcome.REVERSED, Outcome.OPEN


def comparison(
    value: float, deviation: float = 0.01, *, above: float = 0.0, within: float | None = None
) -> Comparison:
    measured = Estimate(
        value=value, sources=(Source(variance=deviation**2, degrees=math.inf),), basis=Basis.IMAGES
    )
    return Comparison(label="a over b", measured=measured, above=above, within=within)


@pytest.mark.parametrize(
    ("value", "outcome"), [(0.03, HOLDS), (0.01, OPEN), (-0.01, OPEN), (-0.03, REVERSED)]
)
def test_one_comparison(value: float, outcome: Outcome) -> None:
    (effect,) = decide([comparison(value)])
    assert effect.outcome is outcome
    assert effect.confidence == pytest.approx(0.95)
    assert (effect.low, effect.high) == pytest.approx((value - 0.0196, value + 0.0196), abs=1e-4)


@pytest.mark.parametrize(
    ("value", "outcome"),
    [(0.0, HOLDS), (0.02, HOLDS), (0.035, OPEN), (0.06, OPEN), (0.08, REVERSED), (-0.08, REVERSED)],
)
def test_equivalence_within_a_margin(value: float, outcome: Outcome) -> None:
    """∓0.05 with deviation 0.01: inside up to 0.05 − 1.645 · 0.01, outside from 0.0696."""
    (effect,) = decide([comparison(value, within=0.05)])
    assert effect.outcome is outcome


@given(values=st.lists(st.floats(-0.1, 0.1), min_size=1, max_size=6), above=st.floats(-0.02, 0.02))
def test_outcomes_are_what_the_intervals_say(values: list[float], above: float) -> None:
    for effect in decide([comparison(value, above=above) for value in values]):
        if min(abs(effect.low - above), abs(effect.high - above)) < 1e-9:
            continue
        says = HOLDS if effect.low > above else REVERSED if effect.high < above else OPEN
        assert effect.outcome is says


@given(values=st.lists(st.floats(-0.1, 0.1), min_size=1, max_size=4))
def test_equivalence_is_what_the_intervals_say(values: list[float]) -> None:
    margin = 0.04
    for effect in decide([comparison(value, within=margin) for value in values]):
        ends = (effect.low, effect.high)
        if min(abs(abs(end) - margin) for end in ends) < 1e-9:
            continue
        inside = -margin < effect.low and effect.high < margin
        outside = effect.low > margin or effect.high < -margin
        assert effect.outcome is (HOLDS if inside else REVERSED if outside else OPEN)


def test_ratios_are_tested_on_their_logarithms() -> None:
    measured = Estimate(
        value=math.log(2), sources=(Source(variance=0.01, degrees=math.inf),), basis=Basis.SEEDS
    )
    at_one, at_two = (
        decide([Comparison(label="r", measured=measured, unit=Unit.RATIO, above=above)])[0]
        for above in (1.0, 2.0)
    )
    assert (at_one.outcome, at_two.outcome) == (HOLDS, OPEN)
    assert at_one.estimate == pytest.approx(2)
    assert math.log(at_one.high / at_one.low) == pytest.approx(2 * 1.959964 * 0.1, rel=1e-5)


def test_more_comparisons_share_the_error() -> None:
    alone = decide([comparison(0.021)])[0].outcome
    together = {effect.outcome for effect in decide([comparison(0.021)] * 4 + [comparison(0.0)])}
    assert (alone, together) == (HOLDS, {OPEN})


@pytest.mark.parametrize(
    ("values", "judgement"),
    [
        ([0.1, 0.1], Judgement.REPRODUCED),
        ([0.1, 0.0], Judgement.NOT_AT_THIS_SCALE),
        ([0.1, -0.1], Judgement.NOT_REPRODUCED),
        ([0.0, -0.1], Judgement.NOT_REPRODUCED),
        ([], Judgement.NOT_AT_THIS_SCALE),
    ],
)
def test_all_must_hold(values: list[float], judgement: Judgement) -> None:
    assert combine(decide([comparison(value) for value in values])) is judgement


def test_what_a_comparison_refuses() -> None:
    with pytest.raises(ValueError, match="within must be > 0"):
        comparison(0.0, within=0.0)
    measured = comparison(0.0).measured
    with pytest.raises(ValueError, match="above must be > 0"):
        Comparison(label="r", measured=measured, unit=Unit.RATIO, above=0.0)


ALPHA = 0.05
P_VALUES = st.lists(
    st.one_of(st.floats(0.0, 1.0), st.sampled_from([0.0, 0.001, 0.0125, 0.02, 0.05])),
    min_size=1,
    max_size=6,
)


def closed_testing(p_values: list[float], alpha: float) -> list[bool]:
    """Holm is the closure of Bonferroni: reject i if every subset with i is rejected."""
    indices = range(len(p_values))
    subsets = [
        subset
        for size in range(1, len(p_values) + 1)
        for subset in itertools.combinations(indices, size)
    ]
    return [
        all(
            min(p_values[index] for index in subset) <= alpha / len(subset)
            for subset in subsets
            if one in subset
        )
        for one in indices
    ]


@given(p_values=P_VALUES)
def test_holm_is_the_closure_of_bonferroni(p_values: list[float]) -> None:
    levels = holm_levels(p_values, ALPHA)
    rejected = [p <= level for p, level in zip(p_values, levels, strict=True)]
    assert rejected == closed_testing(p_values, ALPHA)


@given(p_values=P_VALUES)
def test_levels_lie_between_bonferroni_and_none(p_values: list[float]) -> None:
    levels = holm_levels(p_values, ALPHA)
    assert all(ALPHA / len(p_values) <= level <= ALPHA for level in levels)
    assert len(levels) == len(p_values)


def test_nothing_to_test() -> None:
    assert holm_levels([], ALPHA) == []
