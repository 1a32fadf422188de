"""Half-mass radii against closed forms and brute force; shuffles as an exact test."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom, kstest

from analysis.filters.locality import (
    Locality,
    half_mass_radius,
    measure_locality,
    summarize_locality,
)
from tests.examples import examples

FEW = examples(0.5)


def radius_by_loops(mass: np.ndarray) -> float:
    """The definition, word by word."""
    pixels = [(r, c, mass[r, c]) for r in range(mass.shape[0]) for c in range(mass.shape[1])]
    total = math.fsum(m for _, _, m in pixels)
    row = math.fsum(r * m for r, _, m in pixels) / total
    column = math.fsum(c * m for _, c, m in pixels) / total
    inside = 0.0
    for distance, m in sorted((math.hypot(r - row, c - column), m) for r, c, m in pixels):
        inside += m
        if inside >= total / 2 * (1 - 1e-9):
            return distance
    raise AssertionError("half of the mass is somewhere")


def disc(side: int, radius: float) -> np.ndarray:
    rows, columns = np.indices((side, side)) - (side - 1) / 2
    return (np.hypot(rows, columns) <= radius).astype(float)


def scattered(rng: np.random.Generator, number: int, support: int, side: int = 16) -> np.ndarray:
    """Filters with a random support and very unequal values."""
    filters = np.zeros((number, 1, side * side))
    for one in filters:
        chosen = rng.permutation(side * side)[:support]
        one[0, chosen] = rng.standard_t(2, size=support)
    return filters.reshape(number, 1, side, side)


def test_a_single_pixel_has_radius_zero() -> None:
    mass = np.zeros((7, 7))
    mass[2, 5] = 3.0
    assert half_mass_radius(mass) == 0


@pytest.mark.parametrize("distance", [1, 4, 9])
def test_two_equal_pixels_have_half_their_distance(distance: int) -> None:
    mass = np.zeros((3, 12))
    mass[1, 1] = mass[1, 1 + distance] = 0.5
    assert half_mass_radius(mass).item() == pytest.approx(distance / 2)


@pytest.mark.parametrize("radius", [12.0, 20.0, 29.0])
def test_a_uniform_disc_has_its_radius_over_root_two(radius: float) -> None:
    assert half_mass_radius(disc(64, radius)).item() == pytest.approx(
        radius / math.sqrt(2), abs=0.3
    )


@pytest.mark.parametrize("side", [9, 20, 33])
def test_a_uniform_square_has_its_side_over_root_two_pi(side: int) -> None:
    mass = np.zeros((40, 40))
    mass[3 : 3 + side, 5 : 5 + side] = 2.0
    expected = side / math.sqrt(2 * math.pi)
    assert half_mass_radius(mass).item() == pytest.approx(expected, abs=0.35)


@pytest.mark.parametrize("sigma", [3.0, 6.0])
def test_a_gaussian_has_root_two_log_two_sigma(sigma: float) -> None:
    rows, columns = np.indices((65, 65)) - 32
    mass = np.exp(-(rows**2 + columns**2) / (2 * sigma**2))
    expected = sigma * math.sqrt(2 * math.log(2))
    assert half_mass_radius(mass).item() == pytest.approx(expected, abs=0.3)


def test_three_by_three_block() -> None:
    # Centre 1, four at distance 1, four at root 2: 5 of 9 within distance 1.
    mass = np.zeros((6, 6))
    mass[1:4, 2:5] = 1.0
    assert half_mass_radius(mass).item() == pytest.approx(1.0)


@FEW
@given(st.integers(0, 2**32 - 1), st.integers(1, 9), st.integers(1, 9))
def test_radius_is_the_definition(seed: int, rows: int, columns: int) -> None:
    rng = np.random.default_rng(seed)
    mass = rng.exponential(size=(3, rows, columns)) * (rng.random((3, rows, columns)) < 0.6)
    mass[:, rows // 2, columns // 2] += 0.01
    expected = [radius_by_loops(one) for one in mass]
    np.testing.assert_allclose(half_mass_radius(mass), expected, rtol=1e-7, atol=1e-7)


@FEW
@given(st.integers(0, 2**32 - 1), st.integers(0, 8), st.integers(0, 8), st.floats(1e-3, 1e3))
def test_shifts_and_scales_change_nothing(seed: int, down: int, right: int, scale: float) -> None:
    block = np.random.default_rng(seed).exponential(size=(5, 5))
    here, there = np.zeros((2, 13, 13))
    here[:5, :5] = block
    there[down : down + 5, right : right + 5] = scale * block
    assert half_mass_radius(there) == pytest.approx(half_mass_radius(here), rel=1e-6)


@FEW
@given(st.integers(0, 2**32 - 1), st.integers(1, 60))
def test_radius_fits_in_the_image(seed: int, support: int) -> None:
    filters = scattered(np.random.default_rng(seed), 1, support, side=8)
    radius = half_mass_radius(np.abs(filters[0, 0])).item()
    assert 0 <= radius <= math.hypot(7, 7)


@pytest.mark.slow
def test_random_supports_are_as_local_as_chance() -> None:
    rng = np.random.default_rng(0)
    for support in (7, 40, 256):  # 256: every pixel, only the order of the values is random
        locality = measure_locality(scattered(rng, 300, support), seed=1)
        summary = summarize_locality(locality)
        assert summary.ratio == pytest.approx(1, abs=0.05)
        assert kstest(locality.p_value, "uniform").pvalue > 1e-3
        assert summary.local_share < 0.1


def test_chance_is_a_random_support_of_the_same_size() -> None:
    """Against a simulation of its own: twenty equal weights on distinct random pixels."""
    rng = np.random.default_rng(3)
    radii = []
    for _ in range(2000):
        mass = np.zeros(144)
        mass[rng.choice(144, size=20, replace=False)] = 1.0
        radii.append(radius_by_loops(mass.reshape(12, 12)))
    one = np.zeros((1, 1, 12, 12))
    one[0, 0, 2:6, 3:8] = -0.7
    locality = measure_locality(one, num_shuffles=2000, seed=4)
    assert locality.chance_radius.item() == pytest.approx(np.median(radii), abs=0.1)
    assert locality.p_value.item() == 1 / 2001


def test_local_filters_are_found_and_spread_ones_are_not() -> None:
    filters = np.zeros((2, 3, 32, 32))
    filters[0, :, 4:13, 20:29] = np.random.default_rng(0).normal(size=(3, 9, 9))
    filters[1, :, ::31, ::31] = 1.0  # the four corners
    locality = measure_locality(filters)
    assert locality.ratio[0] < 0.4
    assert locality.p_value[0] == 0.01
    assert locality.ratio[1] > 1.2
    assert locality.p_value[1] > 0.9


def test_colours_of_a_pixel_count_together() -> None:
    """Only where the mass lies matters: neither its sign nor its colour does."""
    rng = np.random.default_rng(5)
    grey = scattered(rng, 4, 30)
    colour = np.zeros((4, 3, 16, 16))
    colour[:, 0] = 0.25 * grey[:, 0]
    colour[:, 2] = -0.75 * grey[:, 0]
    one, other = measure_locality(grey, seed=6), measure_locality(colour, seed=6)
    np.testing.assert_allclose(one.radius, other.radius)
    np.testing.assert_allclose(one.chance_radius, other.chance_radius)
    np.testing.assert_allclose(one.p_value, other.p_value)


def test_the_seed_decides_the_shuffles() -> None:
    filters = scattered(np.random.default_rng(7), 5, 20)
    first, again = measure_locality(filters, seed=1), measure_locality(filters, seed=1)
    other = measure_locality(filters, seed=2)
    assert (first.chance_radius == again.chance_radius).all()
    assert (first.chance_radius != other.chance_radius).any()


def test_a_single_pixel_or_a_flat_image_is_neither_local_nor_spread() -> None:
    filters = np.zeros((2, 1, 6, 6))
    filters[0, 0, 1, 1] = 5.0
    filters[1] = 0.3
    locality = measure_locality(filters)
    assert locality.ratio == pytest.approx([1, 1])
    assert (locality.p_value == 1).all()


@pytest.mark.parametrize("number", [6, 7, 20, 101, 500])
def test_the_interval_of_the_median_covers(number: int) -> None:
    values = np.arange(1.0, number + 1)
    locality = Locality(radius=values, chance_radius=np.ones(number), p_value=np.ones(number))
    low, high = summarize_locality(locality).ratio_interval
    # P(the interval of order statistics low..high holds the median), exactly.
    coverage = binom.cdf(high - 1, number, 0.5) - binom.cdf(low - 1, number, 0.5)
    assert 0.95 <= coverage < 0.99 or number < 20
    assert coverage >= 0.95


def test_summary_by_hand() -> None:
    locality = Locality(
        radius=np.array([1.0, 2.0, 3.0, 4.0]),
        chance_radius=np.array([10.0, 10.0, 10.0, 20.0]),
        p_value=np.array([0.01, 0.05, 0.06, 1.0]),
    )
    summary = summarize_locality(locality)
    assert (summary.num_filters, summary.radius, summary.chance_radius) == (4, 2.5, 10)
    assert summary.ratio == pytest.approx(0.2)
    assert summary.ratio_interval == (pytest.approx(0.1), pytest.approx(0.3))
    assert summary.local_share == 0.5
    assert summary.local_share_interval == pytest.approx((0.150, 0.850), abs=1e-3)


def test_what_cannot_be_measured_is_refused() -> None:
    ok = np.ones((1, 1, 3, 3))
    with pytest.raises(ValueError, match="filters must be"):
        measure_locality(ok[0])
    with pytest.raises(ValueError, match="num_shuffles must be >= 1, not 0"):
        measure_locality(ok, num_shuffles=0)
    for bad in (0 * ok, np.nan * ok, np.inf * ok):
        with pytest.raises(ValueError, match="mass must be finite"):
            measure_locality(bad)
    with pytest.raises(ValueError, match="mass must be finite"):
        half_mass_radius(-ok)
    with pytest.raises(ValueError, match="mass must be"):
        half_mass_radius(np.ones(3))
    empty = np.zeros(0)
    with pytest.raises(ValueError, match="at least one filter"):
        summarize_locality(Locality(radius=empty, chance_radius=empty, p_value=empty))
