"""Handwriting: curves through their points, placed as scans are."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.interpolate import CubicHermiteSpline

from tests.examples import examples
from training.data.generators.handwriting import HANDWRITING, SCENE_WORDS, _square_distance, paint
from training.data.generators.pen_strokes import (
    NUM_POINTS,
    NUM_SEGMENTS,
    STYLES,
    _curves,
    skeletons,
)
from training.data.generators.scene import Scene


def test_each_digit_has_its_styles():
    known = skeletons()
    assert known.number.sum() == len(known.points) == sum(map(len, STYLES))
    assert [known.first[digit + 1] - known.first[digit] for digit in range(9)] == list(
        known.number[:9]
    )


@pytest.mark.parametrize("digit", range(10))
def test_curves_are_those_of_catmull_and_rom(digit):
    """By scipy's cubics with slopes of the neighbours; ends repeat unless a curve is closed."""
    known = skeletons()
    for index, style in enumerate(STYLES[digit]):
        row = known.first[digit] + index
        expected = np.concatenate([_vertices(np.array(curve)) for curve in _curves(style)])
        drawn = known.weights[row] @ known.points[row]
        num = len(expected)
        assert num <= NUM_SEGMENTS
        assert np.allclose(drawn[:num], expected, atol=1e-6)
        assert np.array_equal(drawn[num:, 0], drawn[num:, 1])  # no length
    assert np.allclose(known.weights.sum(axis=-1), 1)
    assert known.points.shape[1:] == (NUM_POINTS, 2)


def _vertices(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Begin and end of the straight pieces, (pieces, 2, 2)."""
    if len(points) == 2:
        return points[None]
    is_closed = np.array_equal(points[0], points[-1])
    before, after = (points[-2], points[1]) if is_closed else (points[0], points[-1])
    wide = np.concatenate([before[None], points, after[None]])
    spline = CubicHermiteSpline(np.arange(len(points)), points, (wide[2:] - wide[:-2]) / 2)
    found = spline(np.arange(4 * (len(points) - 1) + 1) / 4)
    return np.stack([found[:-1], found[1:]], axis=1)


@given(st.lists(st.floats(-2, 2, width=32), min_size=6, max_size=6))
@examples(1)
def test_distances_are_those_to_the_nearest_point_of_a_piece(numbers):
    """Against a fine sample of the piece."""
    x, y, *ends = (np.full((1, 1, 1), number, dtype=np.float32) for number in numbers)
    share = np.linspace(0, 1, 4001)
    x0, y0, x1, y1 = (float(end[0, 0, 0]) for end in ends)
    sample = np.hypot(x0 + share * (x1 - x0) - numbers[0], y0 + share * (y1 - y0) - numbers[1])
    found = float(_square_distance((x, y), ends[:2], ends[2:])[0, 0, 0]) ** 0.5
    assert found == pytest.approx(sample.min(), abs=2e-3)


def test_digits_lie_in_the_middle_and_fill_their_box():
    images = HANDWRITING.draw(400, image_size=56)[0][:, 0].double() / 255
    axis = (torch.arange(56) + 0.5) / 56 - 0.5
    mass = images.sum(dim=(1, 2))
    for dim in (1, 2):
        centre = (images.sum(dim=dim) * axis).sum(dim=1) / mass
        assert float(centre.abs().max()) < 0.08
    inked = images > 0.5
    extent = torch.stack([inked.any(dim=dim).sum(dim=1) for dim in (1, 2)]).amax(dim=0) / 56
    assert float(extent.min()) > 0.55
    assert float(extent.max()) < 0.82


def test_scenes_have_the_numbers_that_they_need():
    """Exactly as many as are set aside would do; with one less than it needs it fails."""
    numbers = np.random.default_rng(0).random((2, SCENE_WORDS))
    paint(Scene(numbers), 8)
    needed = 53
    assert needed <= SCENE_WORDS
    paint(Scene(numbers[:, :needed]), 8)
    with pytest.raises(StopIteration):
        paint(Scene(numbers[:, : needed - 1]), 8)
