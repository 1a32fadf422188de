"""From uint8 images to a network's inputs, in batches on the images' own device.

`prepare_images` is for evaluation and bounds: it normalises and permutes, nothing random.
`augment_images` is for training: a random flip and a random crop, both in one gather of bytes,
then normalisation and cutout. There is no loop over images and no wait for the device.
"""

import torch
import torch.nn.functional as F

from training.config import Augmentation
from training.normalization import Normalization


def prepare_images(
    images: torch.Tensor,
    normalization: Normalization,
    *,
    permutation: torch.Tensor | None = None,
    dtype: torch.dtype = torch.float32,
) -> torch.Tensor:
    """Inputs (x / 255 - mean) / std, their pixels permuted.

    It is computed as (x - 255 mean) / (255 std) in float32 (float64 if that is asked for) and
    then rounded to `dtype`: with the fixed constants, x - 127.5 and 63.75 are exact, so an input
    has one rounding only and is the same on every machine.

    Args:
        images: uint8 (N, C, s, s).
        normalization: One mean and one deviation a channel.
        permutation: int64 (s²,) as `training.data.pixel_permutation` makes it, on any device;
            None for none.
        dtype: Floating type of the result.

    Returns:
        Shape (N, C, s, s), on the device of the images.

    Raises:
        ValueError: Images of another type or shape, or a permutation or normalisation for others.
    """
    _check_images(images, normalization, permutation)
    if permutation is not None:
        order = permutation.to(images.device)
        images = images.flatten(2)[:, :, order].reshape(images.shape)
    return _normalize(images, normalization, dtype)


def augment_images(
    images: torch.Tensor,
    augmentation: Augmentation,
    normalization: Normalization,
    *,
    permutation: torch.Tensor | None = None,
    generator: torch.Generator,
    dtype: torch.dtype = torch.float32,
) -> torch.Tensor:
    """Randomly changed inputs for training; the permutation comes last.

    Flip: each image is mirrored left to right with probability 1/2. Crop: black pixels (value 0)
    are put around it, p = `augmentation.crop` on each side, and a window of its own size is cut
    out at one of (2p + 1)² places. Cutout: after normalisation, a square of side k =
    `augmentation.cutout` becomes 0, which is the mean pixel; its centre is uniform over the
    pixels (rows r - k//2 to r - k//2 + k - 1 around row r), so it may stick out of the image. The
    permutation only relabels the positions of the result: it equals permuting the result of a
    call without it. The same images and the same state of the generator give the same result.

    Args:
        images: uint8 (N, C, s, s).
        augmentation: What to do; nothing of it is on by default.
        normalization: One mean and one deviation a channel.
        permutation: int64 (s²,) or None.
        generator: Source of all randomness, on the device of the images.
        dtype: Floating type of the result.

    Returns:
        Shape (N, C, s, s), on the device of the images.

    Raises:
        ValueError: As `prepare_images`, or a crop or cutout larger than the images allow.
    """
    _check_images(images, normalization, permutation)
    size, device = images.shape[-1], images.device
    _check_augmentation(augmentation, size)
    order = None if permutation is None else permutation.to(device)
    if augmentation.flip or augmentation.crop:
        source = _source_positions(len(images), size, augmentation, generator)
        source = source if order is None else source.index_select(1, order)
        padded = F.pad(images, (augmentation.crop,) * 4) if augmentation.crop else images
        index = source[:, None].expand(-1, images.shape[1], -1)
        images = padded.flatten(2).gather(2, index).view(images.shape)
    elif order is not None:
        images = images.flatten(2)[:, :, order].reshape(images.shape)
    inputs = _normalize(images, normalization, dtype)
    if augmentation.cutout:
        hole = _cutout_holes(len(images), size, augmentation.cutout, generator)
        hole = hole if order is None else hole[:, order]
        inputs.flatten(2).masked_fill_(hole[:, None], 0)
    return inputs


def _check_images(
    images: torch.Tensor, normalization: Normalization, permutation: torch.Tensor | None
) -> None:
    if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[2] != images.shape[3]:
        raise ValueError(
            f"images must be uint8 (N, C, s, s), not {images.dtype} {tuple(images.shape)}"
        )
    if len(normalization.mean) != images.shape[1]:
        raise ValueError(
            f"normalization is for {len(normalization.mean)} channels, but the images have "
            f"{images.shape[1]}"
        )
    if permutation is not None and permutation.shape != (images.shape[2] ** 2,):
        raise ValueError(
            f"permutation must have {images.shape[2] ** 2} positions, not "
            f"{tuple(permutation.shape)}"
        )


def _check_augmentation(augmentation: Augmentation, size: int) -> None:
    for name in ("crop", "cutout"):
        value = getattr(augmentation, name)
        if value > size:
            raise ValueError(f"{name} must be at most the images' side, {size}, not {value}")


def _normalize(
    images: torch.Tensor, normalization: Normalization, dtype: torch.dtype
) -> torch.Tensor:
    precise = torch.float64 if dtype == torch.float64 else torch.float32
    inputs = images.to(precise, memory_format=torch.contiguous_format)
    shifts = [255 * mean for mean in normalization.mean]
    # On CUDA a plain number as divisor becomes a product with its reciprocal: two roundings. A
    # tensor filled there is divided by, and nothing waits for a copy.
    scales = [
        torch.full((), 255 * std, dtype=precise, device=inputs.device) for std in normalization.std
    ]
    if len(set(shifts)) == 1 and len(set(normalization.std)) == 1:
        inputs.sub_(shifts[0]).div_(scales[0])
    else:
        for channel, (shift, scale) in enumerate(zip(shifts, scales, strict=True)):
            inputs[:, channel].sub_(shift).div_(scale)
    return inputs.to(dtype)


def _source_positions(
    num: int, size: int, augmentation: Augmentation, generator: torch.Generator
) -> torch.Tensor:
    """Which position of the padded image each place of the result shows, int64 (num, s²)."""
    device, pad = generator.device, augmentation.crop
    rows = columns = torch.arange(size, device=device).expand(num, -1)
    if augmentation.flip:
        flip = torch.rand(num, 1, generator=generator, device=device) < 0.5
        columns = torch.where(flip, size - 1 - columns, columns)
    if pad:
        offset = torch.randint(2 * pad + 1, (2, num, 1), generator=generator, device=device)
        rows, columns = rows + offset[0], columns + offset[1]
    return (rows[:, :, None] * (size + 2 * pad) + columns[:, None, :]).flatten(1)


def _cutout_holes(num: int, size: int, side: int, generator: torch.Generator) -> torch.Tensor:
    """Which places of each image fall into its square, bool (num, s²)."""
    axis = torch.arange(size, device=generator.device)
    centre = torch.randint(size, (2, num, 1), generator=generator, device=generator.device)
    first = centre - side // 2
    inside = (axis >= first) & (axis < first + side)
    holes: torch.Tensor = inside[0][:, :, None] & inside[1][:, None, :]
    return holes.flatten(1)
