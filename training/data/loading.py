"""The images of a run: found, loaded whole, limited and split."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch

from training.data.cache import DecodedDataset, cache_file, load_cached
from training.data.cifar_source import find_cifar, read_cifar
from training.data.decoding import LOSSY_FORMATS, Seen, decode_split
from training.data.encoded import EncodedDataset, check_labels
from training.data.folder_source import HELD_OUT, NoImageFolderError, find_images
from training.data.generators.generated import generator
from training.data.hub_source import SHORT_NAMES, is_within_reach, parse_hub_name, read_hub
from training.data.idx_source import find_idx, read_idx
from training.data.image_set import Dataset, ImageSet, compute_fingerprint
from training.data.not_read import refuse_if_known
from training.data.npz_source import read_npz
from training.data.parquet_files import find_parquet
from training.data.parquet_source import read_parquet
from training.data.telling import deviations
from training.errors import DataError
from training.spec.config import (
    GENERATED_IMAGE_SIZE,
    GENERATED_NUM_TEST,
    GENERATED_NUM_TRAIN,
    DataConfig,
)
from training.system.memory import check_memory
from training.system.random_streams import Purpose, random_permutation

__all__ = [
    "Dataset",
    "ImageSet",
    "check_within_reach",
    "find_source",
    "load_dataset",
    "split_validation",
]

TITLES = {
    "cifar10": "CIFAR-10",
    "cifar-10-batches-py": "CIFAR-10",
    "cifar100": "CIFAR-100",
    "cifar-100-python": "CIFAR-100",
    "svhn": "SVHN",
    "mnist": "MNIST",
    "fashion_mnist": "Fashion-MNIST",
}


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where encoded images come from.

    Attributes:
        title: Name of the data set for people: that of the folder or of the repository.
        remark: What a reader of results must know beside the title, or "".
        place: The source's identity, under which its decoded images are cached.
        state: Changes whenever the content at `place` may have changed.
        read: Reads the encoded images; raises DataError.
    """

    title: str
    remark: str
    place: str
    state: str
    read: Callable[[], EncodedDataset]


def load_dataset(config: DataConfig, *, cache_dir: Path | None = None) -> Dataset:
    """Load the images that a configuration names.

    `config.source` is "glyphs", "handwriting" or "leaves", which are drawn; a folder of parquet
    files, of class folders of images, of MNIST's idx files or of CIFAR's pickles; a .npz file or
    the folder of one; or a name on the hub ("cifar10", "uoft-cs/cifar100",
    "owner/name:configuration"). Where a folder of that name is there, it goes before the hub;
    ./glyphs is a folder. Decoded images are cached, under
    `source` and the state of its files; a data set of the hub is asked for once.

    The data set's name is that of the folder or the repository, in its usual spelling where it is
    a well-known one; if images are stored in a lossy format, the name says which. The fingerprint
    is that of exactly the images returned: after resizing, after num_train and num_test, before
    the validation split and the permutation.

    Args:
        config: source, label_column, image_size, num_train, num_test and seed are used here.
        cache_dir: Folder for decoded images; None for $MDL_CACHE or ~/.cache/mdl.

    Returns:
        The first num_train and num_test images.

    Raises:
        DataError: The source cannot be found, read or used; the message says why.

    >>> dataset = load_dataset(DataConfig(image_size=8, num_train=100, num_test=10))
    >>> dataset.name, tuple(dataset.train.images.shape)
    ('glyphs', (100, 3, 8, 8))
    """
    if config.is_generated:
        _refuse_label_column(config.label_column, config.source)
        return _draw(config)
    source = find_source(config.source, config.label_column)

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
    if not any(deviations(part).any() for part in torch.split(train.images, 64)):
        hint = next((f" {each}" for each in decoded.reading.remarks if "16-bit pixel" in each), "")
        raise DataError(
            f"{config.source}: each of the {len(train):,} training images is constant, one colour "
            f"in every pixel, so there is nothing to learn.{hint}"
        )
    whole = len(train) == len(decoded.train) and len(test) == len(decoded.test)
    return Dataset(
        name=_name(source, decoded.formats),
        train=train,
        test=test,
        class_names=decoded.class_names,
        fingerprint=decoded.fingerprint if whole else compute_fingerprint(train, test),
        reading=decoded.reading,
    )


def _draw(config: DataConfig) -> Dataset:
    source, size = config.source, config.image_size or GENERATED_IMAGE_SIZE
    num_train = config.num_train or GENERATED_NUM_TRAIN
    num_test = config.num_test or GENERATED_NUM_TEST
    total = num_train + num_test
    check_memory(total * (3 * size**2 + 8), f"drawing {total:,} {source} of {size}x{size}")
    generated = generator(source)
    draw = partial(generated.draw, image_size=size, seed=config.seed)
    train = ImageSet(*draw(num_train, stream="train"))
    test = ImageSet(*draw(num_test, stream="test"))
    return Dataset(source, train, test, generated.class_names, compute_fingerprint(train, test))


def _decode(source: Source, config: DataConfig) -> DecodedDataset:
    """Read, check and decode both splits, and give them the same channels and size."""
    encoded = source.read()
    class_names = check_labels(encoded, config.source)
    train, test = (
        decode_split(split, image_size=config.image_size, source=config.source)
        for split in (encoded.train, encoded.test)
    )
    seen = Seen()
    seen.join(train.seen)
    seen.join(test.seen)
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
        formats=tuple(sorted(seen.formats)),
        fingerprint=compute_fingerprint(*sets),
        reading=replace(
            encoded.reading, remarks=(*encoded.reading.remarks, *seen.remarks(config.image_size))
        ),
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


