"""Labelled images as a source holds them, encoded; and the rules every source must meet."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from training.errors import DataError

TEST_SPLITS = ("test", "validation", "val", "valid")
"""Names of a split to test on, the first that exists is taken."""


@dataclass(frozen=True, kw_only=True)
class EncodedSplit:
    """One split of a data set, not decoded yet.

    Attributes:
        files: The content of an image file each (PNG, JPEG, ...), or a path to it.
        labels: int64, one a file; not checked yet.
        place: Says where image i comes from, for error messages.
    """

    files: Sequence[bytes | Path]
    labels: NDArray[np.int64]
    place: Callable[[int], str]


@dataclass(frozen=True, kw_only=True)
class EncodedDataset:
    """The two splits of a data set, and its class names where the source knows them."""

    train: EncodedSplit
    test: EncodedSplit
    class_names: tuple[str, ...] | None


def check_labels(dataset: EncodedDataset, source: str) -> tuple[str, ...]:
    """Hold the labels of both splits against the rules; returns the class names.

    Without names from the source, the classes are "0", "1", ... up to the largest training label.

    Raises:
        DataError: An empty split, a label outside 0..c-1, or fewer than two classes.
    """
    for split_name, split in (("training", dataset.train), ("test", dataset.test)):
        if len(split.labels) == 0:
            raise DataError(f"{source}: the {split_name} split has no images")
        _check_range(split, split_name, source, num_classes=None)
    class_names = dataset.class_names or _number_classes(dataset.train, source)
    for split_name, split in (("training", dataset.train), ("test", dataset.test)):
        _check_range(split, split_name, source, num_classes=len(class_names))
    if len(class_names) < 2:
        raise DataError(f"{source}: there must be at least 2 classes, not {len(class_names)}")
    return class_names


def _number_classes(train: EncodedSplit, source: str) -> tuple[str, ...]:
    num_classes = int(train.labels.max()) + 1
    if num_classes > len(train.labels):
        raise DataError(
            f"{source}: labels must be class numbers 0, 1, ..., but they go up to "
            f"{num_classes - 1} with only {len(train.labels)} training images"
        )
    return tuple(str(index) for index in range(num_classes))


def _check_range(
    split: EncodedSplit, split_name: str, source: str, *, num_classes: int | None
) -> None:
    wrong = split.labels < 0 if num_classes is None else split.labels >= num_classes
    if not wrong.any():
        return
    index = int(wrong.argmax())
    label = int(split.labels[index])
    where = f"{source}: {split.place(index)} of the {split_name} split has label {label}"
    if num_classes is None:
        raise DataError(
            f"{where}; labels must be >= 0 (a hidden test set, whose labels are all -1, cannot "
            "be used: make a test split from labelled images)"
        )
    raise DataError(f"{where}, but there are {num_classes} classes, 0 to {num_classes - 1}")
