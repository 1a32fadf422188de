import itertools

from hypothesis import given
from hypothesis import strategies as st

from mdl.experiments.claims.multiplicity import holm_levels

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
