"""Claims 8 and 13: description length and test error, and families that do not cross."""

import itertools
import math
from collections.abc import Sequence

from mdl.experiments.claims.claim import Comparison, Unit
from mdl.experiments.claims.experiment import (
    USUAL_BETA,
    Claim,
    Findings,
    Group,
    Groups,
    Lineup,
    accuracy_effect,
    by_label,
)
from mdl.experiments.claims.rank_agreement import RankAgreement
from mdl.experiments.claims.statistics import contrast
from mdl.experiments.reproduce.paper_numbers import TABLE_1

_FAMILY_ORDER = ("resnet18", "d-conv", "s-conv", "3-fc")


def _description(groups: Groups) -> Findings:
    lacking = [
        label
        for label, group in groups.items()
        if any(run.description is None for run in group.runs)
    ]
    if lacking:
        return Findings(
            comparisons=(), unmet=(f"No description length was measured of {', '.join(lacking)}.",)
        )
    agreement = RankAgreement(
        exact=tuple(_mean_bits(group) for group in groups.values()),
        measured=tuple(contrast([(-1, group.test)]) for group in groups.values()),
    )
    by_bits = sorted(groups.values(), key=_mean_bits)
    by_error = sorted(groups.values(), key=lambda group: -group.test.mean)
    return Findings(
        comparisons=(
            Comparison(
                label=f"order by bits and order by test error, {len(groups)} networks",
                measured=agreement,
                unit=Unit.TAU,
            ),
        ),
        notes=(
            "Networks: those of Table 1, and s-fc by β-lasso with the paper's β = 50.",
            f"From short to long: {_names(by_bits)}.",
            f"From small to large test error: {_names(by_error)}.",
            "Bits: the shortest of our codes, as the decoder consumed them. τ is 1 where the two "
            "orders are the same; the p-value is exact over all orders, the interval is over test "
            "errors redrawn within their own errors. The paper prints no such number.",
        ),
    )


def _mean_bits(group: Group) -> float:
    bits = [run.description.num_bits for run in group.runs if run.description is not None]
    return math.fsum(bits) / len(bits)


def _names(groups: Sequence[Group]) -> str:
    return ", ".join(group.label for group in groups)


def _families(groups: Groups) -> Findings:
    comparisons: list[Comparison] = []
    unmet = []
    for upper, lower in itertools.pairwise(_FAMILY_ORDER):
        at_common_sizes = _pair(_sizes_of(upper, groups), _sizes_of(lower, groups))
        comparisons += at_common_sizes
        if not at_common_sizes:
            unmet.append(f"{upper} and {lower} have no number of weights in common here.")
    return Findings(
        comparisons=tuple(comparisons),
        unmet=tuple(unmet),
        notes=(
            "Compared at every size of one family that lies within the other's range; the "
            "other's accuracy there is interpolated along the logarithm of its weights. The "
            "paper shows this in Figure 2, without numbers.",
        ),
    )


def _sizes_of(network: str, groups: Groups) -> list[Group]:
    found = [group for group in groups.values() if group.runs[0].config.network == network]
    return sorted(found, key=lambda group: group.num_weights)


def _pair(uppers: Sequence[Group], lowers: Sequence[Group]) -> list[Comparison]:
    low = max(uppers[0].num_weights, lowers[0].num_weights)
    high = min(uppers[-1].num_weights, lowers[-1].num_weights)
    sizes = sorted(
        {one.num_weights for one in (*uppers, *lowers) if low <= one.num_weights <= high}
    )
    comparisons = []
    for size in sizes:
        upper, lower = _at_size(uppers, size), _at_size(lowers, size)
        names = (uppers[0].runs[0].config.network, lowers[0].runs[0].config.network)
        comparisons.append(
            accuracy_effect(
                f"{names[0]} over {names[1]} at {size:,} weights",
                [*upper, *((-weight, group) for weight, group in lower)],
            )
        )
    return comparisons


def _at_size(family: Sequence[Group], size: int) -> list[tuple[float, Group]]:
    """Weights of one group of that size, or of its two neighbours in log size."""
    for group in family:
        if group.num_weights == size:
            return [(1.0, group)]
    smaller, larger = next(
        pair
        for pair in itertools.pairwise(family)
        if pair[0].num_weights < size < pair[1].num_weights
    )
    step = math.log(larger.num_weights / smaller.num_weights)
    share = math.log(size / smaller.num_weights) / step
    return [(1 - share, smaller), (share, larger)]


CLAIMS = (
    Claim(
        number=8,
        name="description length",
        statement=(
            "Networks with a shorter description have a smaller test error: the two orders agree "
            "(long training)."
        ),
        source="Section 3",
        gather=lambda lineup: by_label(
            [*(lineup.table1(network, long=True) for network in TABLE_1), lineup.table2(USUAL_BETA)]
        ),
        compare=_description,
    ),
    Claim(
        number=13,
        name="families",
        statement=(
            "Families do not cross: with equally many weights, resnet18 is better than d-conv, "
            "d-conv than s-conv, s-conv than 3-fc, at every size (short training)."
        ),
        source="Section 3, Figure 2",
        gather=Lineup.sizes,
        compare=_families,
        must_learn=False,  # the smallest sizes are there to fit badly
        needs_all=True,
    ),
)
