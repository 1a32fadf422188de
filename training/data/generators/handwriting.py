"""Generated digits as if written by hand: one pen, many styles, white on black, without end.

One image is one digit, uniform on 0-9: one of its styles, its control points moved, written
slanted, narrow or wide, turned, thin or thick, and placed as scans of single digits usually are,
as large as a box of about 5/7 of the image with the centre of the ink in the middle. They are a
source of priors for written digits. The styles and the ranges were written down, not measured;
they were revised after a look at which of MNIST's *test* images a network of them takes for others.
Its training images had no part in them, but that the errors of earlier styles on them were known.

Streams, pieces and blocks are those of `drawing`. Reproducible across machines as the leaves are:
+, -, ×, ÷, square roots and comparisons of numbers one by one, in a fixed order.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from training.data.generators.drawing import DrawBlock, Generator, Stream, uniform_numbers
from training.data.generators.pen_strokes import NUM_POINTS, NUM_SEGMENTS, STYLES, skeletons
from training.data.generators.scene import FloatArray, Scene, axes, wave
from training.system.random_streams import Purpose

CLASS_NAMES = tuple(str(digit) for digit in range(len(STYLES)))
SCENE_WORDS = 64  # random numbers set aside for one image's scene, a multiple of 4
JITTER = 0.06  # of a control point in x and in y, in heights of the digit
MAX_BEND = 0.025  # of one wave, in image sides

Points = tuple[FloatArray, FloatArray]  # x and y; of strokes (B, straight pieces, their two ends)

_PURPOSES = {
    "train": Purpose.HANDWRITING_TRAIN,
    "test": Purpose.HANDWRITING_TEST,
    "fresh": Purpose.HANDWRITING_FRESH,
}


def _block_drawer(image_size: int, seed: int, stream: Stream) -> DrawBlock:
    def draw_block(first: int, count: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        numbers = uniform_numbers(seed, _PURPOSES[stream], first, count, width=SCENE_WORDS)
        return paint(Scene(numbers), image_size)

    return draw_block


HANDWRITING = Generator("handwriting", CLASS_NAMES, 1, _block_drawer)


def paint(scene: Scene, size: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Draw a block of images (B, 1, s, s), with labels (B,)."""
    label = scene.choice(len(STYLES))[:, 0, 0]
    strokes = _write(scene, label)
    radius = scene.uniform(0.02, 0.08)
    strokes = _place(scene, strokes, radius)
    x, y = axes(size)
    x, y = x + _bend(scene, x, y), y + _bend(scene, x, y)
    distance = np.full((scene.num_images, size, size), np.float32(4))
    for piece in range(NUM_SEGMENTS):
        first, last = ([part[:, piece, end, None, None] for part in strokes] for end in (0, 1))
        np.minimum(distance, _square_distance((x, y), first, last), out=distance)
    np.sqrt(distance, out=distance)
    sharpness = scene.uniform(0.7, 1.6) * np.float32(size)
    ink = (radius - distance) * sharpness + np.float32(0.5)
    np.clip(ink, np.float32(0), np.float32(1), out=ink)
    ink *= np.float32(255)
    ink += np.float32(0.5)
    return ink.astype(np.uint8)[:, None], label


def _write(scene: Scene, label: NDArray[np.int64]) -> Points:
    """The straight pieces of each image's digit in one of its styles, its control points moved."""
    known = skeletons()
    number = known.number[label]
    chosen = np.floor(scene.uniform(0, 1)[:, 0, 0] * number).astype(np.int64)
    style = known.first[label] + np.minimum(chosen, number - 1)
    points, weights = known.points[style, :, :, None, None], known.weights[style]
    x, y = (np.zeros(weights.shape[:-1], dtype=np.float32) for _ in range(2))
    for point in range(NUM_POINTS):
        x += weights[..., point] * (points[:, point, 0] + scene.uniform(-JITTER, JITTER))
        y += weights[..., point] * (points[:, point, 1] + scene.uniform(-JITTER, JITTER))
    return x, y


def _place(scene: Scene, strokes: Points, radius: FloatArray) -> Points:
    """Slant, stretch and turn the pieces, and bring them to their size and place in the image."""
    x, y = strokes
    stretch, slant = scene.uniform(0.65, 1.4), scene.uniform(-0.2, 0.7)
    cosine, sine = scene.rotation(0.1)
    sag, taper, bow = (scene.uniform(-most, most) for most in (0.5, 0.6, 0.4))
    belly = y * (1 - y)
    x = (x - np.float32(0.3)) * (1 + taper * (y - np.float32(0.5))) + bow * belly
    y = y + sag * belly
    x = stretch * x - slant * y
    x, y = cosine * x - sine * y, sine * x + cosine * y
    scale = (scene.uniform(0.66, 0.74) - 2 * radius) / np.maximum(_extent(x), _extent(y))
    across, down = x[..., 1] - x[..., 0], y[..., 1] - y[..., 0]
    length = np.sqrt(across * across + down * down)
    ink = 2 * _sum(length)
    x, y = (
        scale * (part - _sum(length * (part[..., 0] + part[..., 1])) / ink)
        + scene.uniform(-0.02, 0.02)
        for part in (x, y)
    )
    return x, y


def _extent(values: FloatArray) -> FloatArray:
    """From the least to the largest of an image's values, (B, 1, 1)."""
    extent: FloatArray = values.max((1, 2), keepdims=True) - values.min((1, 2), keepdims=True)
    return extent


def _sum(values: FloatArray) -> FloatArray:
    """Sums of the rows from left to right, (B, 1, 1)."""
    total = np.zeros(len(values), dtype=np.float32)
    for column in values.T:
        total += column
    return total[:, None, None]


def _bend(scene: Scene, x: FloatArray, y: FloatArray) -> FloatArray:
    """How far a smooth wave moves each pixel along one axis, (B, s, s)."""
    phase = scene.uniform(-2, 2) * x + (scene.uniform(-2, 2) * y + scene.uniform(0, 1))
    return scene.uniform(-MAX_BEND, MAX_BEND) * wave(phase)


def _square_distance(
    pixels: Points, first: Sequence[FloatArray], last: Sequence[FloatArray]
) -> FloatArray:
    """From each pixel (B, s, s) to the straight piece between two points (B, 1, 1), squared."""
    x, y = (pixel - place for pixel, place in zip(pixels, first, strict=True))
    dx, dy = (end - begin for begin, end in zip(first, last, strict=True))
    square = np.maximum(dx * dx + dy * dy, np.float32(1e-12))
    share = x * (dx / square)
    share += y * (dy / square)
    np.clip(share, np.float32(0), np.float32(1), out=share)
    x -= share * dx
    y -= share * dy
    x *= x
    y *= y
    x += y
    return x
