"""The embedded data set: what its scenes tell and what they need."""

import subprocess
import sys

import numpy as np
import pytest
import torch

from training.data.generators.glyph_scene import SCENE_WORDS
from training.data.generators.glyphs import GLYPHS
from training.data.generators.scene import Scene


@pytest.mark.slow
def test_neither_size_nor_colour_tells_the_label():
    small, labels = GLYPHS.draw(4000, image_size=8, seed=3)
    larger, same_labels = GLYPHS.draw(4000, image_size=24, seed=3)
    assert torch.equal(labels, same_labels)
    for images in (small, larger):
        colours = images.float().mean(dim=(2, 3))
        spread = colours.std(dim=0)
        for label in range(10):
            chosen = colours[labels == label]
            shift = (chosen.mean(dim=0) - colours.mean(dim=0)).abs() / spread
            assert float(shift.max()) < 5 / len(chosen) ** 0.5


def test_scenes_use_no_more_numbers_than_set_aside():
    scene = Scene(np.zeros((1, SCENE_WORDS)))
    for _ in range(SCENE_WORDS):
        scene.uniform(0, 1)
    with pytest.raises(StopIteration):
        scene.uniform(0, 1)


@pytest.mark.slow
@pytest.mark.process
def test_drawing_needs_no_display_and_no_pyplot():
    code = (
        "import sys; from training.data.generators.glyphs import GLYPHS; GLYPHS.draw(2);"
        "sys.exit(any(name in sys.modules for name in"
        " ('matplotlib.pyplot', 'matplotlib.font_manager', 'PIL.ImageFont')))"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, timeout=600)
