"""From encoded images of any kind to one uint8 array: decoded once, never during training.

Every source gives an `EncodedDataset`, whose labels must meet the rules of `check_labels`.
"""

import io
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

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


LOSSY_FORMATS = ("JPEG", "JPEG2000", "WEBP")
_GREY_MODES = ("1", "L", "LA")
_CHUNK = 512  # images decoded into one array
_THREADS_PAY_BYTES = (
    4096  # below this mean file size, decoding is mostly Python, which holds the GIL
)


@dataclass(frozen=True, kw_only=True)
class DecodedSplit:
    """Images as uint8 (N, C, s, s), with C = 1 if all are grey, else 3; and their file formats."""

    images: NDArray[np.uint8]
    formats: frozenset[str]


def decode_split(split: EncodedSplit, *, image_size: int | None, source: str) -> DecodedSplit:
    """Decode a split.

    Grey images (modes 1, L, LA, 16-bit grey) give one channel; all others are converted to RGB,
    transparency dropped; a mixture gives RGB. Photographs are turned upright as their Exif data
    say. With an image size s, the largest centred square of each image is resized to s x s by
    bilinear interpolation, averaging when it shrinks.

    Args:
        split: At least one image.
        image_size: s in pixels; None keeps the images' own side, which must be one for all.
        source: Name of the data set, for messages.

    Returns:
        The images, in the order of the split.

    Raises:
        DataError: An unreadable image, or images that are not square or not of one size.
    """
    starts = range(0, len(split.files), _CHUNK)

    def decode_chunk(start: int) -> tuple[NDArray[np.uint8], set[str]]:
        return _decode_chunk(split, start, image_size, source)

    if _mean_bytes(split) >= _THREADS_PAY_BYTES:
        with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
            chunks = list(pool.map(decode_chunk, starts))
    else:
        chunks = [decode_chunk(start) for start in starts]
    side = chunks[0][0].shape[-1]
    for start, (images, _) in zip(starts, chunks, strict=True):
        if images.shape[-1] != side:
            _refuse_sizes(split, start, source, images.shape[-1], side)
    channels = max(images.shape[1] for images, _ in chunks)
    result = np.empty((len(split.files), channels, side, side), dtype=np.uint8)
    for start, (images, _) in zip(starts, chunks, strict=True):
        result[start : start + len(images)] = images
    return DecodedSplit(images=result, formats=frozenset().union(*(found for _, found in chunks)))


def _mean_bytes(split: EncodedSplit) -> float:
    sample = split.files[:: max(1, len(split.files) // 16)]
    sizes = [
        len(file) if isinstance(file, bytes) else file.stat().st_size
        for file in sample
        if isinstance(file, bytes) or file.is_file()
    ]
    return sum(sizes) / max(1, len(sizes))


def _decode_chunk(
    split: EncodedSplit, start: int, image_size: int | None, source: str
) -> tuple[NDArray[np.uint8], set[str]]:
    pixels: list[NDArray[np.uint8]] = []
    formats: set[str] = set()
    for index in range(start, min(start + _CHUNK, len(split.files))):
        try:
            image, file_format = _decode(split.files[index], image_size)
        except Exception as error:  # Pillow raises many kinds for bad bytes; none of them is ours
            raise DataError(
                f"{source}: {split.place(index)} is not a readable image "
                f"({' '.join(str(error).split()) or type(error).__name__})"
            ) from error
        height, width = image.shape[:2]
        if height != width:
            raise DataError.naming(
                "{}: {} is {}x{} pixels, not square; give {image_size} to cut out the centre "
                "square and resize it",
                source,
                split.place(index),
                width,
                height,
            )
        if pixels and height != len(pixels[0]):
            _refuse_sizes(split, index, source, height, len(pixels[0]))
        pixels.append(image)
        formats.add(file_format)
    if any(image.ndim == 3 for image in pixels):
        pixels = [
            image if image.ndim == 3 else np.repeat(image[:, :, None], 3, axis=2)
            for image in pixels
        ]
        return np.ascontiguousarray(np.stack(pixels).transpose(0, 3, 1, 2)), formats
    return np.stack(pixels)[:, None], formats


def _refuse_sizes(split: EncodedSplit, index: int, source: str, side: int, first: int) -> None:
    raise DataError.naming(
        "{0}: {1} is {2}x{2} pixels and others are {3}x{3}; give {image_size} to bring all to one "
        "size",
        source,
        split.place(index),
        side,
        first,
    )


def _decode(file: bytes | Path, image_size: int | None) -> tuple[NDArray[np.uint8], str]:
    """One image as uint8 (h, w) or (h, w, 3), and the format of its file."""
    content = file if isinstance(file, bytes) else file.read_bytes()
    image: Image.Image = Image.open(io.BytesIO(content))
    file_format = image.format or ""
    if "exif" in image.info:
        image = ImageOps.exif_transpose(image)
    image = _to_grey_or_rgb(image)
    if image_size is not None and image.size != (image_size, image_size):
        width, height = image.size
        side = min(width, height)
        left, top = (width - side) / 2, (height - side) / 2
        image = image.resize(
            (image_size, image_size),
            Image.Resampling.BILINEAR,
            box=(left, top, left + side, top + side),
        )
    return np.asarray(image), "JPEG" if file_format == "MPO" else file_format


def _to_grey_or_rgb(image: Image.Image) -> Image.Image:
    if image.mode in ("L", "RGB"):
        return image
    if image.mode in _GREY_MODES:
        return image.convert("L")
    if image.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.mode in ("I", "F"):
        raise ValueError(f"pixels of mode {image.mode} have no fixed range; save it with 8 bits")
    if image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")
    return image.convert("RGB")
