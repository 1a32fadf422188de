"""Intervals and tests for means over few seeds, measured on one test set. No torch.

A mean accuracy has two sources of error. **Seeds**: the runs of one setting differ; their spread
gives Student's t, by Welch where several settings are compared. **Test images**: all runs are
measured on the same N images, and more seeds do not make them more. Networks that find the same
images hard differ by less than independent ones, so where it is known which images each run got
right, they are compared image by image, as McNemar's test does. Where it is not, a share p of right
answers has variance p (1 − p) / N at most, and the errors count as independent. Both ways the
interval is too wide rather than too narrow: part of the spread of the seeds counts twice.

The half-width at level α is sqrt(Σ t²(α, degrees) · variance) over the sources. It is Student's
where the seeds decide and the normal one where the images do, and in between it is not too narrow
although the spread of two or three seeds may come out small by chance.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri, stdtrit

MIN_PAIRS = 5
"""Seeds from which on runs are paired by seed. With fewer, pairing costs more degrees of freedom
than it can save, and runs that share a seed are at worst alike, which leaves Welch too wide."""
_LEAST_P = 1e-12
_BISECTIONS = 60


class Basis(StrEnum):
    """What an interval takes into account."""

    SEEDS_AND_IMAGES = "seeds and test images"
    IMAGES = "test images alone, one seed"
    SEEDS = "seeds"
    FILTERS = "filters of one network"
    NOTHING = "one seed, counted exactly"


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One measured quantity of runs that differ by their seed alone.

    Attributes:
        values: By seed; at least one.
        num_images: N, where the values are shares of N images; None where they are exact.
        answers: Share of the seeds that are right on each image, (N,), in one order for all
            samples that are compared; None where that is not known.
    """

    values: dict[int, float]
    num_images: int | None = None
    answers: NDArray[np.float64] | None = field(default=None, compare=False, repr=False)

    def __post_init__(self) -> None:
        if not self.values:
            raise ValueError("values must hold at least one seed")
        if not all(math.isfinite(value) for value in self.values.values()):
            raise ValueError("values must be finite")
        if self.num_images is not None and self.num_images < 1:
            raise ValueError(f"num_images must be >= 1, not {self.num_images}")
        if self.answers is not None and self.answers.shape != (self.num_images,):
            raise ValueError(f"answers must be ({self.num_images},), not {self.answers.shape}")

    @property
    def mean(self) -> float:
        """Over the seeds."""
        return math.fsum(self.values.values()) / len(self.values)

    @property
    def image_variance(self) -> float:
        """Variance of the mean by the choice of test images, at most; 0 where there are none.

        One right and one wrong answer are added, so that no share counts as certain.
        """
        if self.num_images is None:
            return 0.0
        share = (self.mean * self.num_images + 1) / (self.num_images + 2)
        return share * (1 - share) / self.num_images


