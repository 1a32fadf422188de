"""Whether two orders agree: Kendall's τ with an exact permutation test. No torch."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from mdl.experiments.claims.statistics import Estimate

MIN_ITEMS, MAX_ITEMS = 4, 9
_NUM_DRAWS = 4000


@dataclass(frozen=True, kw_only=True)
class RankAgreement:
    """Kendall's τ between exact numbers and measured ones, for the same items.

    τ is (pairs in the same order − pairs in opposite order) / all pairs; a tie counts for neither.

    Attributes:
        exact: A number an item.
        measured: An estimate an item.
    """

    exact: tuple[float, ...]
    measured: tuple[Estimate, ...]

    def __post_init__(self) -> None:
        num_items = len(self.exact)
        if len(self.measured) != num_items or not MIN_ITEMS <= num_items <= MAX_ITEMS:
            raise ValueError(
                f"both orders must have the same {MIN_ITEMS} to {MAX_ITEMS} items, not "
                f"{num_items} and {len(self.measured)}"
            )

    @property
    def basis(self) -> str:
        """What the interval takes into account."""
        return str(self.measured[0].basis)

    @cached_property
    def value(self) -> float:
        """τ, from −1 to 1."""
        points = np.array([[one.value for one in self.measured]])
        return float(kendall_tau(self.exact, points)[0])

    def p_value(self, null: float = 0.0) -> float:
        """The share of all permutations whose |τ| is at least as large: exact, two-sided.

        Raises:
            ValueError: `null` is not 0; only independence can be tested by permuting.
        """
        if null != 0:
            raise ValueError(f"null must be 0 for a permutation test, not {null}")
        points = [one.value for one in self.measured]
        permuted = np.array(list(itertools.permutations(points)))
        taus = np.abs(kendall_tau(self.exact, permuted))
        return float((taus >= abs(self.value) - 1e-9).mean())

    def interval(self, alpha: float) -> tuple[float, float]:
        """Quantiles α/2 and 1 − α/2 of τ over measurements drawn anew within their errors."""
        rng = np.random.default_rng(0)
        draws = np.empty((_NUM_DRAWS, len(self.measured)))
        for column, one in enumerate(self.measured):
            draws[:, column] = one.value
            for source in one.sources:
                noise = (
                    rng.standard_normal(_NUM_DRAWS)
                    if math.isinf(source.degrees)
                    else rng.standard_t(source.degrees, _NUM_DRAWS)
                )
                draws[:, column] += math.sqrt(source.variance) * noise
        taus = kendall_tau(self.exact, draws)
        low, high = np.quantile(taus, [alpha / 2, 1 - alpha / 2])
        return min(float(low), self.value), max(float(high), self.value)


def kendall_tau(exact: Sequence[float], rows: NDArray[np.floating]) -> NDArray[np.float64]:
    """τ of each row against `exact`.

    Args:
        exact: n numbers.
        rows: Numbers of the same items, (m, n).

    Returns:
        (m,), from −1 to 1.

    >>> kendall_tau([1, 2, 3], np.array([[1.0, 2.0, 3.0], [1.0, 3.0, 2.0]])).round(3).tolist()
    [1.0, 0.333]
    """
    first, second = np.triu_indices(len(exact), 1)
    reference = np.asarray(exact, dtype=np.float64)
    signs = np.sign(reference[second] - reference[first])
    agreement = np.sign(rows[:, second] - rows[:, first]) @ signs
    taus: NDArray[np.float64] = agreement / len(first)
    return taus
