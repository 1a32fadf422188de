"""Statistics that natural images share: `python -m tests.training.data.natural_statistics DATA`.

DATA, one or several, is what `mdl train --data` takes; the first 4,000 test images are measured.
"""

import sys
from dataclasses import dataclass

import numpy as np
import torch

from training.data.loading import load_dataset
from training.spec.config import DataConfig

NUM_IMAGES = 4000


@dataclass(frozen=True, kw_only=True)
class Statistics:
    """What is measured of a set of images.

    Attributes:
        slope: Of log power against log frequency, from 2 periods an image to s/2.
        deviation: Of the pixels of an image around its mean, in grey levels, the mean over images.
        correlation: Of red and green, red and blue, green and blue.
    """

    slope: float
    deviation: float
    correlation: tuple[float, float, float]


def measure(images: torch.Tensor) -> Statistics:
    """Statistics of images, uint8 (N, 3, s, s)."""
    pixels = images.numpy().astype(np.float64)
    grey = pixels.mean(axis=1)
    colour = np.corrcoef(pixels.transpose(1, 0, 2, 3).reshape(3, -1))
    return Statistics(
        slope=power_slope(grey),
        deviation=float(grey.std(axis=(1, 2)).mean()),
        correlation=(float(colour[0, 1]), float(colour[0, 2]), float(colour[1, 2])),
    )


def power_slope(grey: np.ndarray) -> float:
    """Slope of the mean power spectrum of (N, s, s), windowed (Hann), averaged over rings."""
    side = grey.shape[-1]
    window = np.hanning(side + 1)[:side]
    centred = grey - grey.mean(axis=(1, 2), keepdims=True)
    power = (np.abs(np.fft.fft2(centred * np.outer(window, window))) ** 2).mean(axis=0)
    frequency = np.fft.fftfreq(side) * side
    ring = np.round(np.hypot(frequency[:, None], frequency))
    periods = np.arange(2, side // 2 + 1)
    mean = [power[ring == number].mean() for number in periods]
    return float(np.polyfit(np.log(periods), np.log(mean), 1)[0])


def main() -> None:
    """Print a row a data set."""
    print(f"{'data':24}{'slope':>8}{'deviation':>11}  correlation RG, RB, GB")
    for source in sys.argv[1:]:
        dataset = load_dataset(DataConfig(source=source, num_train=100, num_test=NUM_IMAGES))
        found = measure(dataset.test.images)
        correlation = ", ".join(f"{each:.2f}" for each in found.correlation)
        print(f"{dataset.name:24}{found.slope:8.2f}{found.deviation:11.1f}  {correlation}")


if __name__ == "__main__":
    main()
