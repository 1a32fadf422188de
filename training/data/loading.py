"""The images of a run: loaded whole, limited, split, permuted and measured."""

from pathlib import Path

import numpy as np
import torch

from training.data.cache import DecodedDataset, load_cached
from training.data.decoding import LOSSY_FORMATS, decode_split
from training.data.encoded_images import check_labels
from training.data.glyphs import CLASS_NAMES, draw_glyphs
from training.data.image_set import Dataset, ImageSet, compute_fingerprint
from training.data.sources import Source, find_source
from training.errors import DataError
from training.spec.config import DataConfig, Normalize
from training.spec.normalization import Normalization, fixed_normalization
from training.system.random_streams import Purpose, random_permutation

__all__ = [
    "Dataset",
    "ImageSet",
    "load_dataset",
    "measure_normalization",
    "pixel_permutation",
    "split_validation",
]

GLYPHS_IMAGE_SIZE = 32
GLYPHS_NUM_TRAIN = 20_000
GLYPHS_NUM_TEST = 5_000


def load_dataset(config: DataConfig, *, cache_dir: Path | None = None) -> Dataset:
    """Load the images that a configuration names.

    `config.source` is "glyphs"; a folder of parquet files or of class folders of images; or a
    name on the hub ("cifar10", "uoft-cs/cifar100", "owner/name:configuration"). Where a folder
    of that name is there, it goes before the hub; ./glyphs is a folder. Decoded images are
    cached, under `source` and the state of its files; a data set of the hub is asked for once.

    The data set's name is that of the folder or the repository, in its usual spelling where it is
    a well-known one; if images are stored in a lossy format, the name says which. The fingerprint
    is that of exactly the images returned: after resizing, after num_train and num_test, before
    the validation split and the permutation.

    Args:
        config: source, image_size, num_train, num_test and seed are used here.
        cache_dir: Folder for decoded images; None for $MDL_CACHE or ~/.cache/mdl.

    Returns:
        The first num_train and num_test images.

    Raises:
        DataError: The source cannot be found, read or used; the message says why.
    """
    if config.is_generated:
        return _load_glyphs(config)
    source = find_source(config.source)

    def decode() -> DecodedDataset:
        return _decode(source, config)

    decoded = load_cached(
        source.place, source.state, config.image_size, decode, cache_dir=cache_dir
    )
    train = _first(decoded.train, config.num_train, config.source, "training", "num_train")
    test = _first(decoded.test, config.num_test, config.source, "test", "num_test")
    if bool((train.labels == train.labels[0]).all()):
        raise DataError.naming(
            "{}: the {} training images all have label {}; at least 2 classes are needed: raise "
            "{num_train}, or shuffle a data set that is sorted by class",
            config.source,
            len(train),
            int(train.labels[0]),
        )
    whole = len(train) == len(decoded.train) and len(test) == len(decoded.test)
    return Dataset(
        name=_name(source, decoded.formats),
        train=train,
        test=test,
        class_names=decoded.class_names,
        fingerprint=decoded.fingerprint if whole else compute_fingerprint(train, test),
    )


def _load_glyphs(config: DataConfig) -> Dataset:
    size = config.image_size or GLYPHS_IMAGE_SIZE
    train = ImageSet(
        *draw_glyphs(
            config.num_train or GLYPHS_NUM_TRAIN, image_size=size, seed=config.seed, stream="train"
        )
    )
    test = ImageSet(
        *draw_glyphs(
            config.num_test or GLYPHS_NUM_TEST, image_size=size, seed=config.seed, stream="test"
        )
    )
    return Dataset("glyphs", train, test, CLASS_NAMES, compute_fingerprint(train, test))


def _decode(source: Source, config: DataConfig) -> DecodedDataset:
    """Read, check and decode both splits, and give them the same channels and size."""
    encoded = source.read()
    class_names = check_labels(encoded, config.source)
    train, test = (
        decode_split(split, image_size=config.image_size, source=config.source)
        for split in (encoded.train, encoded.test)
    )
    sides = train.images.shape[-1], test.images.shape[-1]
    if sides[0] != sides[1]:
        raise DataError.naming(
            "{0}: training images are {1}x{1} pixels and test images {2}x{2}; give {image_size} to "
            "bring all to one size",
            config.source,
            *sides,
        )
    channels = max(train.images.shape[1], test.images.shape[1])
    sets = [
        ImageSet(
            torch.from_numpy(np.repeat(part.images, channels // part.images.shape[1], axis=1)),
            torch.from_numpy(split.labels),
        )
        for part, split in ((train, encoded.train), (test, encoded.test))
    ]
    return DecodedDataset(
        train=sets[0],
        test=sets[1],
        class_names=class_names,
        formats=tuple(sorted(train.formats | test.formats)),
        fingerprint=compute_fingerprint(*sets),
    )


def _first(images: ImageSet, num: int | None, source: str, split: str, setting: str) -> ImageSet:
    if num is None:
        return images
    if num > len(images):
        rule = f"{{}} has {{}} {{}} images; {{{setting}}} {{}} is too many"
        raise DataError.naming(rule, source, len(images), split, num)
    return ImageSet(images.images[:num], images.labels[:num])


def _name(source: Source, formats: tuple[str, ...]) -> str:
    remarks = [*(name for name in formats if name in LOSSY_FORMATS), source.remark]
    remark = ", ".join(remark for remark in remarks if remark)
    return f"{source.title} ({remark})" if remark else source.title


def split_validation(
    train: ImageSet, num_validation: int, *, seed: int
) -> tuple[ImageSet, ImageSet]:
    """Hold out images for selection, drawn at random without replacement.

    Args:
        train: The training images.
        num_validation: How many to hold out, from 0 to len(train) - 1.
        seed: In [0, 2^64); the same split on every machine.

    Returns:
        What is left for training and the validation images, each in their old order.

    Raises:
        ValueError: A negative number.
        DataError: No image would be left for training.
    """
    if num_validation < 0:
        raise ValueError(f"num_validation must be >= 0, not {num_validation}")
    if num_validation == 0:
        return train, ImageSet(train.images[:0], train.labels[:0])
    if num_validation >= len(train):
        raise DataError.naming(
            "{validation} {} leaves nothing to train on: there are {} training images",
            num_validation,
            len(train),
        )
    order = torch.from_numpy(random_permutation(seed, Purpose.VALIDATION_SPLIT, len(train)))
    held_out = order[:num_validation].sort().values
    kept = order[num_validation:].sort().values
    return (
        ImageSet(train.images[kept], train.labels[kept]),
        ImageSet(train.images[held_out], train.labels[held_out]),
    )


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
