"""What was understood of a data set, in lines for people, and what is strange about it."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from training.data.encoded import first_names
from training.data.image_set import Dataset, ImageSet
from training.system.text import MAX_NAME, printable

NEARLY_CONSTANT = 2.0
"""Standard deviation, in grey levels of 255, below which an image is called nearly constant.

Measured: the least of an image's most varied channel is 8.3 on CIFAR-10 (JPEG), 15.4 on glyphs and
31.8 on MNIST, over all of their 155,000 images.
"""
_PART = 1024


@dataclass(frozen=True, kw_only=True)
class Repeats:
    """Images that are the same, pixel by pixel.

    Attributes:
        train: Training images that repeat an earlier one.
        relabelled: Those of them whose label is another.
        shared: Test images that are training images too.
    """

    train: int
    relabelled: int
    shared: int


def tell_dataset(
    dataset: Dataset, *, num_train: int | None = None, num_test: int | None = None
) -> list[str]:
    """Sentences about a data set: what was understood, then what is strange about it.

    Args:
        dataset: As it was loaded.
        num_train: How many training images were asked for; None for all.
        num_test: Likewise of the test images.
    """
    size = f"{dataset.in_channels}x{dataset.image_size}x{dataset.image_size}"
    train = np.bincount(dataset.train.labels.numpy(), minlength=dataset.num_classes)
    test = np.bincount(dataset.test.labels.numpy(), minlength=dataset.num_classes)
    reading, names = dataset.reading, dataset.class_names
    repeats = find_repeats(dataset)
    unlike = "" if repeats.train else "; no two are equal"
    labels = f"Labels: {reading.labels}; " if reading is not None else ""
    lines = [
        f"{dataset.name}: {len(dataset.train):,} training and {len(dataset.test):,} test images, "
        f"{size}.",
        f"{labels}{len(names):,} classes: {first_names(names)}.",
        f"Training images by class: {_extremes(train, names)}{unlike}.",
    ]
    if reading is not None:
        lines.append(f"Splits: training from {reading.train}, test from {reading.test}.")
        lines += reading.remarks
    lines += _missing(train, names, "training", num_train)
    lines += _missing(test, names, "test", num_test)
    alike = _alike_names(names)
    if alike:
        lines.append(f"Class names differ by case or spaces alone: {first_names(alike)}.")
    lines += _tell_constant(dataset)
    lines += _tell_repeats(dataset, repeats)
    return lines


def repeats_line(num_repeated: int, num_samples: int) -> str:
    """What a bound on so many images must say of those among them that repeat another; "" if none.

    >>> repeats_line(0, 100), repeats_line(3, 2000)[:63]
    ('', '3 of the 2,000 images repeat another one. A bound takes them as')
    """
    if not num_repeated:
        return ""
    return (
        f"{num_repeated:,} of the {num_samples:,} images repeat another one. A bound takes them as "
        "independent draws (i.i.d.): it holds only if the source itself repeats images so."
    )


def count_repeated(images: ImageSet) -> int:
    """How many images equal an earlier one, pixel by pixel, whatever their labels."""
    digests = list(_digests(images))
    return len(digests) - len(set(digests))


def count_shared(images: ImageSet, others: ImageSet) -> int:
    """How many of the others are among the images too, pixel by pixel, whatever their labels."""
    known = set(_digests(images))
    return sum(digest in known for digest in _digests(others))


def find_repeats(dataset: Dataset) -> Repeats:
    """Compare all images of a data set by hash."""
    first: dict[bytes, int] = {}
    repeated = relabelled = 0
    labels = dataset.train.labels.tolist()
    for digest, label in zip(_digests(dataset.train), labels, strict=True):
        known = first.setdefault(digest, label)
        relabelled += known != label
        repeated += 1
    shared = sum(digest in first for digest in _digests(dataset.test))
    return Repeats(train=repeated - len(first), relabelled=relabelled, shared=shared)


def deviations(images: torch.Tensor) -> NDArray[np.float32]:
    """Standard deviation of each image over its pixels, of its most varied channel; (N,).

    >>> deviations(torch.zeros(2, 3, 4, 4, dtype=torch.uint8)).tolist()
    [0.0, 0.0]
    """
    parts = [
        part.flatten(2).float().std(dim=2, correction=0).amax(dim=1).numpy()
        for part in torch.split(images, _PART)
    ]
    return np.concatenate(parts) if parts else np.zeros(0, dtype=np.float32)


def _extremes(counts: NDArray[np.int64], names: Sequence[str]) -> str:
    least, most = int(counts.argmin()), int(counts.argmax())
    if counts[least] == counts[most]:
        return f"{counts[least]:,} of each"
    low, high = printable(names[least], MAX_NAME), printable(names[most], MAX_NAME)
    return f"{counts[least]:,} ({low}) to {counts[most]:,} ({high})"


def _missing(
    counts: NDArray[np.int64], names: Sequence[str], split: str, asked: int | None
) -> Iterator[str]:
    absent = [name for name, count in zip(names, counts, strict=True) if not count]
    if not absent:
        return
    number, there = int(counts.sum()), len(names) - len(absent)
    if asked is not None:
        yield (
            f"The first {number:,} {split} images hold {there:,} of {len(names):,} classes, none "
            f"of {first_names(absent)}: take more, or shuffle the data set."
        )
    else:
        yield (
            f"{len(absent):,} of {len(names):,} classes never occur among the {split} images: "
            f"{first_names(absent)}."
        )


def _alike_names(names: Sequence[str]) -> list[str]:
    seen: dict[str, str] = {}
    alike = []
    for name in names:
        plain = " ".join(name.lower().split())
        if plain in seen:
            alike.append(f"{seen[plain]!r} and {name!r}")
        seen[plain] = name
    return alike


def _tell_constant(dataset: Dataset) -> Iterator[str]:
    for split, images in (("training", dataset.train), ("test", dataset.test)):
        spread = deviations(images.images)
        constant, nearly = int((spread == 0).sum()), int((spread < NEARLY_CONSTANT).sum())
        if nearly:
            which = f", {constant:,} of them wholly" if constant else ""
            yield (
                f"{nearly:,} of {len(images):,} {split} images are constant or nearly so{which} "
                f"(their pixels deviate by less than {NEARLY_CONSTANT:g} of 255)."
            )


def _tell_repeats(dataset: Dataset, repeats: Repeats) -> Iterator[str]:
    if repeats.train:
        other = f", {repeats.relabelled:,} with another label" if repeats.relabelled else ""
        yield (
            f"{repeats.train:,} of {len(dataset.train):,} training images repeat another one"
            f"{other}: bounds take them as independent draws (i.i.d.)."
        )
    if repeats.shared:
        yield (
            f"{repeats.shared:,} of {len(dataset.test):,} test images are training images too: "
            "test errors are not those of unseen images."
        )


def _digests(images: ImageSet) -> Iterator[bytes]:
    for part in torch.split(images.images, _PART):
        for row in part.cpu().contiguous().flatten(1).numpy():
            yield hashlib.blake2b(row, digest_size=16).digest()
