"""The best of some settings against the best of others, each measured once. No torch."""

from dataclasses import dataclass
from functools import cached_property

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
