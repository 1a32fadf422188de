"""The embedded data set: digits in many fonts on busy backgrounds, i.i.d. and without end.

One image is one digit, drawn in a random font under a random affine map and colour on a textured
background, among distractors: parts of other digits that reach in from the border, and strokes.
The digit is uniform on 0-9 and independent of everything else, so neither font nor colour tells
the label. Image i of a stream is a function of (seed, stream, image_size, i) alone: any number
of images can be drawn in any pieces, and the streams "train", "test" and "fresh" share no random
number. "fresh" is there to estimate the true error of a network to any precision.

In grey, an image is the digit alone, white on black and bent by smooth waves, without colours,
textures and distractors: what a prior for written digits can be trained on.

Reproducible across machines: all arithmetic is +, -, ×, ÷, floor and comparisons of float32 and
float64 numbers one by one, which IEEE 754 rounds exactly; there is no sine, no matrix product
and no sum whose order could vary. What could differ is the font files of another version of
Matplotlib (the digits of these fonts have not changed for years; a test pins the pixels).
"""

import os
from concurrent.futures import ThreadPoolExecutor
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from training.data.glyph_masks import NUM_DIGITS, digit_masks
from training.data.glyph_scene import SCENE_WORDS, Scene, paint, paint_grey
from training.errors import ConfigError
from training.system.random_streams import Purpose, random_words, to_unit_interval

Stream = Literal["train", "test", "fresh"]
CLASS_NAMES = tuple(str(digit) for digit in range(NUM_DIGITS))
MIN_IMAGE_SIZE = 8

_PURPOSES = {
    "train": (Purpose.GLYPHS_TRAIN, Purpose.GLYPHS_TRAIN_NOISE),
    "test": (Purpose.GLYPHS_TEST, Purpose.GLYPHS_TEST_NOISE),
    "fresh": (Purpose.GLYPHS_FRESH, Purpose.GLYPHS_FRESH_NOISE),
}
_BLOCK_PIXELS = 2**17  # pixels worked on at once: what stays in a core's cache

FloatArray = NDArray[np.float32]


def draw_glyphs(
    num_images: int,
    *,
    image_size: int = 32,
    seed: int = 0,
    start: int = 0,
    stream: Stream = "train",
    grey: bool = False,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Images start, ..., start + num_images - 1 of a stream, with their labels.

    Args:
        num_images: How many, >= 0.
        image_size: Side in pixels, >= 8. The scenes and labels of a stream do not depend on it.
        seed: In [0, 2^64).
        start: Index of the first image, >= 0.
        stream: "train", "test" or "fresh".
        grey: Whether the digits alone are drawn, bent, white on black, in one channel.

    Returns:
        Images, uint8 (num_images, 3 or 1, s, s), and labels, int64 (num_images,) in 0..9.

    Raises:
        ValueError: An argument outside its range.
        DataError: The installed Matplotlib lacks one of the fonts.
    """
    _check_arguments(num_images, image_size, start, stream)
    num_channels = 1 if grey else 3
    images = np.empty((num_images, num_channels, image_size, image_size), dtype=np.uint8)
    labels = np.empty(num_images, dtype=np.int64)
    masks = digit_masks(min(max(image_size, 16), 96))
    block = max(1, _BLOCK_PIXELS // image_size**2)

    def draw_block(first: int) -> None:
        last = min(first + block, num_images)
        part = slice(first, last)
        scene = Scene(_scene_numbers(seed, stream, start + first, last - first))
        if grey:
            images[part], labels[part] = paint_grey(scene, masks, image_size)
            return
        noise = _pixel_noise(seed, stream, start + first, last - first, image_size)
        images[part], labels[part] = paint(scene, noise, masks, image_size)

    with ThreadPoolExecutor(_num_threads()) as pool:
        list(pool.map(draw_block, range(0, num_images, block)))
    return torch.from_numpy(images), torch.from_numpy(labels)


def _check_arguments(num_images: int, image_size: int, start: int, stream: str) -> None:
    if num_images < 0:
        raise ValueError(f"num_images must be >= 0, not {num_images}")
    if image_size < MIN_IMAGE_SIZE:
        raise ConfigError.naming(
            f"{{image_size}} must be >= {MIN_IMAGE_SIZE} for glyphs, not {{}}", image_size
        )
    if start < 0:
        raise ValueError(f"start must be >= 0, not {start}")
    if stream not in _PURPOSES:
        raise ValueError(f"stream must be one of {', '.join(_PURPOSES)}, not {stream!r}")


def _num_threads() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _scene_numbers(seed: int, stream: Stream, start: int, count: int) -> NDArray[np.float64]:
    """Uniform numbers in [0, 1), (count, SCENE_WORDS): row i belongs to image start + i."""
    words = random_words(
        seed, _PURPOSES[stream][0], start=start * SCENE_WORDS, count=count * SCENE_WORDS
    )
    return to_unit_interval(words).reshape(count, SCENE_WORDS)


def _pixel_noise(seed: int, stream: Stream, start: int, count: int, size: int) -> FloatArray:
    """Uniform noise in [-1, 1), (count, 3, s, s): 16 bits a channel of one word a pixel."""
    num_words = size * size
    words = random_words(
        seed, _PURPOSES[stream][1], start=start * num_words, count=count * num_words
    ).reshape(count, size, size)
    noise = np.empty((count, 3, size, size), dtype=np.float32)
    for channel in range(3):
        noise[:, channel] = (words >> np.uint64(16 * channel)).astype(np.uint16)
    noise *= np.float32(2.0**-15)
    noise -= np.float32(1)
    return noise
