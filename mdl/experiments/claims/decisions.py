"""From comparisons to outcomes and a judgement, by Holm's procedure within a claim. No torch."""

import math
from collections.abc import Callable, Sequence

from mdl.experiments.claims.claim import Comparison, Effect, Judgement, Outcome, Unit
from mdl.experiments.claims.statistics import Estimate

ALPHA = 0.05
"""The chance of a false "holds" or "reversed" in one claim, over all of its comparisons."""


def holm_levels(p_values: Sequence[float], alpha: float) -> list[float]:
    """The level at which Holm's procedure tests each hypothesis.

    The smallest of m p-values is tested at α / m, the next at α / (m − 1), and so on until one is
    not below its level; the rest is tested at that level too. A hypothesis is rejected if and
    only if its p-value is at most its level, so an interval at 1 − level tells the same. The
    chance of any false rejection is at most α.

    Args:
        p_values: Of the hypotheses.
        alpha: For all together.

    Returns:
        Levels, in the order of `p_values`.

    >>> [round(level, 3) for level in holm_levels([0.001, 0.04, 0.03], 0.06)]
    [0.02, 0.06, 0.03]
    >>> [round(level, 3) for level in holm_levels([0.001, 0.04, 0.05], 0.06)]
    [0.02, 0.03, 0.03]
    """
    levels = [0.0] * len(p_values)
    level, all_rejected = alpha, True
    for rank, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        if all_rejected:
            level = alpha / (len(p_values) - rank)
            all_rejected = p_values[index] <= level
        levels[index] = level
    return levels


def decide(comparisons: Sequence[Comparison], *, alpha: float = ALPHA) -> tuple[Effect, ...]:
    """Test the comparisons of a claim together.

    Args:
        comparisons: All that must hold.
        alpha: The chance of any false "holds" or "reversed".
    """
    p_values = [_p_value(one) for one in comparisons]
    levels = holm_levels(p_values, alpha)
    return tuple(
        _effect(one, p_value, level)
        for one, p_value, level in zip(comparisons, p_values, levels, strict=True)
    )


def combine(effects: Sequence[Effect]) -> Judgement:
    """What the comparisons say together."""
    outcomes = {effect.outcome for effect in effects}
    if Outcome.REVERSED in outcomes:
        return Judgement.NOT_REPRODUCED
    return Judgement.REPRODUCED if outcomes == {Outcome.HOLDS} else Judgement.NOT_AT_THIS_SCALE


def _is_inside(one: Comparison) -> bool:
    return one.within is not None and abs(one.measured.value) < one.within


def _p_value(one: Comparison) -> float:
    if one.within is None:
        return one.measured.p_value(_inner(one.unit, one.above))
    margins = (-one.within, one.within)
    sides = max(one.measured.p_value(margin) for margin in margins)
    # Inside, both one-sided tests must reject; outside, one two-sided test against the near margin.
    return sides / 2 if _is_inside(one) else sides


def _effect(one: Comparison, p_value: float, level: float) -> Effect:
    favours = (
        _is_inside(one)
        if one.within is not None
        else one.measured.value > _inner(one.unit, one.above)
    )
    outcome = Outcome.OPEN
    if p_value <= level:
        outcome = Outcome.HOLDS if favours else Outcome.REVERSED
    alpha = 2 * level if _is_inside(one) else level
    measured = one.measured
    low, high = measured.interval(alpha)
    outer = _outer(one.unit)
    return Effect(
        label=one.label,
        unit=one.unit,
        estimate=outer(measured.value),
        low=outer(low),
        high=outer(high),
        confidence=1 - alpha,
        p_value=p_value,
        above=one.above,
        within=one.within,
        outcome=outcome,
        basis=str(measured.basis),
        images_alone=measured.images_alone(alpha) if isinstance(measured, Estimate) else None,
        published=one.published,
        source=one.source,
    )


def _inner(unit: Unit, value: float) -> float:
    return math.log(value) if unit is Unit.RATIO else value


def _outer(unit: Unit) -> Callable[[float], float]:
    return math.exp if unit is Unit.RATIO else float