def find_source(source: str, label_column: str | None = None) -> Source:
    """The source that a user's words mean. An existing folder goes before a name of the hub.

    Args:
        source: A folder, a .npz file or a name on the hub.
        label_column: The column of labels in a table; None for the one that its name says.

    Raises:
        DataError: It is neither a folder nor a possible name, or the folder holds no data set.
    """
    path = Path(source).expanduser()
    if path.is_dir():
        return _folder_source(path.resolve(), label_column)
    if path.is_file() and path.suffix.lower() == ".npz":
        return _files_source(
            path.resolve(), [path.resolve()], partial(read_npz, path), label_column
        )
    if path.exists():
        refuse_if_known(path)
        raise DataError(
            f"{source} is a file; pass the folder of parquet files or images it is in, or an .npz"
        )
    hub_name = parse_hub_name(source)
    if hub_name is None or source.count("/") > 1:
        raise DataError(
            f"no data at {source!r}: expected glyphs, handwriting, leaves, a name ("
            f"{', '.join(SHORT_NAMES)} or owner/name on the hub), or a folder of parquet files or "
            "of class folders of images"
        )
    repository = hub_name.repository.partition("/")[2]
    return Source(
        title=TITLES.get(repository, repository),
        remark="",
        place=_place(f"hub:{hub_name}", label_column),
        state="",  # a cached copy stays: the hub is not asked again
        read=partial(read_hub, hub_name, label_column),
    )


def check_within_reach(config: DataConfig) -> None:
    """Refuse stored images that cannot be had here and now; none is read.

    Raises:
        DataError: As `find_source`, or the hub does not answer and there is no copy.
    """
    source = config.source
    found = find_source(source, config.label_column)
    cached = cache_file(found.place, found.state, config.image_size)
    if cached is not None and cached.is_file():
        return
    hub_name = None if Path(source).expanduser().is_dir() else parse_hub_name(source)
    if hub_name is not None and not is_within_reach(hub_name):
        raise DataError.naming(
            "{}: the hub cannot be reached and this machine has no copy of the data set; give "
            "{source} FOLDER with its parquet files",
            source,
        )


def _folder_source(folder: Path, label_column: str | None) -> Source:
    """What a folder holds: parquet files, else CIFAR's pickles, .npz or idx files, or images."""
    try:
        parquet = find_parquet(folder)
        if parquet is not None:
            read = partial(read_parquet, parquet, label_column)
            source = _files_source(folder, [*parquet.train, *parquet.test], read)
            return replace(source, place=_place(source.place, label_column))
        cifar = find_cifar(folder)
        if cifar is not None:
            source = _files_source(
                cifar.folder, cifar.paths, partial(read_cifar, cifar, label_column)
            )
            return replace(source, place=_place(source.place, label_column))
        arrays = sorted(path for path in folder.glob("*.npz") if not path.name.startswith("."))
        if len(arrays) == 1:
            return _files_source(arrays[0], arrays, partial(read_npz, arrays[0]), label_column)
        if arrays:
            names = ", ".join(path.name for path in arrays)
            raise DataError(f"{folder} holds several .npz files ({names}); pass one of them")
        idx = find_idx(folder)
        if idx is not None:
            return _files_source(folder, idx.paths, partial(read_idx, idx, folder), label_column)
        try:
            images = find_images(folder)
        except NoImageFolderError:
            refuse_if_known(folder)
            raise
        source = _files_source(folder, images.paths, images.read, label_column)
        names = "\n".join(images.class_names)
        remark = "" if images.has_own_split else f"1 in {HELD_OUT} held out as test set"
        return replace(source, remark=remark, state=f"{source.state}\n{names}")
    except OSError as error:
        raise DataError(f"{folder} cannot be read: {error}") from error


def _files_source(
    place: Path,
    paths: Sequence[Path],
    read: Callable[[], EncodedDataset],
    refused_column: str | None = None,
) -> Source:
    """A source on this machine; its state is name, size and time of change of every file.

    Raises:
        DataError: A label column was asked for and the source is no table.
    """
    _refuse_label_column(refused_column, str(place))
    folder = place if place.is_dir() else place.parent
    name = place.stem if place.suffix == ".npz" else place.name
    return Source(
        title=TITLES.get(name, name),
        remark="",
        place=f"folder:{place}",
        state="\n".join(_file_state(path, folder) for path in paths),
        read=read,
    )


def _refuse_label_column(label_column: str | None, source: str) -> None:
    if label_column is not None:
        rule = "{label_column} {} is for tables and CIFAR-100, and {} is neither"
        raise DataError.naming(rule, label_column, source)


def _place(place: str, label_column: str | None) -> str:
    """Under what images are cached; other labels are another entry."""
    return place if label_column is None else f"{place}\n{label_column}"


def _file_state(path: Path, folder: Path) -> str:
    name = path.relative_to(folder)
    try:
        stat = path.stat()
    except OSError:  # a broken link, which is named when it is read
        return f"{name} unreadable"
    return f"{name} {stat.st_size} {stat.st_mtime_ns}"


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