@dataclass(frozen=True, kw_only=True)
class Source:
    """One source of error.

    Attributes:
        variance: Its part of the estimate's variance, >= 0.
        degrees: Degrees of freedom behind `variance`; infinite where it is known.
    """

    variance: float
    degrees: float


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A measured quantity and the sources of its error.

    Attributes:
        value: The point estimate.
        sources: Independent of each other.
        basis: What they stand for.
        image_limit: Variance that the test images would leave with any number of seeds; None where
            that is not known.
    """

    value: float
    sources: tuple[Source, ...]
    basis: Basis
    image_limit: float | None = None

    def interval(self, alpha: float) -> tuple[float, float]:
        """The two-sided interval at level 1 − α.

        >>> one = Estimate(
        ...     value=1.0, sources=(Source(variance=0.25, degrees=2),), basis=Basis.SEEDS
        ... )
        >>> low, high = one.interval(0.05)
        >>> round(high - low, 3)  # twice 4.303 x 0.5
        4.303
        """
        squared = math.fsum(
            _quantile(alpha, source.degrees) ** 2 * source.variance for source in self.sources
        )
        return self.value - math.sqrt(squared), self.value + math.sqrt(squared)

    def images_alone(self, alpha: float) -> float | None:
        """The half-width at level 1 − α that the test images would leave with any number of seeds.

        None where that is not known, as of one seed.
        """
        if self.image_limit is None:
            return None
        return _quantile(alpha, math.inf) * math.sqrt(self.image_limit)

    def in_points(self, alpha: float = 0.05) -> str:
        """A difference of accuracies with its interval at level 1 − α, in points.

        >>> Estimate(value=-0.005, sources=(), basis=Basis.NOTHING).in_points()
        '−0.50 (−0.50 to −0.50)'
        """
        low, high = self.interval(alpha)
        text = f"{100 * self.value:+.2f} ({100 * low:+.2f} to {100 * high:+.2f})"
        return text.replace("-", "−")

    def p_value(self, null: float) -> float:
        """The least α whose interval leaves out `null`."""
        return least_level(self.interval, null)


def least_level(interval: Callable[[float], tuple[float, float]], null: float) -> float:
    """The least α at which an interval leaves out `null`: a p-value, at least 1e-12.

    Args:
        interval: From α to an interval; those of smaller α hold those of larger ones.
        null: The value in question.
    """

    def is_outside(alpha: float) -> bool:
        low, high = interval(alpha)
        return not low <= null <= high

    if is_outside(_LEAST_P):
        return _LEAST_P
    low, high = math.log(_LEAST_P), 0.0
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        low, high = (low, middle) if is_outside(math.exp(middle)) else (middle, high)
    return math.exp(high)


def contrast(terms: Sequence[tuple[float, Sample]]) -> Estimate:
    """Σ coefficient · mean, as a difference of means (1, −1) or a difference of differences.

    Where all samples have the same `MIN_PAIRS` seeds or more, the seeds are paired. Otherwise
    Welch's formula holds. A sample of one seed beside larger ones is taken to vary as they do.
    Where all samples have answers, the images are paired.

    Args:
        terms: Coefficient and sample of each.

    Raises:
        ValueError: There are no terms.

    >>> first = Sample(values={0: 0.80, 1: 0.82})
    >>> second = Sample(values={0: 0.70, 1: 0.72})
    >>> difference = contrast([(1, first), (-1, second)])
    >>> [round(end, 3) for end in difference.interval(0.05)]  # 0.1 ∓ 4.303 x sqrt(2 x 0.0001)
    [0.039, 0.161]
    """
    if not terms:
        raise ValueError("terms must hold at least one sample")
    value = math.fsum(coefficient * sample.mean for coefficient, sample in terms)
    image_variance = _image_variance(terms)
    seeds = _seed_source(terms)
    sources = [] if seeds is None else [seeds]
    if image_variance > 0:
        sources.append(Source(variance=image_variance, degrees=math.inf))
    return Estimate(
        value=value,
        sources=tuple(sources),
        basis=_basis(seeds is not None, image_variance > 0),
        image_limit=_image_limit(terms, image_variance),
    )


def _image_variance(terms: Sequence[tuple[float, Sample]]) -> float:
    answers = [sample.answers for _, sample in terms if sample.answers is not None]
    if len(answers) < len(terms):
        return math.fsum(coefficient**2 * sample.image_variance for coefficient, sample in terms)
    coefficients = np.array([coefficient for coefficient, _ in terms])
    by_image = coefficients @ np.stack(answers)
    # One more wrong answer of each sample, so that no difference counts as certain.
    squares = float(((by_image - by_image.mean()) ** 2).sum() + (coefficients**2).sum())
    return squares / by_image.size**2


def _image_limit(terms: Sequence[tuple[float, Sample]], image_variance: float) -> float | None:
    """The image variance without what seeds answer differently on one and the same image.

    Of k seeds a share p is right on an image; the mean of others would differ from it by a variance
    that p (1 − p) / (k − 1) estimates without bias.
    """
    by_seeds = 0.0
    for coefficient, sample in terms:
        if sample.answers is None or len(sample.values) == 1:
            return None
        shares = sample.answers * (1 - sample.answers) / (len(sample.values) - 1)
        by_seeds += coefficient**2 * float(shares.mean())
    (num_images,) = {len(sample.answers) for _, sample in terms if sample.answers is not None}
    return max(0.0, image_variance - by_seeds / num_images)


def _basis(has_seeds: bool, has_images: bool) -> Basis:
    if has_seeds:
        return Basis.SEEDS_AND_IMAGES if has_images else Basis.SEEDS
    return Basis.IMAGES if has_images else Basis.NOTHING


def _seed_source(terms: Sequence[tuple[float, Sample]]) -> Source | None:
    seeds = {tuple(sorted(sample.values)) for _, sample in terms}
    shared = next(iter(seeds))
    if len(seeds) == 1 and len(shared) >= MIN_PAIRS:
        by_seed = [
            math.fsum(coefficient * sample.values[seed] for coefficient, sample in terms)
            for seed in shared
        ]
        variance = float(np.var(by_seed, ddof=1)) / len(shared)
        return Source(variance=variance, degrees=len(shared) - 1)
    spreads = [
        (float(np.var(list(sample.values.values()), ddof=1)), len(sample.values) - 1)
        for _, sample in terms
        if len(sample.values) > 1
    ]
    if not spreads:
        return None
    if len(spreads) < len(terms):
        return _pooled(terms, spreads)
    parts = [
        coefficient**2 * variance / len(sample.values)
        for (coefficient, sample), (variance, _) in zip(terms, spreads, strict=True)
    ]
    return _welch(parts, [degrees for _, degrees in spreads])


def _pooled(terms: Sequence[tuple[float, Sample]], spreads: Sequence[tuple[float, int]]) -> Source:
    degrees = sum(count for _, count in spreads)
    pooled = math.fsum(variance * count for variance, count in spreads) / degrees
    weight = math.fsum(coefficient**2 / len(sample.values) for coefficient, sample in terms)
    return Source(variance=pooled * weight, degrees=degrees)


def _welch(parts: Sequence[float], degrees: Sequence[int]) -> Source:
    """Welch and Satterthwaite: the degrees of freedom of a sum of estimated variances."""
    total = math.fsum(parts)
    if total == 0:
        return Source(variance=0.0, degrees=sum(degrees))
    # Shares first: squares of tiny variances would underflow.
    shares = [part / total for part in parts]
    effective = 1 / math.fsum(
        share**2 / count for share, count in zip(shares, degrees, strict=True)
    )
    return Source(variance=total, degrees=effective)


def _quantile(alpha: float, degrees: float) -> float:
    """What |T| stays below with probability 1 − α."""
    if math.isinf(degrees):
        return -float(ndtri(alpha / 2))
    return -float(stdtrit(degrees, alpha / 2))
