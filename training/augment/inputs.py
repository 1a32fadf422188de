"""From uint8 images to randomly changed inputs of a network, on the images' own device.

It works in the order of Fast AutoAugment (Lim et al. 2019): the policy, crop and flip,
normalisation, cutout. There is no wait for the device. `training.data.input_map` is for evaluation
and bounds: nothing random.
"""

from functools import lru_cache

import torch

from training.augment.image_policy import apply_policy, is_compiled
from training.augment.image_views import cut_holes, draw_views, gather_views, write_views
from training.data.input_map import check_images, normalize_images
from training.distributed.ranks import BatchPart
from training.spec.config import Augmentation
from training.spec.normalization import Normalization


def augment_images(
    images: torch.Tensor,
    augmentation: Augmentation,
    normalization: Normalization,
    *,
    permutation: torch.Tensor | None = None,
    generator: torch.Generator,
    dtype: torch.dtype = torch.float32,
    part: BatchPart | None = None,
) -> torch.Tensor:
    """Randomly changed inputs for training; the permutation comes last.

    Policy: see `training.augment.image_policy`; what it uncovers is black. Flip: each image is
        mirrored
    left to right with probability 1/2. Crop: black pixels (value 0) are put around it,
    p = `augmentation.crop` on each side, and a window of its own size is cut out at one of
    (2p + 1)² places. Cutout: after normalisation, a square of side k = `augmentation.cutout`
    becomes 0, which is the mean pixel; its centre is uniform over the pixels (rows r - k//2 to
    r - k//2 + k - 1 around row r), so it may stick out of the image. The permutation only relabels
    the positions of the result: it equals permuting the result of a call without it. The same
    images and the same state of the generator give the same result.

    Args:
        images: uint8 (N, C, s, s).
        augmentation: What to do; nothing of it is on by default.
        normalization: One mean and one deviation per channel.
        permutation: int64 (s²,) or None.
        generator: Source of all randomness, on the device of the images.
        dtype: Floating type of the result.
        part: Which part of a batch these images are; None for the whole. Numbers are drawn for the
            whole batch, so that every part gets what it would get there.

    Returns:
        Shape (N, C, s, s), on the device of the images.

    Raises:
        ValueError: Images of another type or shape, a permutation or normalisation for others, or
            a crop or cutout larger than the images allow.
    """
    check_images(images, normalization)
    size = images.shape[-1]
    if permutation is not None and permutation.shape != (size**2,):
        raise ValueError(
            f"permutation must have {size**2} positions, not {tuple(permutation.shape)}"
        )
    _check_augmentation(augmentation, size)
    order = None if permutation is None else permutation.to(images.device)
    if augmentation.chosen_policy is not None:
        images = apply_policy(images, augmentation.chosen_policy, generator=generator, part=part)
    num_drawn = len(images) if part is None else part.num_images
    views = draw_views(num_drawn, size, augmentation, generator=generator)
    views = views if part is None else views.of(part.rows)
    if is_compiled(images):
        return write_views(images, views, _input_values(normalization, dtype), order=order)
    inputs = normalize_images(gather_views(images, views, order=order), normalization, dtype)
    cut_holes(inputs, views, order=order)
    return inputs


@lru_cache(maxsize=8)
def _input_values(normalization: Normalization, dtype: torch.dtype) -> torch.Tensor:
    """The input that each value of each channel becomes, (C, 256)."""
    images = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16)
    images = images.expand(1, normalization.num_channels, 16, 16)
    return normalize_images(images, normalization, dtype).view(-1, 256)


def _check_augmentation(augmentation: Augmentation, size: int) -> None:
    for name in ("crop", "cutout"):
        value = getattr(augmentation, name)
        if value > size:
            raise ValueError(f"{name} must be at most the images' side, {size}, not {value}")
