"""A data set as its source has it: encoded images, labels, and what was understood of it.

Every source gives an `EncodedDataset`, whose labels must meet the rules of `check_labels`.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from training.data.image_set import Reading
from training.errors import DataError
from training.system.text import MAX_NAME, printable

Pixels = NDArray[np.uint8]
"""One image that is stored without a format of images: (h, w) or (h, w, 3)."""

TRAIN, TEST, VALIDATION = "training", "test", "validation"
_SPELLINGS = {
    TRAIN: "train|training|trn",
    TEST: "test|testing|tst|t10k",
    VALIDATION: "validation|validate|valid|val|dev|development|eval|evaluation",
}
_AROUND = "set|sets|split|data|dataset|images?|imgs?|folder|[0-9]{4}"
_NAMES = {
    kind: re.compile(f"(?:partial|{_AROUND})?(?:{spellings})(?:{_AROUND})?")
    for kind, spellings in _SPELLINGS.items()
}
_MAX_REASON = 300
_ENOUGH = 10  # images, of which some would be of one class
MAKE_SPLIT = "testing on training images would say nothing, so make a test split of others"


@dataclass(frozen=True, kw_only=True)
class EncodedSplit:
    """One split of a data set, not decoded yet.

    Attributes:
        files: The content of an image file each (PNG, JPEG, ...), or a path to it, or pixels.
        labels: int64, one a file; not checked yet.
        place: Says where image i comes from, for error messages.
    """

    files: Sequence[bytes | Path | Pixels]
    labels: NDArray[np.int64]
    place: Callable[[int], str]


@dataclass(frozen=True, kw_only=True)
class EncodedDataset:
    """The two splits of a data set, its class names if the source knows them, and its reading."""

    train: EncodedSplit
    test: EncodedSplit
    class_names: tuple[str, ...] | None
    reading: Reading


@dataclass(frozen=True, kw_only=True)
class ChosenSplits:
    """Names of the splits that are taken, as the source spells them, and of those that are not."""

    train: str
    test: str
    unused: tuple[str, ...]

    @property
    def remarks(self) -> tuple[str, ...]:
        """What to say of it."""
        found = [f"Not used: {', '.join(self.unused)}."] if self.unused else []
        if split_of(self.test) == VALIDATION:
            found.append(f"There is no test split: {self.test} is what the test errors are about.")
        for name in (self.train, self.test):
            if name.lower().startswith("partial"):
                found.append(f"{name} is only a part: the hub converts the first 5 GB of a split.")
        return tuple(found)


def split_of(name: str) -> str | None:
    """Which split a folder or file is by its name, in any usual spelling; None if none.

    >>> split_of("Train"), split_of("test_set"), split_of("val2017"), split_of("train_station")
    ('training', 'test', 'validation', None)
    """
    plain = re.sub(r"[\W_]+", "", name.lower())
    return next((kind for kind, pattern in _NAMES.items() if pattern.fullmatch(plain)), None)


def choose_splits(names: Sequence[str], source: str, expected: str, how: str = "") -> ChosenSplits:
    """The training split and what to test on: the test split, or else the validation split.

    Args:
        names: Of the splits that there are.
        source: Name of the data set, for messages.
        expected: The form of both.
        how: How to make a test split; "" where `expected` says enough.

    Raises:
        DataError: One of the two is missing, or there are two spellings of one.
    """
    by_kind: dict[str, list[str]] = {TRAIN: [], TEST: [], VALIDATION: []}
    for name in names:
        kind = split_of(name)
        if kind is not None:
            by_kind[kind].append(name)
    for kind, found in by_kind.items():
        if len(found) > 1:
            raise DataError(
                f"{source} has two {kind} splits, {' and '.join(found)}; keep one of them"
            )
    has = ", ".join(names) or "nothing"
    train = by_kind[TRAIN]
    test = by_kind[TEST] or by_kind[VALIDATION]
    if not train:
        raise DataError(f"{source} has no train split: expected {expected}, found {has}")
    if not test:
        way_out = how or expected
        raise DataError(f"{source} has no test split, only {has}; {MAKE_SPLIT}: {way_out}")
    used = (train[0], test[0])
    unused = tuple(name for name in names if name not in used)
    return ChosenSplits(train=train[0], test=test[0], unused=unused)


def reason_of(error: BaseException) -> str:
    """What another library says of a file, in one line that is not too long."""
    return " ".join(str(error).split())[:_MAX_REASON] or type(error).__name__


def first_names(names: Sequence[str], number: int = 5) -> str:
    """The first few names, with a mark that there are more.

    >>> first_names(["a", "b"]), first_names([str(each) for each in range(10)])
    ('a, b', '0, 1, 2, 3, 4 and 5 more')
    """
    more = f" and {len(names) - number:,} more" if len(names) > number else ""
    return ", ".join(printable(name, MAX_NAME) for name in names[:number]) + more


def ordered_names(names: Sequence[str]) -> tuple[str, ...]:
    """Class names in the order of their numbers: by value if all are numbers, else by spelling.

    >>> ordered_names(["10", "9"]), ordered_names(["dog", "Cat", "10"])
    (('9', '10'), ('10', 'Cat', 'dog'))
    """
    if all(name.isdecimal() for name in names):
        return tuple(sorted(names, key=lambda name: (int(name), name)))
    return tuple(sorted(names))


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
    number = len(dataset.train.labels)
    if number >= _ENOUGH and len(np.unique(dataset.train.labels)) == number:
        raise DataError(
            f"{source}: each of the {number:,} training images is a class of its own, so "
            f"{dataset.reading.labels} can be no classes"
        )
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
