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
from numpy.typing import NDArray

from training.data.generators.drawing import (
    DrawBlock,
    Generator,
    Stream,
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


def _block_drawer(image_size: int, seed: int, stream: Stream) -> DrawBlock:
    masks = digit_masks(min(max(image_size, 16), 96))
    scene_purpose, noise_purpose = _PURPOSES[stream]

    def draw_block(first: int, count: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        scene = Scene(uniform_numbers(seed, scene_purpose, first, count, width=SCENE_WORDS))
        noise = pixel_noise(seed, noise_purpose, first, count, image_size)
        return paint(scene, noise, masks, image_size)

    return draw_block


GLYPHS = Generator("glyphs", CLASS_NAMES, 3, _block_drawer)
