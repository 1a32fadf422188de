"""Claims 7 and 12: β-lasso on larger kernels, and which layer wants the larger λ."""

from dataclasses import dataclass
from functools import cached_property

from mdl.experiments.claims.claim import Comparison
from mdl.experiments.claims.experiment import (
    LEARNED,
    USUAL_BETA,
    Claim,
    Findings,
    Group,
    Groups,
    Lineup,
    accuracy_effect,
)
from mdl.experiments.claims.statistics import Estimate, Sample, contrast, least_level


@dataclass(frozen=True, kw_only=True)
class BestDifference:
    """max over `first` minus max over `second`, with an interval that minds how many were tried.

    The best of many measurements is too good by chance, the more so the more there are. So the
    interval starts from intervals of all pairs (i, j) that hold together (each at α over the
    number of pairs): max_i μ_i − max_j μ_j = max_i min_j (μ_i − μ_j) then lies between
    max_i min_j of their lower ends and of their upper ends.

    Attributes:
        first: Samples of one group, at least one.
        second: Of the other.
    """

    first: tuple[Sample, ...]
    second: tuple[Sample, ...]

    def __post_init__(self) -> None:
        if not self.first or not self.second:
            raise ValueError("both groups must hold at least one sample")

    @property
    def basis(self) -> str:
        """What the interval takes into account."""
        return str(self._pairs[0][0].basis)

    @cached_property
    def _pairs(self) -> list[list[Estimate]]:
        return [[contrast([(1, one), (-1, other)]) for other in self.second] for one in self.first]

    @property
    def value(self) -> float:
        """The difference of the best means."""
        return max(one.mean for one in self.first) - max(one.mean for one in self.second)

    def interval(self, alpha: float) -> tuple[float, float]:
        """The interval at level 1 − α, or more."""
        level = alpha / (len(self.first) * len(self.second))
        ends = [[pair.interval(level) for pair in row] for row in self._pairs]
        low = max(min(pair[0] for pair in row) for row in ends)
        high = max(min(pair[1] for pair in row) for row in ends)
        return low, high

    def p_value(self, null: float = 0.0) -> float:
        """The least α whose interval leaves out `null`."""
        return least_level(self.interval, null)


def _kernels(groups: Groups) -> Findings:
    by_size: dict[int, dict[str, Group]] = {}
    for group in groups.values():
        config = group.runs[0].config
        by_size.setdefault(config.kernel_size or 0, {})[config.method] = group
    smallest, *larger = sorted(by_size)
    gains = {
        size: [(1.0, pair["beta-lasso"]), (-1.0, pair["sgd"])] for size, pair in by_size.items()
    }
    return Findings(
        comparisons=tuple(
            accuracy_effect(f"β-lasso over SGD, kernel {size}", gains[size]) for size in larger
        ),
        notes=(
            f"With the usual kernel {smallest} the difference is "
            f"{100 * _mean_gain(by_size[smallest]):+.2f} points; the claim is about larger ones. "
            "The paper shows this in Figure 5, without numbers.",
        ),
    )


def _mean_gain(pair: dict[str, Group]) -> float:
    return pair["beta-lasso"].test.mean - pair["sgd"].test.mean


def _is_above(group: Group) -> bool:
    config = group.runs[0].config
    return config.l1_conv > config.l1_fc


def _larger_lambda(groups: Groups) -> Findings:
    above = [group for group in groups.values() if _is_above(group)]
    rest = [group for group in groups.values() if not _is_above(group)]
    note = "By accuracy on images held out of training, as settings are chosen; no test image."
    if not above or not rest:
        return Findings(
            comparisons=(),
            unmet=("The grid of this scale has no settings on one of the two sides.",),
            notes=(note,),
        )
    unlearned = min(max(group.train_accuracy for group in side) for side in (above, rest)) < LEARNED
    best = BestDifference(
        first=tuple(group.validation for group in above),
        second=tuple(group.validation for group in rest),
    )
    winners = [max(side, key=lambda group: group.validation.mean).label for side in (above, rest)]
    return Findings(
        comparisons=(
            Comparison(
                label=(
                    f"best of {len(above)} settings with λ of the conv-like layer above that of "
                    f"the fc layers over best of the {len(rest)} others"
                ),
                measured=best,
            ),
        ),
        unmet=("No setting of one of the two sides learned its training images.",)
        if unlearned
        else (),
        notes=(
            f"Best above: {winners[0]}; best of the others: {winners[1]}.",
            note,
            "The interval minds how many settings were tried on each side. The paper says this "
            "without a number.",
        ),
    )


CLAIMS = (
    Claim(
        number=7,
        name="larger kernels",
        statement="ResNet18 with kernels larger than 3 is better by β-lasso than by SGD.",
        source="Section 4.2, Figure 5",
        gather=Lineup.kernels,
        compare=_kernels,
    ),
    Claim(
        number=12,
        name="larger λ",
        statement=(
            "s-fc by β-lasso is better with a larger λ on the layer that corresponds to the "
            "convolution than on the fc layers."
        ),
        source="Section 4.1",
        gather=lambda lineup: lineup.cells(USUAL_BETA),
        compare=_larger_lambda,
        must_learn=False,  # too large a λ may kill a network; the best of each side must learn
        needs_all=True,
    ),
)
