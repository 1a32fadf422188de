"""Data sets as folders of image files, one folder a class."""

import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from training.data.encoded import (
    MAKE_SPLIT,
    TRAIN,
    EncodedDataset,
    EncodedSplit,
    choose_splits,
    first_names,
    ordered_names,
    split_of,
)
from training.data.image_set import Reading
from training.errors import DataError
from training.system.random_streams import Purpose, random_permutation

IMAGE_SUFFIXES = frozenset(
    {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".ppm", ".pgm", ".tif", ".tiff", ".jp2"}
)
HELD_OUT = 5  # one image in five becomes the test set where the folder has no split
LAYOUT = (
    "expected FOLDER/train/<class>/*.png and FOLDER/test/<class>/*.png, or FOLDER/<class>/*.png"
)
SORT_BY_CLASS = "sort them into a folder a class"
_JUNK = frozenset({"thumbs.db", "desktop.ini", "__macosx", "@eadir", "__pycache__", "$recycle.bin"})
_LIST_SUFFIXES = frozenset({".csv", ".tsv", ".txt", ".json", ".jsonl", ".lst"})
_SYNSET = re.compile(r"n\d{8}")
_NO_CLASS = re.compile(
    r"(images?|imgs?|jpegimages|jpe?gs?|pngs?|labels?|masks?|annotations?|bboxes|"
    r"segmentations?|splits?|lists?|meta|metadata|docs?|scripts?|src|code)|"
    r"(fold|part|batch|shard|chunk|split|subset|session)[-_ ]?\d+",
    re.IGNORECASE,
)
_SPLIT_WORD = re.compile(r"(?<![a-z])(train|test|val)", re.IGNORECASE)


