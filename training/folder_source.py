"""Data sets as folders of image files, one folder a class."""

from pathlib import Path

import numpy as np

from training.encoded_images import TEST_SPLITS, EncodedDataset, EncodedSplit
from training.errors import DataError
from training.random_streams import Purpose, random_permutation

IMAGE_SUFFIXES = frozenset(
    {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".ppm", ".pgm", ".tif", ".tiff", ".jp2"}
)
HELD_OUT = 5  # one image in five becomes the test set where the folder has no split
LAYOUT = (
    "expected FOLDER/train/<class>/*.png and FOLDER/test/<class>/*.png, or FOLDER/<class>/*.png"
)


def read_image_folder(folder: Path) -> EncodedDataset:
    """Read root/train/<class>/... and root/test/<class>/... (or validation, val, valid).

    A folder without train/ is taken as root/<class>/...; one image in five, drawn at random once
    and for all, is then held out as the test set (`has_own_split` tells). Classes are numbered
    in the order of their names, by value if all are numbers. Images are put in a fixed random
    order, so that the first so many of them are a fair sample of all classes.

    Raises:
        DataError: No images, no test folder, or classes that differ between train and test.
    """
    if has_own_split(folder):
        train_folder = folder / "train"
        test_folder = next(
            (folder / name for name in TEST_SPLITS if (folder / name).is_dir()), None
        )
        if test_folder is None:
            raise DataError(f"{folder} has train/ but no test/ folder: {LAYOUT}")
        names = _class_folders(train_folder)
        extra = sorted(set(_class_folders(test_folder)) - set(names))
        if extra:
            raise DataError(f"{test_folder} has classes that {train_folder} lacks: {extra[0]}")
        train = _list_images(train_folder, names, every_class=True)
        test = _list_images(test_folder, names, every_class=False)
    else:
        names = _class_folders(folder)
        files = _list_images(folder, names, every_class=True)
        num_test = len(files) // HELD_OUT
        test, train = files[:num_test], files[num_test:]
    return EncodedDataset(
        train=_to_split(train, folder), test=_to_split(test, folder), class_names=names
    )


def has_own_split(folder: Path) -> bool:
    """Whether the folder says itself which images are for training."""
    return (folder / "train").is_dir()


def _class_folders(folder: Path) -> tuple[str, ...]:
    names = [
        path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")
    ]
    if not names:
        raise DataError(f"{folder} has no folders of images, one a class: {LAYOUT}")
    if all(name.isdecimal() for name in names):
        return tuple(sorted(names, key=lambda name: (int(name), name)))
    return tuple(sorted(names))


def _list_images(
    folder: Path, names: tuple[str, ...], *, every_class: bool
) -> list[tuple[Path, int]]:
    """All images below the class folders with their labels, in a fixed random order."""
    found: list[tuple[Path, int]] = []
    for label, name in enumerate(names):
        paths = sorted(
            path
            for path in (folder / name).rglob("*")
            if path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")
        )
        if every_class and not paths:
            raise DataError(f"{folder / name} has no images; {LAYOUT}")
        found.extend((path, label) for path in paths)
    order = random_permutation(0, Purpose.FOLDER_ORDER, len(found))
    return [found[index] for index in order]


def _to_split(files: list[tuple[Path, int]], folder: Path) -> EncodedSplit:
    paths = [path for path, _ in files]
    return EncodedSplit(
        files=paths,
        labels=np.array([label for _, label in files], dtype=np.int64),
        place=lambda index: str(paths[index].relative_to(folder)),
    )
