"""Images in memory: what training, evaluation and bounds are given."""

import hashlib
import json
from dataclasses import dataclass
from typing import Protocol

import torch

from training.errors import DataError
from training.spec.architectures import NetworkSpec


@dataclass(frozen=True)
class ImageSet:
    """Images with their labels.

    Attributes:
        images: uint8 (N, C, s, s), square.
        labels: int64 (N,), class numbers.

    Raises:
        ValueError: Another type or shape.
    """

    images: torch.Tensor
    labels: torch.Tensor

    def __post_init__(self) -> None:
        images, labels = self.images, self.labels
        if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[2] != images.shape[3]:
            raise ValueError(
                f"images must be uint8 (N, C, s, s), not {images.dtype} {tuple(images.shape)}"
            )
        if labels.dtype != torch.int64 or labels.shape != images.shape[:1]:
            raise ValueError(
                f"labels must be int64 ({len(images)},), not {labels.dtype} {tuple(labels.shape)}"
            )

    def __len__(self) -> int:
        return len(self.labels)

    def to(self, device: torch.device | str) -> "ImageSet":
        """The same images on a device."""
        return ImageSet(self.images.to(device), self.labels.to(device))


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What was understood of a source of images, in words.

    Attributes:
        labels: Where the labels come from, such as "column 'label'".
        train: Which folder or file holds the training images.
        test: Which one holds the test images.
        remarks: Whole sentences: what is a guess, was left out or was converted.
    """

    labels: str
    train: str
    test: str
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Dataset:
    """A data set, whole: all of its training and test images in memory.

    Attributes:
        name: For people; where the images were re-encoded with loss it says so, as in
            "CIFAR-10 (JPEG)".
        train: Training images; a validation split has not been taken out yet.
        test: Test images.
        class_names: One for each class, in the order of the labels.
        fingerprint: `compute_fingerprint` of the two sets.
        reading: What was understood of their source; None if they are generated.
    """

    name: str
    train: ImageSet
    test: ImageSet
    class_names: tuple[str, ...]
    fingerprint: str
    reading: Reading | None = None

    @property
    def image_size(self) -> int:
        """Side s of every image in pixels."""
        return self.train.images.shape[-1]

    @property
    def in_channels(self) -> int:
        """1 for grey images, 3 for colour."""
        return self.train.images.shape[1]

    @property
    def num_classes(self) -> int:
        """Number of classes c."""
        return len(self.class_names)


class NamedImages(Protocol):
    """What says which images it is about: a data set, its record, or that of a certificate."""

    @property
    def name(self) -> str:
        """For people."""

    @property
    def fingerprint(self) -> str:
        """`compute_fingerprint` of the images."""

    @property
    def image_size(self) -> int:
        """Side s in pixels."""

    @property
    def in_channels(self) -> int:
        """Channels."""

    @property
    def num_classes(self) -> int:
        """C."""


def check_same_images(
    found: NamedImages,
    *,
    name: str,
    fingerprint: str,
    owner: str,
    way_out: str = "pass the original data set",
) -> None:
    """Refuse images that are not those that something was made with.

    Args:
        found: The images that are here.
        name: Name of the data set that it was made with, for people.
        fingerprint: Of the images that it was made with.
        owner: What was made with them, such as "the checkpoint".
        way_out: What to do about it.

    Raises:
        DataError: The fingerprints differ.
    """
    if found.fingerprint != fingerprint:
        raise DataError(
            f"these are not the images that {owner} was made with ({name}, fingerprint "
            f"{fingerprint[:12]}), but {found.name} ({found.fingerprint[:12]}); {way_out}"
        )


def check_network(found: NamedImages, spec: NetworkSpec) -> None:
    """Refuse a network for other images.

    Raises:
        DataError: Sizes, channels or classes differ.
    """
    for field in ("image_size", "in_channels", "num_classes"):
        ours, theirs = getattr(found, field), getattr(spec, field)
        if ours != theirs:
            raise DataError(
                f"{found.name} has {field} {ours}, but the network is for {theirs}; pass the "
                "data set that it was trained on"
            )


def compute_fingerprint(train: ImageSet, test: ImageSet) -> str:
    """SHA-256 of shapes, pixels and labels of both sets, as 64 hexadecimal digits.

    It names the very images, whatever file, format or folder they came from, and takes about half
    a second a gigabyte.
    """
    header = {"train": tuple(train.images.shape), "test": tuple(test.images.shape)}
    digest = hashlib.sha256(json.dumps(header, sort_keys=True).encode())
    for images in (train, test):
        digest.update(images.images.cpu().contiguous().numpy().data)
        digest.update(images.labels.cpu().numpy().astype("<i8").data)
    return digest.hexdigest()
