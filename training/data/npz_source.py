"""Data sets in one .npz file: MedMNIST's names of arrays, Keras' and those like them."""

import math
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from training.data.encoded import (
    EncodedDataset,
    EncodedSplit,
    choose_splits,
    first_names,
    reason_of,
)
from training.data.image_set import Reading
from training.data.not_read import refuse_pointer
from training.errors import DataError
from training.system.files import FileBytes
from training.system.memory import check_memory

EXPECTED = "arrays train_images, train_labels, test_images and test_labels"
UNREADABLE = (zipfile.BadZipFile, zlib.error, EOFError, ValueError, OSError, RuntimeError)
"""What reading an archive raises; the last where it is encrypted, or packed in an unknown way."""
_CAP = 1 << 40
_IMAGES = ("images", "image", "x", "data", "imgs")
_LABELS = ("labels", "label", "y", "targets", "target")
_MAX_HEADER = 10_000  # bytes of an array's own header, as NumPy has it
_CHANNELS = (1, 3)


def read_npz(path: Path) -> EncodedDataset:
    """Read a file whose arrays are called train_images, train_labels, test_images and so on.

    A split and what it holds may be spelled in other ways and orders: x_train, y_test, val_data.
    Images are uint8 (N, h, w) or (N, h, w, 1 or 3); labels are integers (N,) or (N, 1).

    Raises:
        DataError: It cannot be read, or holds other arrays; the message names the array.
        OutOfMemoryError: There is no memory for the arrays.
    """
    with FileBytes(path, what="a .npz file", cap=_CAP, error=DataError) as source:
        try:
            with zipfile.ZipFile(source.file) as archive:
                return _read(archive, path)
        except UNREADABLE as error:
            if isinstance(error, DataError):
                raise
            refuse_pointer(path)
            reason = reason_of(error)
            raise DataError(f"{path} is not a readable .npz file ({reason})") from error


def _read(archive: zipfile.ZipFile, path: Path) -> EncodedDataset:
    names = {name.removesuffix(".npy"): name for name in archive.namelist()}
    images, labels = _by_split(names, _IMAGES), _by_split(names, _LABELS)
    has = first_names(list(names), 12) or "nothing"
    if not images:
        raise DataError(
            f"{path} has no arrays of images by split: expected {EXPECTED}, found {has}"
        )
    chosen = choose_splits(list(images), str(path), f"expected {EXPECTED}")
    splits = []
    for split in (chosen.train, chosen.test):
        if split not in labels:
            raise DataError(
                f"{path} has no labels for {images[split]}: expected {EXPECTED}, found {has}"
            )
        pixels = read_array(archive, names[images[split]], f"{path}: {names[images[split]]}")
        numbers = read_array(archive, names[labels[split]], f"{path}: {names[labels[split]]}")
        files = as_pixels(pixels, f"{path}: {images[split]}")
        found = _as_labels(numbers, len(files), f"{path}: {labels[split]}")
        splits.append(pixel_split(files, found, images[split]))
    return EncodedDataset(
        train=splits[0],
        test=splits[1],
        class_names=None,
        reading=Reading(
            labels=f"{labels[chosen.train]}, class numbers",
            train=images[chosen.train],
            test=images[chosen.test],
            remarks=chosen.remarks,
        ),
    )


def _by_split(names: Iterable[str], kinds: tuple[str, ...]) -> dict[str, str]:
    """Arrays of a kind by their split: "train" to "train_images" or "x_train"."""
    found = {}
    for name in names:
        words = name.lower().replace("-", "_").split("_")
        rest = [word for word in words if word not in kinds]
        if len(rest) == len(words) - 1 and rest:
            found["_".join(rest)] = name
    return found


