"""The shapes of the leaves' classes, against polygons and formulas."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.path import Path as Outline

from tests.examples import examples
from training.data.generators.leaf_shapes import CLASS_NAMES, ShapeAxes, draw_shapes

GRID = 81


def axes_of(first: float = 0.0, second: float = 0.0, bend: float = 0.0) -> ShapeAxes:
    """One image of 81 x 81 points of [-1.6, 1.6]², off every symmetry."""
    line = np.linspace(-1.6, 1.6, GRID, dtype=np.float32) + np.float32(0.003)
    u, v = (part[None] for part in np.meshgrid(line, line * np.float32(0.999)))
    number = np.ones((1, 1, 1), dtype=np.float32)
    return ShapeAxes(u, v, np.full_like(u, bend), number * first, number * second)


def drawn(name: str, axes: ShapeAxes) -> tuple[np.ndarray, np.ndarray]:
    depth, pattern = draw_shapes(np.array([CLASS_NAMES.index(name)]), axes)
    return depth[0], pattern[0]


def regular(number: int, radius: float, *, turn: float) -> np.ndarray:
    angles = 2 * np.pi * np.arange(number) / number + turn
    return radius * np.stack([np.cos(angles), np.sin(angles)], axis=1)


def star_outline() -> np.ndarray:
    """A pentagram with lines at distance 0.33: points and notches, in turn."""
    notch = 0.33 / np.cos(np.pi / 5)
    point = 0.33 / np.cos(2 * np.pi / 5)
    points = np.empty((10, 2))
    points[0::2] = regular(5, point, turn=-np.pi / 2)
    points[1::2] = regular(5, notch, turn=-np.pi / 2 + np.pi / 5)
    return points


TURN = np.array([[0, -1], [1, 0]])  # (x, y) @ TURN is (y, -x)
POLYGONS = {
    "square": 0.82 * np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]),
    "triangle": regular(3, 1.12, turn=np.pi / 2 + np.pi),
    "cross": np.concatenate(
        [
            np.array([[-0.22, 0.98], [0.22, 0.98], [0.22, 0.22]]) @ quarter
            for quarter in (np.eye(2), TURN, TURN @ TURN, TURN @ TURN @ TURN)
        ]
    ),
}


@pytest.mark.parametrize("name", ["square", "triangle", "cross", "star"])
def test_outlines_are_those_of_polygons(name: str) -> None:
    axes = axes_of()
    depth, pattern = drawn(name, axes)
    corners = star_outline() if name == "star" else POLYGONS[name]
    points = np.stack([axes.u.ravel(), axes.v.ravel()], axis=1)
    ups = [corners, corners * [1, -1]] if name in ("star", "triangle") else [corners]
    inside = [Outline(each).contains_points(points).reshape(GRID, GRID) for each in ups]
    sure = np.abs(depth) > 0.01
    assert any((each == (depth > 0))[sure].all() for each in inside)
    assert not pattern.any()


def test_discs_and_rings_are_round() -> None:
    axes = axes_of()
    radius = np.hypot(axes.u[0], axes.v[0])
    np.testing.assert_allclose(drawn("disc", axes)[0], 0.95 - radius, atol=1e-5)
    depth = drawn("ring", axes)[0]
    np.testing.assert_array_equal(depth > 0, (radius > 0.74) & (radius < 1.0))


@pytest.mark.parametrize(("name", "turned"), [("stripes", False), ("checks", True)])
def test_patterns_have_two_colours_in_equal_parts(name: str, turned: bool) -> None:
    depth, pattern = drawn(name, axes_of(first=0.3, second=0.4))
    inside = pattern[depth > 0]
    assert np.abs(inside).max() == 1
    assert abs(float(inside.mean())) < 0.25
    changes = (np.diff(np.sign(pattern), axis=0) != 0).any()
    assert changes == turned  # checks alone change along v


@given(
    name=st.sampled_from(CLASS_NAMES),
    first=st.floats(0, 1, width=32),
    second=st.floats(0, 1, width=32),
    bend=st.floats(-0.5, 0.5, width=32),
)
@examples(0.5)
def test_every_shape_has_a_size(name: str, first: float, second: float, bend: float) -> None:
    """Inside there is something, beyond 1.5 radii nothing, and depth is a depth."""
    axes = axes_of(first, second, bend)
    depth, pattern = drawn(name, axes)
    assert depth.dtype == pattern.dtype == np.float32
    radius = np.hypot(axes.u[0], axes.v[0])
    assert not (depth[radius > 1.5] > 0).any()
    assert 0.01 < float((depth > 0).mean()) < 0.5
    step = 3.2 / (GRID - 1)
    for axis in (0, 1):
        assert float(np.abs(np.diff(depth, axis=axis)).max()) < 1.5 * step
    assert float(np.abs(pattern).max()) <= 1


def test_images_of_several_classes_are_drawn_as_each_alone() -> None:
    one = axes_of(0.2, 0.7, 0.1)
    several = ShapeAxes(*(part.repeat(len(CLASS_NAMES), axis=0) for part in one))
    order = np.random.default_rng(0).permutation(len(CLASS_NAMES))
    depth, pattern = draw_shapes(order, several)
    for row, label in enumerate(order):
        alone = drawn(CLASS_NAMES[label], one)
        np.testing.assert_array_equal(depth[row], alone[0])
        np.testing.assert_array_equal(pattern[row], alone[1])
