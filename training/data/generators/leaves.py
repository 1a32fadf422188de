"""Generated scenes with the statistics of natural images, labelled, i.i.d. and without end.

One image is an object of one of ten shapes and textures, of random size, place, turn, colours and
light, among dead leaves (occluding random shapes of power-law sizes, in the correlated colours of
one scene, with 1/f textures) and partly behind some. The class is uniform and independent of
everything else but what it draws. They are a source of priors for natural images: nothing in them
was taken from a photograph.

Streams, pieces and blocks are those of `drawing`. Reproducible across machines as the glyphs are:
+, -, ×, ÷, square roots, floor and comparisons of float32 and float64 numbers one by one, which
IEEE 754 rounds exactly, and no file of fonts.
"""

import numpy as np
from numpy.typing import NDArray

from training.data.generators.drawing import (
    DrawBlock,
    Generator,
    Stream,
    pixel_noise,
    symmetric_numbers,
    uniform_numbers,
)
from training.data.generators.leaf_scene import GRAIN_WORDS, SCENE_WORDS, paint
from training.data.generators.leaf_shapes import CLASS_NAMES
from training.data.generators.scene import Scene
from training.system.random_streams import Purpose

_PURPOSES = {
    "train": (Purpose.LEAVES_TRAIN, Purpose.LEAVES_TRAIN_GRAIN, Purpose.LEAVES_TRAIN_NOISE),
    "test": (Purpose.LEAVES_TEST, Purpose.LEAVES_TEST_GRAIN, Purpose.LEAVES_TEST_NOISE),
    "fresh": (Purpose.LEAVES_FRESH, Purpose.LEAVES_FRESH_GRAIN, Purpose.LEAVES_FRESH_NOISE),
}


def _block_drawer(image_size: int, seed: int, stream: Stream) -> DrawBlock:
    scene_purpose, grain_purpose, noise_purpose = _PURPOSES[stream]

    def draw_block(first: int, count: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        scene = Scene(uniform_numbers(seed, scene_purpose, first, count, width=SCENE_WORDS))
        grain = symmetric_numbers(seed, grain_purpose, first, count, words=GRAIN_WORDS)
        noise = pixel_noise(seed, noise_purpose, first, count, image_size)
        return paint(scene, grain, noise, image_size)

    return draw_block


LEAVES = Generator("leaves", CLASS_NAMES, 3, _block_drawer)
