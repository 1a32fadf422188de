import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from mdl.experiments.claims.rank_agreement import MAX_ITEMS, MIN_ITEMS, RankAgreement, kendall_tau
from mdl.experiments.claims.statistics import Basis, Estimate, Source
from tests.examples import examples


def agreement_of(
    exact: list[float], measured: list[float], *, deviation: float = 0.0
) -> RankAgreement:
    sources = (Source(variance=deviation**2, degrees=math.inf),) if deviation else ()
    return RankAgreement(
        exact=tuple(exact),
        measured=tuple(
            Estimate(value=value, sources=sources, basis=Basis.IMAGES) for value in measured
        ),
    )


@examples(0.2)
@given(order=st.integers(MIN_ITEMS, 7).flatmap(lambda n: st.permutations(range(n))))
def test_tau_and_p_value_are_scipys(order: list[int]) -> None:
    exact = [float(index) for index in range(len(order))]
    agreement = agreement_of(exact, [float(value) for value in order])
    expected = stats.kendalltau(exact, order, method="exact")
    assert agreement.value == pytest.approx(expected.statistic)
    assert agreement.p_value() == pytest.approx(expected.pvalue)


def test_p_value_of_eight_in_the_same_order() -> None:
    eight = [float(index) for index in range(8)]
    assert agreement_of(eight, eight).p_value() == pytest.approx(2 / math.factorial(8))
    assert agreement_of(eight, eight[::-1]).value == -1.0


def test_ties_count_for_neither() -> None:
    rows = np.array([[1.0, 1.0, 2.0]])
    assert kendall_tau([1.0, 2.0, 3.0], rows)[0] == pytest.approx(2 / 3)


def test_interval_widens_with_the_errors() -> None:
    exact = [float(index) for index in range(6)]
    measured = [index / 100 for index in range(6)]
    assert agreement_of(exact, measured).interval(0.05) == (1.0, 1.0)
    widths = []
    for deviation in (0.001, 0.01, 0.1):
        low, high = agreement_of(exact, measured, deviation=deviation).interval(0.05)
        assert -1 <= low <= 1.0 == high
        widths.append(high - low)
    assert widths == sorted(widths)
    assert widths[-1] > 1


def test_only_independence_is_tested() -> None:
    exact = [float(index) for index in range(MIN_ITEMS)]
    with pytest.raises(ValueError, match="null must be 0"):
        agreement_of(exact, exact).p_value(0.5)


@pytest.mark.parametrize("num_items", [MIN_ITEMS - 1, MAX_ITEMS + 1])
def test_numbers_of_items(num_items: int) -> None:
    items = [float(index) for index in range(num_items)]
    with pytest.raises(ValueError, match="items"):
        agreement_of(items, items)
