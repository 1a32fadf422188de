"""MNIST's own files, idx: train-images-idx3-ubyte, t10k-labels-idx1-ubyte.gz and their like."""

import gzip
import math
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

import numpy as np
from numpy.typing import NDArray

from training.data.encoded import EncodedDataset, choose_splits, reason_of
from training.data.image_set import Reading
from training.data.not_read import refuse_pointer
from training.data.npz_source import as_pixels, pixel_split
from training.errors import DataError
from training.system.files import FileBytes
from training.system.memory import check_memory

_NAME = re.compile(r"(?P<set>.*?)[-_.]?(?P<what>images|labels)[-_.]idx[13][-_.]ubyte(\.gz)?", re.I)
_MAGIC_UBYTE = 8  # the third byte: type of the numbers
_CAP = 1 << 40
_EMNIST = "EMNIST stores its images with rows and columns exchanged; they are taken as stored."


@dataclass(frozen=True, kw_only=True)
class IdxFiles:
    """The files of a set, by split as their names spell it.

    Attributes:
        images: Split to its file of images.
        labels: Split to its file of labels.
        is_emnist: Whether their names say that they are EMNIST's.
    """

    images: dict[str, Path]
    labels: dict[str, Path]
    is_emnist: bool

    @property
    def paths(self) -> list[Path]:
        """All of them."""
        return [*self.images.values(), *self.labels.values()]


def find_idx(folder: Path) -> IdxFiles | None:
    """Find idx files in a folder, or in its raw/ as torchvision leaves them; None if none.

    Raises:
        DataError: Files of several sets.
        OSError: The folder cannot be read.
    """
    for place in (folder, folder / "raw", folder / "MNIST" / "raw"):
        sets: dict[str, dict[str, dict[str, Path]]] = {}
        for path in sorted(place.iterdir()) if place.is_dir() else ():
            name = _NAME.fullmatch(path.name)
            if name is None or path.is_dir():
                continue
            title, _, split = name["set"].replace(".", "-").rpartition("-")
            by_kind = sets.setdefault(title, {"images": {}, "labels": {}})
            by_kind[name["what"].lower()].setdefault(split, path)  # t10k-... before t10k-....gz
        if len(sets) > 1:
            raise DataError(
                f"{place} holds idx files of several sets ({', '.join(sorted(sets))}); leave those "
                "of one set in a folder"
            )
        for title, found in sets.items():
            is_emnist = title.lower().startswith("emnist")
            return IdxFiles(images=found["images"], labels=found["labels"], is_emnist=is_emnist)
    return None


def read_idx(files: IdxFiles, folder: Path) -> EncodedDataset:
    """Read the images and labels of both splits.

    Raises:
        DataError: A missing or damaged file.
        OutOfMemoryError: There is no memory for the images.
    """
    expected = (
        "train-images-idx3-ubyte, t10k-images-idx3-ubyte and the files of labels, or their .gz"
    )
    chosen = choose_splits(list(files.images), str(folder), expected)
    splits = []
    for name in (chosen.train, chosen.test):
        if name not in files.labels:
            raise DataError(f"{folder} has no idx file of labels for {name}; expected {expected}")
        images = as_pixels(_read_array(files.images[name], 3), str(files.images[name]))
        labels = _read_array(files.labels[name], 1).astype(np.int64)
        if len(images) != len(labels):
            raise DataError(
                f"{files.labels[name]} holds {len(labels):,} labels for {len(images):,} images"
            )
        splits.append(pixel_split(images, labels, files.images[name].name))
    return EncodedDataset(
        train=splits[0],
        test=splits[1],
        class_names=None,
        reading=Reading(
            labels=f"{files.labels[chosen.train].name}, class numbers",
            train=files.images[chosen.train].name,
            test=files.images[chosen.test].name,
            remarks=(*chosen.remarks, *((_EMNIST,) if files.is_emnist else ())),
        ),
    )


def _read_array(path: Path, num_dims: int) -> NDArray[np.uint8]:
    """The bytes of one file, in the shape that its header states."""
    with FileBytes(path, what="an idx file", cap=_CAP, error=DataError) as source:
        is_packed = source.read(0, min(2, source.num_bytes)) == b"\x1f\x8b"
        source.file.seek(0)
        stream = gzip.GzipFile(fileobj=source.file) if is_packed else source.file
        try:
            return _read_stream(cast("IO[bytes]", stream), path, num_dims)
        except (OSError, EOFError, zlib.error) as error:
            reason = reason_of(error)
            raise DataError(f"{path} is not a readable idx file ({reason})") from error


def _read_stream(stream: IO[bytes], path: Path, num_dims: int) -> NDArray[np.uint8]:
    head = b"".join(_pieces(stream, 4 + 4 * num_dims))
    if len(head) < 4 + 4 * num_dims or head[:4] != bytes((0, 0, _MAGIC_UBYTE, num_dims)):
        refuse_pointer(path)
        raise DataError(f"{path} is not an idx file of bytes in {num_dims} dimensions")
    shape = [int.from_bytes(head[at : at + 4], "big") for at in range(4, len(head), 4)]
    num_bytes = math.prod(shape)
    check_memory(2 * num_bytes, f"{path}: its content")
    content = b"".join(_pieces(stream, num_bytes))
    if len(content) < num_bytes or stream.read(1):
        raise DataError(
            f"{path}: its header stands for {num_bytes:,} bytes, and it holds "
            f"{'fewer' if len(content) < num_bytes else 'more'}; copy it again"
        )
    return np.frombuffer(content, dtype=np.uint8).reshape(shape)


def _pieces(stream: IO[bytes], num_bytes: int) -> Iterator[bytes]:
    """Up to so many bytes, as the stream gives them."""
    while num_bytes and (piece := stream.read(min(num_bytes, 1 << 24))):
        num_bytes -= len(piece)
        yield piece