def read_array(archive: zipfile.ZipFile, name: str, what: str) -> NDArray[Any]:
    """One array, once its header says that it is plain and as large as its place in the file.

    Args:
        archive: An open npz file.
        name: Of the array in it, with .npy.
        what: Names the array, for messages.

    Raises:
        DataError: The array is cut short, or holds Python objects.
        OutOfMemoryError: There is no memory for it.
        ValueError: Its header is damaged, or it is packed in a way that NumPy does not use; or what
            `zipfile` raises.
    """
    if archive.getinfo(name).compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError("an array is packed in a way that NumPy does not use")
    with archive.open(name) as stream:
        shape, dtype, in_columns = _read_header(stream)
        num_bytes = math.prod(shape) * dtype.itemsize
        if num_bytes > archive.getinfo(name).file_size:
            raise DataError(f"{what} is cut short; copy the file again")
        check_memory(2 * num_bytes, what)
        if dtype.hasobject:
            raise DataError(f"{what} holds Python objects, which are not read")
        # Only as much as the header stands for is unpacked.
        content = bytearray(num_bytes)
        view, done = memoryview(content), 0
        while done < num_bytes:
            count = stream.readinto(view[done : done + (1 << 24)])  # type: ignore[attr-defined]
            if not count:
                raise DataError(f"{what} is cut short; copy the file again")
            done += count
        stream.read(1)  # at the end of the array its checksum is compared
    array = np.frombuffer(content, dtype=dtype)
    return array.reshape(shape, order="F" if in_columns else "C")


def _read_header(stream: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[Any], bool]:
    try:
        version = np.lib.format.read_magic(stream)
        if version == (1, 0):
            shape, in_columns, dtype = np.lib.format.read_array_header_1_0(stream, _MAX_HEADER)
        else:
            shape, in_columns, dtype = np.lib.format.read_array_header_2_0(stream, _MAX_HEADER)
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError):
        raise
    except Exception as error:  # NumPy raises whatever its reader of Python trips over
        raise ValueError("the header of an array is damaged") from error
    if min(shape, default=0) < 0:
        raise ValueError("the header of an array is damaged")
    return shape, dtype, in_columns


def as_pixels(images: NDArray[Any], what: str) -> NDArray[np.uint8]:
    """Images as uint8 (N, h, w) or (N, h, w, 3).

    Args:
        images: uint8 (N, h, w), (N, h, w, 1 or 3) or (N, 1 or 3, h, w).
        what: Names the array, for messages.

    Raises:
        DataError: Another type or shape.
    """
    shape = "x".join(map(str, images.shape))
    if images.dtype != np.uint8:
        raise DataError(
            f"{what} holds {images.dtype}, but pixels are uint8, 0 to 255; scale them to that and "
            "store np.uint8"
        )
    if images.ndim == 4 and images.shape[3] not in _CHANNELS and images.shape[1] in _CHANNELS:
        images = images.transpose(0, 2, 3, 1)
    if images.ndim == 4 and images.shape[3] in _CHANNELS:
        images = images[..., 0] if images.shape[3] == 1 else images
    elif images.ndim != 3:
        raise DataError(
            f"{what} is of shape {shape}, not images (N, h, w) or (N, h, w, 3); no volumes are read"
        )
    return np.ascontiguousarray(images)


def _as_labels(labels: NDArray[Any], num_images: int, what: str) -> NDArray[np.int64]:
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim == 0:
        raise DataError(f"{what} holds one number alone; an image must have one label")
    if labels.ndim != 1:
        raise DataError(
            f"{what} holds {labels.shape[-1]} labels an image (shape "
            f"{'x'.join(map(str, labels.shape))}); an image must have one label"
        )
    if len(labels) != num_images:
        raise DataError(f"{what} holds {len(labels):,} labels for {num_images:,} images")
    if labels.dtype.kind not in "iub":
        raise DataError(f"{what} holds {labels.dtype}; labels are class numbers, integers")
    return labels.astype(np.int64)


def pixel_split(files: NDArray[np.uint8], labels: NDArray[np.int64], name: str) -> EncodedSplit:
    """A split of bare pixels."""
    return EncodedSplit(files=files, labels=labels, place=lambda index: f"image {index} of {name}")  # type: ignore[arg-type]
