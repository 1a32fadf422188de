"""What scenes are made of: choices, rotations, waves and blending."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.data.generators.scene import Scene, axes, blend, mix, to_bytes, wave


def test_pixel_arithmetic_is_in_single_precision():
    scene = Scene(np.random.default_rng(0).random((3, 40)))
    assert scene.uniform(-1, 2).dtype == np.float32
    assert scene.sign().dtype == np.float32
    assert scene.colour(scene.uniform(0, 1), 0.2).dtype == np.float32
    for part in (*scene.rotation(1.0), *axes(9)):
        assert part.dtype == np.float32


@pytest.mark.parametrize(("tilt", "degrees"), [(0.2217, 25), (1.0, 90)])
def test_rotations_are_rotations(tilt: float, degrees: float):
    scene = Scene(np.linspace(0, 1, 1000, endpoint=False)[:, None].repeat(2, axis=1))
    cosine, sine = scene.rotation(tilt)
    np.testing.assert_allclose(cosine**2 + sine**2, 1, atol=1e-6)
    angles = np.degrees(np.arctan2(sine, cosine)).ravel()
    assert angles.min() == pytest.approx(-degrees, abs=0.01)
    assert angles.max() == pytest.approx(degrees, abs=0.2)


def test_the_wave_has_period_one_and_fills_its_range():
    phase = np.linspace(-2, 2, 4001, dtype=np.float32)
    found = wave(phase.copy())
    assert found.min() == -1
    assert found.max() == 1
    np.testing.assert_allclose(found, wave(phase + 1), atol=1e-5)
    np.testing.assert_allclose(found, np.cos(2 * np.pi * phase), atol=0.025)


@given(st.integers(1, 40))
def test_axes_are_the_centres_of_the_pixels(size: int):
    x, y = axes(size)
    np.testing.assert_allclose(x.ravel(), (np.arange(size) + 0.5) / size - 0.5, atol=1e-6)
    np.testing.assert_array_equal(x.ravel(), y.ravel())


def test_blending_covers_as_much_as_it_says():
    images = np.full((1, 3, 1, 3), 0.2, dtype=np.float32)
    colour = np.full((1, 3, 1, 1), 0.6, dtype=np.float32)
    blend(images, np.array([[[0, 0.5, 1]]], dtype=np.float32), colour)
    np.testing.assert_allclose(images[0], np.array([[[0.2, 0.4, 0.6]]] * 3), atol=1e-6)
    share = np.float32(0.25)
    assert mix(np.ones(1, np.float32), np.zeros(1, np.float32), share) == pytest.approx(0.75)


def test_bytes_are_clipped_and_rounded():
    images = np.array([-0.5, 0.0, 0.5, 1.0, 7.0], dtype=np.float32)
    np.testing.assert_array_equal(to_bytes(images, np.zeros_like(images)), [0, 0, 128, 255, 255])
