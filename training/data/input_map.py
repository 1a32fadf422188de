"""From uint8 images to a network's inputs: constants and an order of pixels, nothing random."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch

from training.data.image_set import ImageSet
from training.errors import DataError
from training.spec.config import Normalize
from training.spec.normalization import Normalization, fixed_normalization
from training.system.random_streams import Purpose, random_permutation


@dataclass(frozen=True)
class InputMap:
    """What every image is put through before a network: a part of the classifier.

    Attributes:
        normalization: One mean and one deviation a channel.
        permutation_seed: Seed of one fixed permutation of the pixels, in [0, 2^64); None for none.
    """

    normalization: Normalization
    permutation_seed: int | None = None

    def __call__(self, images: torch.Tensor, *, dtype: torch.dtype = torch.float32) -> torch.Tensor:
        """Inputs (x / 255 - mean) / std, their pixels permuted.

        It is computed as (x - 255 mean) / (255 std) in float32 (float64 if that is asked for) and
        then rounded to `dtype`: with the fixed constants, x - 127.5 and 63.75 are exact, so an
        input has one rounding only and is the same on every machine.

        Args:
            images: uint8 (N, C, s, s).
            dtype: Floating type of the result.

        Returns:
            Shape (N, C, s, s), on the device of the images.

        Raises:
            ValueError: Images of another type or shape, or constants for other channels.

        >>> images = torch.tensor([0, 51, 204, 255], dtype=torch.uint8).view(1, 1, 2, 2)
        >>> InputMap(fixed_normalization(1))(images).flatten().round(decimals=1).tolist()
        [-2.0, -1.2000000476837158, 1.2000000476837158, 2.0]
        """
        check_images(images, self.normalization)
        permutation = self.permutation(images.shape[-1], images.device)
        if permutation is not None:
            images = permute_pixels(images, permutation)
        return normalize_images(images, self.normalization, dtype)

    def permutation(
        self, image_size: int, device: torch.device | str = "cpu"
    ) -> torch.Tensor | None:
        """The permutation of images of side s, int64 (s²,), made once a device; None for none."""
        if self.permutation_seed is None:
            return None
        return _kept_permutation(self.permutation_seed, image_size**2, torch.device(device))


def pixel_permutation(seed: int, num_pixels: int) -> torch.Tensor:
    """One uniform permutation of the positions of an image, the same for all of its channels.

    Args:
        seed: In [0, 2^64); the same permutation on every machine.
        num_pixels: s², >= 1.

    Returns:
        int64 (num_pixels,): position j of the new image shows position `permutation[j]` of the
        old one, positions counted row by row.
    """
    if num_pixels < 1:
        raise ValueError(f"num_pixels must be >= 1, not {num_pixels}")
    return torch.from_numpy(random_permutation(seed, Purpose.PIXEL_PERMUTATION, num_pixels))


@lru_cache(maxsize=8)
def _kept_permutation(seed: int, num_pixels: int, device: torch.device) -> torch.Tensor:
    return pixel_permutation(seed, num_pixels).to(device)


def permute_pixels(images: torch.Tensor, order: torch.Tensor) -> torch.Tensor:
    """Place p of the result shows place order[p]."""
    return images.flatten(2)[:, :, order].reshape(images.shape)


def normalize_images(
    images: torch.Tensor, normalization: Normalization, dtype: torch.dtype
) -> torch.Tensor:
    """The inputs of uint8 images (N, C, s, s), as `InputMap` has them, without a permutation."""
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


def check_images(images: torch.Tensor, normalization: Normalization) -> None:
    """Refuse what are not uint8 images of as many channels as there are constants.

    Raises:
        ValueError: Images of another type or shape, or constants for other channels.
    """
    if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[2] != images.shape[3]:
        raise ValueError(
            f"images must be uint8 (N, C, s, s), not {images.dtype} {tuple(images.shape)}"
        )
    if len(normalization.mean) != images.shape[1]:
        raise ValueError(
            f"normalization is for {len(normalization.mean)} channels, but the images have "
            f"{images.shape[1]}"
        )


def measure_normalization(train: ImageSet, normalize: Normalize) -> Normalization:
    """The constants by which pixels are normalised.

    "fixed" is 0.5 and 0.25 for every channel, chosen before the data. "data" is mean and
    (population) standard deviation of each channel over all pixels of the training images: exact
    integer sums, so the same on every machine.

    Raises:
        DataError: "data" and a channel has the same value everywhere.
    """
    num_channels = train.images.shape[1]
    if normalize == "fixed":
        return fixed_normalization(num_channels)
    counts = np.zeros((num_channels, 256), dtype=np.int64)
    for part in torch.split(train.images, 512):
        pixels = part.cpu().numpy()
        for channel in range(num_channels):
            counts[channel] += np.bincount(pixels[:, channel].ravel(), minlength=256)
    values = np.arange(256)
    num = int(counts[0].sum())
    mean, std = [], []
    for channel in range(num_channels):
        total = int(counts[channel] @ values)
        squares = int(counts[channel] @ values**2)
        variance = num * squares - total**2  # times num², an exact integer
        if variance <= 0:
            raise DataError(
                f"channel {channel} has one value in every pixel of the training images, so there "
                "is no deviation to divide by; normalise by the fixed constants"
            )
        mean.append(total / (255 * num))
        std.append(variance**0.5 / (255 * num))
    return Normalization(mean=tuple(mean), std=tuple(std), source="data")
