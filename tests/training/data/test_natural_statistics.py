"""Leaves have about the spectrum and the colours of natural images."""

from pathlib import Path

import numpy as np
import pytest

from tests.training.data.natural_statistics import measure, power_slope
from training.data.generators.leaves import LEAVES
from training.data.loading import load_dataset
from training.spec.config import DataConfig


def test_the_slope_is_that_of_noise_with_a_known_spectrum() -> None:
    generator = np.random.default_rng(0)
    side = 32
    frequency = np.fft.fftfreq(side)
    distance = np.maximum(np.hypot(frequency[:, None], frequency), 1 / side)
    for slope in (0.0, -2.0, -3.0):
        spectrum = np.fft.fft2(generator.standard_normal((2000, side, side)))
        shaped = np.fft.ifft2(spectrum * distance ** (slope / 2)).real
        assert power_slope(shaped) == pytest.approx(slope, abs=0.3)


@pytest.mark.parametrize("seed", [0, 1])
def test_leaves_are_like_natural_images(seed: int) -> None:
    """Power falls about as f^-3 at 32 pixels, and colours are more light than hue."""
    found = measure(LEAVES.draw(1500, seed=seed, stream="test")[0])
    assert -3.4 < found.slope < -3.0
    assert 38 < found.deviation < 52
    for correlation, natural in zip(found.correlation, (0.92, 0.80, 0.91), strict=True):
        assert correlation == pytest.approx(natural, abs=0.06)


@pytest.mark.slow
@pytest.mark.real_data
def test_leaves_are_like_cifar10(shared_data: Path) -> None:
    data = DataConfig(source=str(shared_data / "cifar10"), num_train=100, num_test=2000)
    natural = measure(load_dataset(data).test.images)
    found = measure(LEAVES.draw(2000)[0])
    assert found.slope == pytest.approx(natural.slope, abs=0.2)
    assert found.deviation == pytest.approx(natural.deviation, rel=0.2)
    assert found.correlation == pytest.approx(natural.correlation, abs=0.06)
