"""The generators of `training.spec.config.GENERATED` by the name of their data set."""

from collections.abc import Callable
from functools import partial

import torch

from training.data import glyphs, leaves

Draw = Callable[..., tuple[torch.Tensor, torch.Tensor]]

_DRAW: dict[str, Draw] = {
    "glyphs": glyphs.draw_glyphs,
    "glyphs-grey": partial(glyphs.draw_glyphs, grey=True),
    "leaves": leaves.draw_leaves,
}


def generator(source: str) -> Draw:
    """What draws a generated data set: `draw(num_images, image_size=, seed=, start=, stream=)`."""
    return _DRAW[source]


def class_names(source: str) -> tuple[str, ...]:
    """The classes of a generated data set, in the order of their labels."""
    return leaves.CLASS_NAMES if source == "leaves" else glyphs.CLASS_NAMES
