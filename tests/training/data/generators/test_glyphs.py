"""The embedded data set: the same pixels everywhere, in any pieces, from streams apart."""

import hashlib
import subprocess
import sys

import numpy as np
import pytest
import torch

from training.data.generators.glyph_scene import SCENE_WORDS
from training.data.generators.glyphs import draw_glyphs
from training.data.generators.scene import Scene

STREAMS = ("train", "test", "fresh")


def digest(images: torch.Tensor, labels: torch.Tensor) -> str:
    return hashlib.sha256(images.numpy().tobytes() + labels.numpy().tobytes()).hexdigest()[:16]


@pytest.mark.sample(3)
@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"image_size": 32, "seed": 0, "stream": "train"}, "02af8cdc938c0bfb"),
        ({"image_size": 28, "seed": 7, "stream": "test"}, "23e623b56d5ee9f5"),
        (
            {"image_size": 100, "seed": 2**64 - 1, "start": 10**15, "stream": "fresh"},
            "5c058f80d89b4ce6",
        ),
    ],
)
def test_the_pixels_never_change(arguments, expected):
    assert digest(*draw_glyphs(300, **arguments)) == expected


def test_shapes_types_and_labels():
    images, labels = draw_glyphs(20_000, image_size=8)
    assert images.shape == (20_000, 3, 8, 8)
    assert images.dtype == torch.uint8
    assert labels.dtype == torch.int64
    counts = labels.bincount(minlength=10)
    assert len(counts) == 10
    assert float(((counts - 2000) ** 2 / 2000).sum()) < 9 + 5 * 18**0.5
    empty, no_labels = draw_glyphs(0)
    assert empty.shape == (0, 3, 32, 32)
    assert no_labels.shape == (0,)


@pytest.mark.slow
def test_neither_size_nor_colour_tells_the_label():
    small, labels = draw_glyphs(4000, image_size=8, seed=3)
    larger, same_labels = draw_glyphs(4000, image_size=24, seed=3)
    assert torch.equal(labels, same_labels)
    for images in (small, larger):
        colours = images.float().mean(dim=(2, 3))
        spread = colours.std(dim=0)
        for label in range(10):
            chosen = colours[labels == label]
            shift = (chosen.mean(dim=0) - colours.mean(dim=0)).abs() / spread
            assert float(shift.max()) < 5 / len(chosen) ** 0.5


@pytest.mark.slow
def test_the_same_scene_at_two_sizes_looks_alike():
    size = 48
    large = draw_glyphs(64, image_size=2 * size)[0].float()
    small = draw_glyphs(64, image_size=size)[0].float()
    shrunk = torch.nn.functional.avg_pool2d(large, 2)
    assert float((shrunk - small).abs().mean()) < 12  # of 255; the noise differs
    correlation = np.corrcoef(shrunk.flatten().numpy(), small.flatten().numpy())[0, 1]
    assert correlation > 0.97


def test_scenes_use_no_more_numbers_than_set_aside():
    scene = Scene(np.zeros((1, SCENE_WORDS)))
    for _ in range(SCENE_WORDS):
        scene.uniform(0, 1)
    with pytest.raises(StopIteration):
        scene.uniform(0, 1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_images": -1}, "num_images must be >= 0, not -1"),
        ({"num_images": 1, "image_size": 7}, "image_size must be >= 8 for glyphs, not 7"),
        ({"num_images": 1, "start": -3}, "start must be >= 0, not -3"),
        ({"num_images": 1, "seed": -1}, "seed must lie in"),
        ({"num_images": 1, "stream": "new"}, "stream must be one of train, test, fresh"),
    ],
)
def test_wrong_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        draw_glyphs(**arguments)


@pytest.mark.slow
@pytest.mark.process
def test_drawing_needs_no_display_and_no_pyplot():
    code = (
        "import sys; from training.data.generators.glyphs import draw_glyphs; draw_glyphs(2);"
        "sys.exit(any(name in sys.modules for name in"
        " ('matplotlib.pyplot', 'matplotlib.font_manager', 'PIL.ImageFont')))"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, timeout=600)
