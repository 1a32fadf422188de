"""The generators of `training.spec.config.GENERATED` by the name of their data set."""

from collections.abc import Callable

import torch

from training.data.generators import glyphs, handwriting, leaves

Draw = Callable[..., tuple[torch.Tensor, torch.Tensor]]

_DRAW: dict[str, Draw] = {
    "glyphs": glyphs.draw_glyphs,
    "handwriting": handwriting.draw_handwriting,
    "leaves": leaves.draw_leaves,
}
_CLASS_NAMES = {
    "glyphs": glyphs.CLASS_NAMES,
    "handwriting": handwriting.CLASS_NAMES,
    "leaves": leaves.CLASS_NAMES,
}


def generator(source: str) -> Draw:
    """What draws a generated data set: `draw(num_images, image_size=, seed=, start=, stream=)`."""
    return _DRAW[source]


def class_names(source: str) -> tuple[str, ...]:
    """The classes of a generated data set, in the order of their labels."""
    return _CLASS_NAMES[source]
