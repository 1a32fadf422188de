"""What the scenes of all generated images are made of: random choices, axes, waves and blending.

Positions are in image sides, with (0, 0) in the centre of the image and y downward. Arrays of
B numbers, one an image, have shape (B, 1, 1), so that they combine with (B, s, s) pixels. All
pixel arithmetic is in float32, with operations that IEEE 754 rounds exactly: so it gives the same
pixels on every machine.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.floating[Any]]


class Scene:
    """Hands out the random choices of B images, one column of numbers after another.

    Args:
        numbers: Independent and uniform in [0, 1), (B, number of choices): a row an image.
    """

    def __init__(self, numbers: NDArray[np.float64]) -> None:
        self._columns: Iterator[NDArray[np.float64]] = iter(numbers.T)
        self.num_images = len(numbers)

    def uniform(self, low: float, high: float) -> FloatArray:
        """One number an image in [low, high), (B, 1, 1)."""
        column = low + (high - low) * next(self._columns)
        return column.astype(np.float32)[:, None, None]

    def choice(self, num: int) -> NDArray[np.int64]:
        """One of 0, ..., num - 1 an image, (B, 1, 1)."""
        return np.floor(num * next(self._columns)).astype(np.int64)[:, None, None]

    def sign(self) -> FloatArray:
        """-1 or 1 an image, (B, 1, 1)."""
        return (2 * self.choice(2) - 1).astype(np.float32)

    def colour(self, luminance: FloatArray, chroma: float) -> FloatArray:
        """A colour whose channels average to the luminance, before clipping: (B, 3, 1, 1)."""
        red, green, blue = (self.uniform(-chroma, chroma) for _ in range(3))
        mean = (red + green + blue) / np.float32(3)
        channels = np.stack([red, green, blue], axis=1) - mean[:, None] + luminance[:, None]
        return np.clip(channels, np.float32(0), np.float32(1))

    def rotation(self, max_tilt: float) -> tuple[FloatArray, FloatArray]:
        """Cosine and sine of 2 arctan(t) for t uniform in ±max_tilt, by rational functions of t."""
        tilt = self.uniform(-max_tilt, max_tilt)
        square = tilt * tilt
        return (1 - square) / (1 + square), 2 * tilt / (1 + square)


def axes(size: int) -> tuple[FloatArray, FloatArray]:
    """Positions of the pixels' centres, x (1, 1, s) and y (1, s, 1)."""
    axis = ((np.arange(size, dtype=np.float32) + np.float32(0.5)) / np.float32(size)) - np.float32(
        0.5
    )
    return axis[None, None, :], axis[None, :, None]


def wave(phase: FloatArray) -> FloatArray:
    """A smooth wave in [-1, 1] of period 1, made of two cubics: no sine, which rounds freely.

    Overwrites the phase.
    """
    phase -= np.floor(phase)
    phase *= 2
    phase -= 1
    triangle = np.abs(phase, out=phase)
    triangle *= 2
    triangle -= 1
    cubic = np.float32(1.5) - np.float32(0.5) * triangle * triangle
    cubic *= triangle
    return cubic


def mix(first: FloatArray, second: FloatArray, share: FloatArray | np.float32) -> FloatArray:
    """Move from `first` to `second` by a share in [0, 1]; overwrites `second`."""
    second -= first
    second *= share
    second += first
    return second


def blend(images: FloatArray, coverage: FloatArray, colour: FloatArray) -> None:
    """Lay a colour over the images (B, 3, s, s) where the coverage (B, s, s) says.

    Args:
        images: Changed in place.
        coverage: In [0, 1].
        colour: (B, 3, 1, 1) or (B, 3, s, s).
    """
    change = colour - images
    change *= coverage[:, None]
    images += change


def to_bytes(images: FloatArray, noise: FloatArray) -> NDArray[np.uint8]:
    """Add noise, clip to [0, 1] and round to 0..255; overwrites the images."""
    images += noise
    np.clip(images, np.float32(0), np.float32(1), out=images)
    images *= np.float32(255)
    images += np.float32(0.5)
    return images.astype(np.uint8)
