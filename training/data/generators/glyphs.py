"""The embedded data set: digits in many fonts on busy backgrounds, i.i.d. and without end.

One image is one digit, drawn in a random font under a random affine map and colour on a textured
background, among distractors: parts of other digits that reach in from the border, and strokes.
The digit is uniform on 0-9 and independent of everything else, so neither font nor colour tells
the label. Streams, pieces and blocks are those of `drawing`.

Reproducible across machines: all arithmetic is +, -, ×, ÷, floor and comparisons of float32 and
float64 numbers one by one, which IEEE 754 rounds exactly; there is no sine, no matrix product
and no sum whose order could vary. What could differ is the font files of another version of
Matplotlib (the digits of these fonts have not changed for years; a test pins the pixels).
"""

import numpy as np
import torch
from numpy.typing import NDArray

from training.data.generators.drawing import (
    Stream,
    check_arguments,
    draw_in_blocks,
    pixel_noise,
    uniform_numbers,
)
from training.data.generators.glyph_masks import NUM_DIGITS, digit_masks
from training.data.generators.glyph_scene import SCENE_WORDS, paint
from training.data.generators.scene import Scene
from training.system.random_streams import Purpose

CLASS_NAMES = tuple(str(digit) for digit in range(NUM_DIGITS))

_PURPOSES = {
    "train": (Purpose.GLYPHS_TRAIN, Purpose.GLYPHS_TRAIN_NOISE),
    "test": (Purpose.GLYPHS_TEST, Purpose.GLYPHS_TEST_NOISE),
    "fresh": (Purpose.GLYPHS_FRESH, Purpose.GLYPHS_FRESH_NOISE),
}


def draw_glyphs(
    num_images: int,
    *,
    image_size: int = 32,
    seed: int = 0,
    start: int = 0,
    stream: Stream = "train",
) -> tuple[torch.Tensor, torch.Tensor]:
    """Images start, ..., start + num_images - 1 of a stream, with their labels.

    Args:
        num_images: How many, >= 0.
        image_size: Side in pixels, >= 8. The scenes and labels of a stream do not depend on it.
        seed: In [0, 2^64).
        start: Index of the first image, >= 0.
        stream: "train", "test" or "fresh".

    Returns:
        Images, uint8 (num_images, 3, s, s), and labels, int64 (num_images,) in 0..9.

    Raises:
        ValueError: An argument outside its range.
        DataError: The installed Matplotlib lacks one of the fonts.
    """
    check_arguments(num_images, image_size, start, stream, "glyphs")
    masks = digit_masks(min(max(image_size, 16), 96))
    scene_purpose, noise_purpose = _PURPOSES[stream]

    def draw_block(first: int, count: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        scene = Scene(uniform_numbers(seed, scene_purpose, first, count, width=SCENE_WORDS))
        noise = pixel_noise(seed, noise_purpose, first, count, image_size)
        return paint(scene, noise, masks, image_size)

    return draw_in_blocks(draw_block, num_images, 3, image_size, start=start)
