"""Data sets as folders of image files, one folder a class."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from training.data.decoding import TEST_SPLITS, EncodedDataset, EncodedSplit
from training.errors import DataError
from training.system.random_streams import Purpose, random_permutation

IMAGE_SUFFIXES = frozenset(
    {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".ppm", ".pgm", ".tif", ".tiff", ".jp2"}
)
HELD_OUT = 5  # one image in five becomes the test set where the folder has no split
LAYOUT = (
    "expected FOLDER/train/<class>/*.png and FOLDER/test/<class>/*.png, or FOLDER/<class>/*.png"
)


@dataclass(frozen=True, kw_only=True)
class ImageFolder:
    """The files of a data set, before any of them is read.

    Attributes:
        folder: Where they lie.
        class_names: One a class.
        train: Files and labels for training, in a fixed random order, so that the first so many
            of them are a fair sample of all classes.
        test: Likewise for the test.
        has_own_split: Whether the folder says itself which images are for training.
    """

    folder: Path
    class_names: tuple[str, ...]
    train: list[tuple[Path, int]]
    test: list[tuple[Path, int]]
    has_own_split: bool

    @property
    def paths(self) -> list[Path]:
        """All files, sorted."""
        return sorted(path for path, _ in self.train + self.test)

    def read(self) -> EncodedDataset:
        """The files as a data set; each is opened only when it is decoded."""
        return EncodedDataset(
            train=_to_split(self.train, self.folder),
            test=_to_split(self.test, self.folder),
            class_names=self.class_names,
        )


def find_images(folder: Path) -> ImageFolder:
    """Find root/train/<class>/... and root/test/<class>/... (or validation, val, valid).

    A folder without train/ is taken as root/<class>/...; one image in five, drawn at random once
    and for all, is then held out as the test set. Classes are numbered in the order of their
    names, by value if all are numbers.

    Only a folder that looks like a data set is walked to the bottom: each of its classes must have
    an image at once or one folder deeper.

    Raises:
        DataError: No images, no test folder, or classes that differ between train and test.
        OSError: A folder cannot be read.
    """
    train_folder = folder / "train"
    has_own_split = train_folder.is_dir()
    if has_own_split:
        test_folder = next(
            (folder / name for name in TEST_SPLITS if (folder / name).is_dir()), None
        )
        if test_folder is None:
            raise DataError(f"{folder} has train/ but no test/ folder: {LAYOUT}")
        names = _class_folders(train_folder)
        extra = sorted(set(_class_folders(test_folder)) - set(names))
        if extra:
            raise DataError(f"{test_folder} has classes that {train_folder} lacks: {extra[0]}")
        _check_classes(folder, train_folder, names)
        train, test = _list_images(train_folder, names), _list_images(test_folder, names)
    else:
        names = _class_folders(folder)
        _check_classes(folder, folder, names)
        files = _list_images(folder, names)
        num_test = len(files) // HELD_OUT
        test, train = files[:num_test], files[num_test:]
    return ImageFolder(
        folder=folder, class_names=names, train=train, test=test, has_own_split=has_own_split
    )


def _class_folders(folder: Path) -> tuple[str, ...]:
    names = [
        path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")
    ]
    if not names:
        raise DataError(f"{folder} has no folders of images, one a class: {LAYOUT}")
    if all(name.isdecimal() for name in names):
        return tuple(sorted(names, key=lambda name: (int(name), name)))
    return tuple(sorted(names))


def _check_classes(root: Path, folder: Path, names: tuple[str, ...]) -> None:
    """A short look, so that a folder of anything else is not walked through."""
    for name in names:
        if not any(map(_is_image, _near_files(folder / name))):
            raise DataError(
                f"{root} is no data set: it has no parquet files, and no images lie in "
                f"{folder / name} or one folder deeper; {LAYOUT}"
            )


def _near_files(folder: Path) -> Iterator[Path]:
    """The entries of a folder, then those of the folders in it."""
    folders = []
    for path in folder.iterdir():
        yield path
        if path.is_dir() and not path.is_symlink():
            folders.append(path)
    for each in folders:
        yield from each.iterdir()


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")


def _list_images(folder: Path, names: tuple[str, ...]) -> list[tuple[Path, int]]:
    """All images below the class folders with their labels, in a fixed random order."""
    found = [
        (path, label)
        for label, name in enumerate(names)
        for path in sorted(filter(_is_image, (folder / name).rglob("*")))
    ]
    order = random_permutation(0, Purpose.FOLDER_ORDER, len(found))
    return [found[index] for index in order]


def _to_split(files: list[tuple[Path, int]], folder: Path) -> EncodedSplit:
    paths = [path for path, _ in files]
    return EncodedSplit(
        files=paths,
        labels=np.array([label for _, label in files], dtype=np.int64),
        place=lambda index: str(paths[index].relative_to(folder)),
    )
