"""A mean over seeds, with the half-width of its t interval."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from scipy.stats import t

CONFIDENCE = 0.95


@dataclass(frozen=True, kw_only=True)
class SeedMean:
    """The mean of one number over the runs of one setting, which differ by their seed.

    Attributes:
        mean: The mean.
        half_width: Half of the t interval at 95 %; None with one seed.
        num_seeds: Runs, >= 1.
    """

    mean: float
    half_width: float | None
    num_seeds: int


def seed_mean(values: Sequence[float]) -> SeedMean | None:
    """The mean with its interval, mean ± t(97.5 %, n - 1) · s / √n; None of no values.

    The interval takes the runs as independent draws from one normal law.

    >>> two = seed_mean([0.5, 0.7])
    >>> round(two.mean, 3), round(two.half_width, 3)  # t is 12.706, s/√n is 0.1
    (0.6, 1.271)
    >>> seed_mean([0.5]).half_width is None
    True
    """
    number = len(values)
    if number == 0:
        return None
    mean = math.fsum(values) / number
    if number == 1:
        return SeedMean(mean=mean, half_width=None, num_seeds=1)
    variance = math.fsum((value - mean) ** 2 for value in values) / (number - 1)
    quantile = float(t.ppf((1 + CONFIDENCE) / 2, number - 1))
    return SeedMean(mean=mean, half_width=quantile * math.sqrt(variance / number), num_seeds=number)
