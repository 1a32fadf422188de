"""The loader that public code uses: Pillow, one image after another. The bench's baseline.

It does what `training.augment.inputs` does, in the same order. `pillow_operation` is also what the
tests hold the batched operations to.
"""

import random

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageEnhance, ImageOps

from training.spec.config import Augmentation
from training.spec.normalization import Normalization
from training.spec.policy import MIRRORED, Policy

Centre = tuple[float, float]
"""Where a Cutout's middle is, in pixels: x and y."""

_ENHANCERS = {
    "Contrast": ImageEnhance.Contrast,
    "Color": ImageEnhance.Color,
    "Brightness": ImageEnhance.Brightness,
    "Sharpness": ImageEnhance.Sharpness,
}
_CUTOUT_COLOUR: dict[str, tuple[int, ...] | int] = {"RGB": (125, 123, 114), "L": 123}


def load_batch(
    images: NDArray[np.uint8],
    augmentation: Augmentation,
    normalization: Normalization,
    *,
    rng: random.Random,
) -> torch.Tensor:
    """Inputs of a network, float32 (N, C, s, s), made image by image.

    Args:
        images: Shape (N, s, s, 3), or (N, s, s) for one channel, as Pillow has them.
        augmentation: What to do.
        normalization: One mean and one deviation a channel.
        rng: Source of all randomness.
    """
    mean, std = (
        torch.tensor(values)[:, None, None] for values in (normalization.mean, normalization.std)
    )
    inputs = []
    for array in images:
        image = Image.fromarray(array)
        if augmentation.chosen_policy is not None:
            image = pillow_policy(image, augmentation.chosen_policy, rng=rng)
        pixels = np.array(_flip_and_crop(image, augmentation, rng), dtype=np.uint8, ndmin=3)
        tensor = torch.from_numpy(pixels)
        tensor = tensor if image.mode == "L" else tensor.permute(2, 0, 1)
        tensor = tensor.to(torch.float32).div_(255).sub_(mean).div_(std)
        if augmentation.cutout:
            _cut_hole(tensor, augmentation.cutout, rng)
        inputs.append(tensor)
    return torch.stack(inputs)


def pillow_policy(image: Image.Image, policy: Policy, *, rng: random.Random) -> Image.Image:
    """An image changed by a policy."""
    for _ in range(policy.rounds):
        for step in rng.choice(policy.subpolicies):
            if rng.random() >= step.probability:
                continue
            turn = step.operation in MIRRORED and rng.random() >= 0.5
            centre = (rng.random() * image.width, rng.random() * image.height)
            magnitude = -step.magnitude if turn else step.magnitude
            image = pillow_operation(image, step.operation, magnitude, centre=centre)
    return image


def pillow_operation(  # noqa: PLR0911
    image: Image.Image, operation: str, magnitude: float, *, centre: Centre = (0.0, 0.0)
) -> Image.Image:
    """An image, "RGB" or "L", after one operation of `training.spec.policy`, by Pillow."""
    match operation:
        case "ShearX":
            return _affine(image, (1, magnitude, 0, 0, 1, 0))
        case "ShearY":
            return _affine(image, (1, 0, 0, magnitude, 1, 0))
        case "TranslateX":
            return _affine(image, (1, 0, magnitude * image.width, 0, 1, 0))
        case "TranslateY":
            return _affine(image, (1, 0, 0, 0, 1, magnitude * image.height))
        case "Rotate":
            return image.rotate(magnitude)
        case "AutoContrast":
            return ImageOps.autocontrast(image)
        case "Invert":
            return ImageOps.invert(image)
        case "Equalize":
            return ImageOps.equalize(image)
        case "Solarize":
            return ImageOps.solarize(image, magnitude)  # type: ignore[arg-type]
        case "Posterize":
            return ImageOps.posterize(image, int(magnitude))
        case "Cutout":
            return _cut_rectangle(image, magnitude * image.width, centre)
        case "Identity":
            return image
    return _ENHANCERS[operation](image).enhance(magnitude)


def _affine(image: Image.Image, matrix: tuple[float, ...]) -> Image.Image:
    return image.transform(image.size, Image.Transform.AFFINE, matrix)


def _cut_rectangle(image: Image.Image, side: float, centre: Centre) -> Image.Image:
    if side <= 0:
        return image
    left, top = (int(max(0.0, middle - side / 2)) for middle in centre)
    corner = (min(image.width, left + side), min(image.height, top + side))
    image = image.copy()
    ImageDraw.Draw(image).rectangle((left, top, *corner), _CUTOUT_COLOUR[image.mode])
    return image


def _flip_and_crop(
    image: Image.Image, augmentation: Augmentation, rng: random.Random
) -> Image.Image:
    if augmentation.crop:
        pad = augmentation.crop
        left, top = rng.randint(0, 2 * pad), rng.randint(0, 2 * pad)
        padded = ImageOps.expand(image, pad)
        image = padded.crop((left, top, left + image.width, top + image.height))
    if augmentation.flip and rng.random() < 0.5:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return image


def _cut_hole(tensor: torch.Tensor, side: int, rng: random.Random) -> None:
    size = tensor.shape[-1]
    top, left = (rng.randrange(size) - side // 2 for _ in range(2))
    tensor[:, max(top, 0) : max(top + side, 0), max(left, 0) : max(left + side, 0)] = 0