class NoImageFolderError(DataError):
    """A folder that does not look like one of images at all."""


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
        reading: What was understood of it.
    """

    folder: Path
    class_names: tuple[str, ...]
    train: list[tuple[Path, int]]
    test: list[tuple[Path, int]]
    has_own_split: bool
    reading: Reading

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
            reading=self.reading,
        )


@dataclass
class _LeftOut:
    """What lies among the images and is not taken."""

    hidden: Counter[str] = field(default_factory=Counter)  # images, by the folder they lie in
    others: Counter[str] = field(default_factory=Counter)  # files, by their suffix
    links: list[str] = field(default_factory=list)  # to folders

    def note_hidden(self, folder: Path, root: Path) -> None:
        """Count the images in a hidden folder, which lies in the folder of a split."""
        number = sum(map(_is_image, folder.iterdir()))
        if number:
            self.hidden[str(folder.relative_to(root))] += number

    @property
    def remarks(self) -> tuple[str, ...]:
        found = []
        if self.hidden:
            number, places = self.hidden.total(), first_names(sorted(self.hidden))
            found.append(f"Left out: {number:,} images in hidden or system folders ({places}).")
        if self.others:
            number, kinds = self.others.total(), first_names(sorted(self.others))
            found.append(f"Left out: {number:,} files that are not images ({kinds}).")
        if self.links:
            found.append(f"Left out: links to folders ({first_names(self.links)}).")
        return tuple(found)


def find_images(folder: Path) -> ImageFolder:
    """Find root/train/<class>/... and root/test/<class>/... in any usual spelling of the splits.

    A folder without splits is taken as root/<class>/...; one image in five, drawn at random once
    and for all, is then held out as the test set. Classes are numbered in the order of their
    names, by value if all are numbers. Hidden folders and those of operating systems are no part
    of a data set, wherever they lie.

    Only a folder that looks like a data set is walked to the bottom: each of its classes must have
    an image at once or one folder deeper, or be empty.

    Raises:
        NoImageFolderError: No images, or none in class folders.
        DataError: No test folder, classes that differ between train and test, or names that
            contradict this reading.
        OSError: A folder cannot be read.
    """
    names = folders_in(folder)
    splits = [name for name in names if split_of(name) is not None]
    left_out = _LeftOut()
    if splits:
        _refuse_half_split(folder, names, splits)
        half = next((name for name in splits if split_of(name) == TRAIN), "train")
        how = f"move some to test/<class>, or give {folder / half} to have 1 in {HELD_OUT} held out"
        chosen = choose_splits(names, str(folder), LAYOUT, how)
        roots = _inside(folder / chosen.train), _inside(folder / chosen.test)
        classes, tested = (_class_folders(root) for root in roots)
        _check_classes(folder, roots[0], classes)
        extra = sorted(set(tested) - set(classes))
        if extra:
            raise DataError(f"{roots[1]} has classes that {roots[0]} lacks: {first_names(extra)}")
        train, test = (_list_images(root, classes, left_out) for root in roots)
        places, remarks = (f"{chosen.train}/", f"{chosen.test}/"), chosen.remarks
    else:
        classes = _class_folders(folder)
        _refuse_other_splits(folder, classes)
        _check_classes(folder, folder, classes)
        files = _list_images(folder, classes, left_out)
        num_test = len(files) // HELD_OUT
        test, train = files[:num_test], files[num_test:]
        places, remarks = ("images drawn by a fixed seed", f"the other 1 in {HELD_OUT}"), ()
    order = "in numerical order" if all(name.isdecimal() for name in classes) else "in their order"
    if all(map(_SYNSET.fullmatch, classes)):
        remarks += (f"Classes are called by WordNet ids, such as {classes[0]}.",)
    return ImageFolder(
        folder=folder,
        class_names=classes,
        train=train,
        test=test,
        has_own_split=bool(splits),
        reading=Reading(
            labels=f"names of folders, {order}",
            train=places[0],
            test=places[1],
            remarks=(*remarks, *left_out.remarks),
        ),
    )


def is_hidden(name: str) -> bool:
    """Whether a file or folder is not for people: `.x`, `__MACOSX`, `Thumbs.db`, `@eaDir`, ..."""
    return name.startswith(".") or name.lower() in _JUNK


def folders_in(folder: Path) -> tuple[str, ...]:
    """Names of the visible folders, in the order of classes.

    Raises:
        OSError: The folder cannot be read.
    """
    with os.scandir(folder) as entries:  # it knows folders without asking for each entry
        return ordered_names([each.name for each in entries if _is_visible_folder(each)])


def _is_visible_folder(entry: "os.DirEntry[str]") -> bool:
    return not is_hidden(entry.name) and entry.is_dir()


def _inside(root: Path) -> Path:
    """Through folders that repeat the split's name, as training_set/training_set/<class>."""
    names = folders_in(root)
    while len(names) == 1 and split_of(names[0]) == split_of(root.name) is not None:
        root = root / names[0]
        names = folders_in(root)
    return root


def _class_folders(folder: Path) -> tuple[str, ...]:
    names = folders_in(folder)
    if names:
        return names
    if any(map(_is_image, folder.iterdir())):
        raise NoImageFolderError(
            f"{folder} holds images without class folders; {SORT_BY_CLASS} (ImageNet's validation "
            "images: by LOC_val_solution.csv or ILSVRC2012_validation_ground_truth.txt)"
        )
    raise NoImageFolderError(f"{folder} has no folders of images, one a class: {LAYOUT}")


def _refuse_half_split(folder: Path, names: Sequence[str], splits: Sequence[str]) -> None:
    """One folder with the name of a split: a class of that name, one split, or other data."""
    if len({split_of(name) for name in splits}) > 1:
        return
    inside = [
        folder / splits[0],
        *(folder / splits[0] / name for name in folders_in(folder / splits[0])),
    ]
    if not any(map(_has_images, inside)):
        raise NoImageFolderError(f"{folder}: {splits[0]} has no images; {LAYOUT}")
    others = [name for name in names if name not in splits and _has_images(folder / name)]
    if others:
        raise DataError(
            f"{folder} has a folder {splits[0]} beside {first_names(others)}: a split, or a class "
            f"of that name? Rename it if it is a class; {LAYOUT}"
        )


