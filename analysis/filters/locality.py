"""How local a filter is: the radius that holds half of its mass, against shuffled pixels.

The mass of a pixel is |w| summed over the colour channels. The half-mass radius of a filter is

    r = min { ρ : Σ_{p : |p - c| <= ρ} mass(p) >= ½ Σ_p mass(p) },   c = Σ_p mass(p) p / Σ_p mass(p)

in pixels, with distances between the centres of pixels. Chance is the same filter with its pixels
shuffled over the image: a random support of the same size with the same values, the colours of a
pixel kept together. That is a permutation test, exact for filters of any kind; it sees where the
weights are, not their signs.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

NUM_SHUFFLES = 99  # the smallest number after which p <= 5% is 5 of 100 ranks
LOCAL_LEVEL = 0.05

Floats = NDArray[np.float64]

_ROUNDING = 1e-9  # relative: sums that are equal on paper count as equal
_CHUNK_ENTRIES = 2_000_000  # entries of a temporary array: tens of MB


@dataclass(frozen=True, kw_only=True)
class Locality:
    """Locality of N filters, each against its own shuffles. Arrays of shape (N,).

    Attributes:
        radius: Half-mass radius in pixels.
        chance_radius: Median half-mass radius of the shuffles in pixels.
        p_value: Share of the filter and its shuffles that are at least as local as the filter, in
            [1 / (shuffles + 1), 1]. For a random support, P(p_value <= x) <= x.
    """

    radius: Floats
    chance_radius: Floats
    p_value: Floats

    @property
    def ratio(self) -> Floats:
        """The radius over that of chance: below 1 is local. 1 where both are 0 (one pixel)."""
        ones = np.ones_like(self.radius)
        return np.divide(self.radius, self.chance_radius, out=ones, where=self.chance_radius > 0)


@dataclass(frozen=True, kw_only=True)
class LocalitySummary:
    """Locality of a network's filters in a few numbers.

    The intervals are at 95% and take the filters as independent draws from one law.

    Attributes:
        num_filters: Filters measured.
        radius: Median half-mass radius in pixels.
        chance_radius: Median over filters of the shuffles' median radius in pixels.
        ratio: Median of radius / chance_radius.
        ratio_interval: Interval of that median, from order statistics (of 5 filters or fewer: the
            whole range, which covers less).
        local_share: Share of filters with p_value <= 5%. Of random supports it is 5%.
        local_share_interval: Wilson's interval of that share.
    """

    num_filters: int
    radius: float
    chance_radius: float
    ratio: float
    ratio_interval: tuple[float, float]
    local_share: float
    local_share_interval: tuple[float, float]


def half_mass_radius(mass: NDArray[np.floating]) -> Floats:
    """Half-mass radius about the centre of mass.

    Args:
        mass: Non-negative mass of each pixel, (..., rows, columns), not all zero in any image.

    Returns:
        Radii in pixels, (...).

    Raises:
        ValueError: Fewer than two axes, a negative or non-finite mass, or an image without mass.

    >>> pair = np.zeros((5, 5))
    >>> pair[1, 0] = pair[1, 4] = 1.0
    >>> half_mass_radius(pair).item()
    2.0
    """
    checked = _checked_mass(mass)
    rows, columns = (axis.ravel().astype(np.float64) for axis in np.indices(checked.shape[-2:]))
    flat = checked.reshape(*checked.shape[:-2], -1)
    return _half_mass_radius(rows, columns, flat)


def measure_locality(
    filters: NDArray[np.floating], *, num_shuffles: int = NUM_SHUFFLES, seed: int = 0
) -> Locality:
    """Half-mass radii of filters and of the same filters with their pixels shuffled.

    Args:
        filters: Weights on the image, (N, channels, rows, columns), none all zero.
        num_shuffles: Shuffles of each filter, >= 1.
        seed: Seed of the shuffles.

    Returns:
        The locality of each filter.

    Raises:
        ValueError: Not four axes, an all-zero or non-finite filter, or `num_shuffles` < 1.
    """
    if filters.ndim != 4:
        raise ValueError(f"filters must be (N, channels, rows, columns), not {filters.shape}")
    if num_shuffles < 1:
        raise ValueError(f"num_shuffles must be >= 1, not {num_shuffles}")
    mass = _checked_mass(np.abs(filters).sum(axis=1, dtype=np.float64))
    radius = half_mass_radius(mass)
    shuffled = _shuffled_radii(mass, num_shuffles, np.random.default_rng(seed))
    as_local = (shuffled <= radius[:, None] * (1 + _ROUNDING)).sum(axis=1)
    return Locality(
        radius=radius,
        chance_radius=np.median(shuffled, axis=1),
        p_value=(1 + as_local) / (1 + num_shuffles),
    )


def summarize_locality(locality: Locality) -> LocalitySummary:
    """Medians and shares over the filters, with 95% intervals.

    Raises:
        ValueError: There are no filters.
    """
    num_filters = len(locality.radius)
    if num_filters == 0:
        raise ValueError("locality must hold at least one filter")
    ratio = np.sort(locality.ratio)
    num_local = int((locality.p_value <= LOCAL_LEVEL * (1 + _ROUNDING)).sum())
    return LocalitySummary(
        num_filters=num_filters,
        radius=float(np.median(locality.radius)),
        chance_radius=float(np.median(locality.chance_radius)),
        ratio=float(np.median(ratio)),
        ratio_interval=_median_interval(ratio),
        local_share=num_local / num_filters,
        local_share_interval=_wilson_interval(num_local, num_filters),
    )


def _checked_mass(mass: NDArray[np.floating]) -> Floats:
    checked: Floats = np.asarray(mass, dtype=np.float64)
    if checked.ndim < 2:
        raise ValueError(f"mass must be (..., rows, columns), not {checked.shape}")
    total = checked.sum(axis=(-2, -1))
    if not (np.isfinite(total).all() and (checked >= 0).all() and (total > 0).all()):
        raise ValueError("mass must be finite, >= 0 and not all zero in any image")
    return checked


def _half_mass_radius(rows: Floats, columns: Floats, mass: Floats) -> Floats:
    """Radii of point clouds: coordinates and masses broadcast together, points last."""
    mass = mass / mass.sum(axis=-1, keepdims=True)
    row_offsets = rows - (mass * rows).sum(axis=-1, keepdims=True)
    column_offsets = columns - (mass * columns).sum(axis=-1, keepdims=True)
    squared = row_offsets**2 + column_offsets**2
    nearest_first = squared.argsort(axis=-1)
    inside = np.take_along_axis(mass, nearest_first, axis=-1).cumsum(axis=-1)
    reached = (inside >= 0.5 * (1 - _ROUNDING)).argmax(axis=-1)[..., None]
    at_half = np.take_along_axis(nearest_first, reached, axis=-1)
    radius: Floats = np.sqrt(np.take_along_axis(squared, at_half, axis=-1)[..., 0])
    return radius


def _shuffled_radii(mass: Floats, num_shuffles: int, rng: np.random.Generator) -> Floats:
    """Radii of shuffled filters, (N, num_shuffles). Only pixels with mass are moved about."""
    num_filters, num_rows, num_columns = mass.shape
    num_pixels = num_rows * num_columns
    flat = mass.reshape(num_filters, num_pixels)
    support_sizes = np.count_nonzero(flat, axis=1)
    heaviest_first = -np.sort(-flat, axis=1)
    radii = np.empty((num_filters, num_shuffles))
    # Filters of like support go together, so that little of a chunk is empty.
    by_support = support_sizes.argsort()
    step = max(1, _CHUNK_ENTRIES // (num_shuffles * num_pixels))
    for start in range(0, num_filters, step):
        chunk = by_support[start : start + step]
        support = int(support_sizes[chunk].max())
        keys = rng.random((len(chunk), num_shuffles, num_pixels))
        pixels = keys.argsort(axis=-1)[..., :support]  # a partition would not be in random order
        rows, columns = np.divmod(pixels.astype(np.float64), num_columns)
        radii[chunk] = _half_mass_radius(rows, columns, heaviest_first[chunk, None, :support])
    return radii


def _median_interval(ordered: Floats) -> tuple[float, float]:
    """Distribution-free interval of a median: order statistics n/2 ∓ (1.96 √n / 2 + 1/2)."""
    num_values = len(ordered)
    low = max(0, math.floor(num_values / 2 - 0.98 * math.sqrt(num_values) - 0.5))
    return float(ordered[low]), float(ordered[num_values - 1 - low])


def _wilson_interval(num_hits: int, num_trials: int) -> tuple[float, float]:
    """Wilson's 95% interval of a share."""
    z = 1.96
    share = num_hits / num_trials
    scale = 1 / (1 + z**2 / num_trials)
    centre = share + z**2 / (2 * num_trials)
    reach = z * math.sqrt(share * (1 - share) / num_trials + z**2 / (4 * num_trials**2))
    return max(0.0, scale * (centre - reach)), min(1.0, scale * (centre + reach))