def _refuse_other_splits(folder: Path, names: Sequence[str]) -> None:
    """What speaks of a split that this reader would pass over."""
    if len(names) == 1:
        raise NoImageFolderError(
            f"{folder} has one folder only, {names[0]}: pass {folder / names[0]} if the data set "
            f"is in there; {LAYOUT}"
        )
    if all(map(_SPLIT_WORD.search, names)):
        raise DataError(
            f"{folder}: the folders {first_names(names)} look like splits, not classes; {LAYOUT}"
        )
    lists = sorted(
        path.name
        for path in folder.iterdir()
        if path.suffix.lower() in _LIST_SUFFIXES and split_of(path.stem) is not None
    )
    if lists:
        raise DataError(
            f"{folder}: the lists {first_names(lists)} seem to say which images are for training; "
            "they are not read: move the images to train/<class> and test/<class> as they say, or "
            f"take them away to have 1 in {HELD_OUT} held out at random"
        )


def _check_classes(root: Path, folder: Path, names: tuple[str, ...]) -> None:
    """A short look, so that a folder of anything else is not walked through."""
    strange = [name for name in names if _NO_CLASS.fullmatch(name)]
    if strange:
        raise NoImageFolderError(
            f"{folder}: {first_names(strange)} of {len(names):,} folders look like no classes; "
            f"rename them if they are; {LAYOUT}"
        )
    is_empty = {name: _is_empty(folder / name) for name in names}
    for name in names:
        if not _has_images(folder / name) and (not is_empty[name] or all(is_empty.values())):
            raise NoImageFolderError(
                f"{root} is no data set: it has no parquet files, and no images lie in "
                f"{folder / name} or one folder deeper; {LAYOUT}"
            )
        inner = [each for each in folders_in(folder / name) if split_of(each) is not None]
        if inner:
            raise DataError(
                f"{folder / name} has a folder {inner[0]}: splits inside of classes are not read; "
                f"{MAKE_SPLIT}: {LAYOUT}"
            )


def _is_empty(folder: Path) -> bool:
    return all(is_hidden(path.name) for path in folder.iterdir())


def _has_images(folder: Path) -> bool:
    """Whether an image lies in a folder or in one of the folders in it."""
    return any(map(_is_image, _near_files(folder)))


def _near_files(folder: Path) -> Iterator[Path]:
    """The entries of a folder, then those of the folders in it."""
    folders = []
    for path in folder.iterdir():
        yield path
        if path.is_dir() and not path.is_symlink() and not is_hidden(path.name):
            folders.append(path)
    for each in folders:
        yield from each.iterdir()


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")


def _list_images(
    folder: Path, names: tuple[str, ...], left_out: _LeftOut
) -> list[tuple[Path, int]]:
    """All images below the class folders with their labels, in a fixed random order."""
    for path in folder.iterdir():
        if is_hidden(path.name) and path.is_dir():
            left_out.note_hidden(path, folder)
    found = [
        (path, label)
        for label, name in enumerate(names)
        for path in sorted(_walk(folder / name, left_out))
    ]
    order = random_permutation(0, Purpose.FOLDER_ORDER, len(found))
    return [found[index] for index in order]


def _walk(folder: Path, left_out: _LeftOut) -> Iterator[Path]:
    """The images below a class folder; a folder behind a link is not gone into."""
    for place, folders, files in os.walk(folder):
        here = Path(place)
        for name in folders:
            inner = here / name
            if is_hidden(name):
                left_out.note_hidden(inner, folder.parent)
            elif inner.is_symlink():
                left_out.links.append(str(inner.relative_to(folder.parent)))
        folders[:] = [name for name in folders if not is_hidden(name)]
        for name in files:
            path = here / name
            if _is_image(path):
                yield path
            elif not is_hidden(name):
                left_out.others[path.suffix.lower() or name] += 1


def _to_split(files: list[tuple[Path, int]], folder: Path) -> EncodedSplit:
    paths = [path for path, _ in files]
    return EncodedSplit(
        files=paths,
        labels=np.array([label for _, label in files], dtype=np.int64),
        place=lambda index: str(paths[index].relative_to(folder)),
    )
