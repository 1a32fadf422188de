"""From encoded images of any kind to one uint8 array: decoded once, never during training."""

import io
import os
import warnings
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from training.data.encoded import EncodedSplit, Pixels, reason_of
from training.data.not_read import refuse_pointer
from training.errors import DataError
from training.system.files import FileBytes
from training.system.memory import check_memory, format_bytes

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF", "PPM", "JPEG2000")
"""All that Pillow may open here: it decodes these itself, by no outside program."""
LOSSY_FORMATS = ("JPEG", "JPEG2000", "WEBP")
_GREY_MODES = ("1", "L", "LA")
_MANY_FRAMES = ("GIF", "TIFF", "WEBP", "PNG")
_CHUNK = 512  # images decoded into one array
_THREADS_PAY_BYTES = (
    4096  # below this mean file size, decoding is mostly Python, which holds the GIL
)
_MAX_FILE_BYTES = 1 << 28
_MAX_PIXELS = 1 << 26  # of one image
_FREE_BYTES = 1 << 30  # that all images of a set may unpack to, however small their files are
_MAX_RATIO = 200  # beyond that, of unpacked bytes to those of the files: photographs have 5 to 50

_KINDS = {
    "transparent": "with transparency, which is dropped",
    "16-bit": "of 16 bits, of which the upper 8 are kept",
    "palette": "with a palette, read as RGB",
    "frames": "of several frames, of which the first is read",
    "mode": "in another colour space, converted to RGB",
}


@dataclass(kw_only=True)
class Seen:
    """What a split's images are like, gathered while they are decoded.

    Attributes:
        formats: Formats of the files: "PNG", "JPEG", ...; none where pixels are stored bare.
        kinds: How many images are of each kind of `_KINDS`.
        sizes: Smallest and largest image, as (pixels, width, height); None before the first.
        deepest: Largest 16-bit pixel, or None.
        num_grey: How many have one channel.
        num_coloured: How many have three.
    """

    formats: set[str] = field(default_factory=set)
    kinds: Counter[str] = field(default_factory=Counter)
    sizes: tuple[tuple[int, int, int], tuple[int, int, int]] | None = None
    deepest: int | None = None
    num_grey: int = 0
    num_coloured: int = 0

    def add_size(self, width: int, height: int) -> None:
        """Count an image of that size in."""
        size = (width * height, width, height)
        low, high = self.sizes or (size, size)
        self.sizes = min(low, size), max(high, size)

    def join(self, other: "Seen") -> None:
        """Count in what others are like."""
        self.formats |= other.formats
        self.kinds += other.kinds
        for each in other.sizes or ():
            self.add_size(*each[1:])
        if other.deepest is not None:
            self.deepest = max(self.deepest or 0, other.deepest)
        self.num_grey += other.num_grey
        self.num_coloured += other.num_coloured

    def remarks(self, image_size: int | None) -> tuple[str, ...]:
        """What to say of it, where images were brought to that side or kept."""
        found = []
        if image_size is not None and self.sizes is not None:
            smallest, largest = (f"{width}x{height}" for _, width, height in self.sizes)
            if smallest != largest:
                found.append(
                    f"Images of {smallest} to {largest} pixels: the centre square of each is "
                    f"resized to {image_size}x{image_size}."
                )
            elif smallest != f"{image_size}x{image_size}":
                found.append(
                    f"Images of {smallest} pixels are resized to {image_size}x{image_size}."
                )
        counts = [
            f"{self.kinds[kind]:,} {words}" for kind, words in _KINDS.items() if self.kinds[kind]
        ]
        if counts:
            found.append(f"Images: {'; '.join(counts)}.")
        if self.num_grey and self.num_coloured:
            found.append(
                f"{self.num_grey:,} of {self.num_grey + self.num_coloured:,} images are grey; they "
                "are made RGB as the others are."
            )
        if self.deepest is not None and self.deepest < 1 << 14:
            found.append(
                f"The largest 16-bit pixel is {self.deepest:,} of 65,535: "
                f"{self.deepest // 256 + 1} of 256 grey levels are left; rescale the pixels to the "
                "full range."
            )
        return tuple(found)


@dataclass(frozen=True, kw_only=True)
class DecodedSplit:
    """Images as uint8 (N, C, s, s), with C = 1 if all are grey, else 3; and what they were like."""

    images: NDArray[np.uint8]
    seen: Seen


class _Budget:
    """Bounds what all files of a split together may unpack to."""

    def __init__(self, source: str) -> None:
        self._source, self._lock = source, Lock()
        self._unpacked = self._stored = 0

    def take(self, unpacked: int, stored: int) -> None:
        """Count an image in before it is unpacked.

        Raises:
            DataError: It is too much for files of that size.
        """
        with self._lock:
            self._unpacked += unpacked
            self._stored += stored
            if self._unpacked > _FREE_BYTES + _MAX_RATIO * self._stored:
                raise DataError(
                    f"{self._source}: image files of {format_bytes(self._stored)} unpack to more "
                    f"than {format_bytes(self._unpacked)}, as no photographs do; make the images "
                    "smaller if they are what you mean"
                )


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
        DataError: An unreadable image, images that are not square or not of one size, or files
            that unpack to more than images do.
        OutOfMemoryError: There is no memory for all of them.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # Pillow's about metadata, many times over
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # sizes are bounded here
        return _decode_whole(split, image_size, source)


def _decode_whole(split: EncodedSplit, image_size: int | None, source: str) -> DecodedSplit:
    starts = range(0, len(split.files), _CHUNK)
    budget = _Budget(source)

    def decode_chunk(start: int) -> tuple[NDArray[np.uint8], Seen]:
        return _decode_chunk(split, start, image_size, source, budget)

    first = decode_chunk(0)
    side, many = first[0].shape[-1], len(split.files)
    needed = 2 * many * first[0][0].nbytes
    check_memory(needed, f"{source}: holding {many:,} images of {side}x{side}")
    if _mean_bytes(split) >= _THREADS_PAY_BYTES:
        with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
            chunks = [first, *pool.map(decode_chunk, starts[1:])]
    else:
        chunks = [first, *map(decode_chunk, starts[1:])]
    seen = Seen()
    for start, (images, seen_here) in zip(starts, chunks, strict=True):
        if images.shape[-1] != side:
            _refuse_sizes(split, start, source, images.shape[-1], side)
        seen.join(seen_here)
    channels = max(images.shape[1] for images, _ in chunks)
    result = np.empty((many, channels, side, side), dtype=np.uint8)
    for start, (images, _) in zip(starts, chunks, strict=True):
        result[start : start + len(images)] = images
    return DecodedSplit(images=result, seen=seen)


def _mean_bytes(split: EncodedSplit) -> float:
    sample: Sequence[bytes | Path | Pixels] = split.files[:: max(1, len(split.files) // 16)]
    sizes = [
        len(file) if isinstance(file, bytes) else file.stat().st_size
        for file in sample
        if isinstance(file, bytes) or (isinstance(file, Path) and file.is_file())
    ]
    return sum(sizes) / max(1, len(sizes))


def _decode_chunk(
    split: EncodedSplit, start: int, image_size: int | None, source: str, budget: _Budget
) -> tuple[NDArray[np.uint8], Seen]:
    pixels: list[NDArray[np.uint8]] = []
    seen = Seen()
    for index in range(start, min(start + _CHUNK, len(split.files))):
        file = split.files[index]
        content = _read_image(file, split.place(index), source) if isinstance(file, Path) else file
        try:
            image = _decode(content, image_size, seen, budget)
        except DataError:
            raise
        except Exception as error:  # Pillow raises many kinds for bad bytes; none of them is ours
            raise DataError(
                f"{source}: {split.place(index)} is not a readable image ({reason_of(error)})"
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
        seen.num_grey += image.ndim == 2
        seen.num_coloured += image.ndim == 3
    if any(image.ndim == 3 for image in pixels):
        pixels = [
            image if image.ndim == 3 else np.repeat(image[:, :, None], 3, axis=2)
            for image in pixels
        ]
        return np.ascontiguousarray(np.stack(pixels).transpose(0, 3, 1, 2)), seen
    return np.stack(pixels)[:, None], seen


def _refuse_sizes(split: EncodedSplit, index: int, source: str, side: int, first: int) -> None:
    raise DataError.naming(
        "{0}: {1} is {2}x{2} pixels and others are {3}x{3}; give {image_size} to bring all to one "
        "size",
        source,
        split.place(index),
        side,
        first,
    )


def _read_image(path: Path, place: str, source: str) -> bytes:
    """The content of a file of images, which must be a regular one of a size that images have."""

    def refuse(reason: str) -> DataError:
        return DataError(f"{source}: {place} is not a readable image ({reason})")

    with FileBytes(path, what="an image", cap=_MAX_FILE_BYTES, error=refuse) as file:
        content = file.read(0, file.num_bytes)
    if content.startswith(b"version https"):
        refuse_pointer(path)
    return content


def _decode(
    content: bytes | Pixels, image_size: int | None, seen: Seen, budget: _Budget
) -> NDArray[np.uint8]:
    """One image as uint8 (h, w) or (h, w, 3)."""
    if isinstance(content, np.ndarray):
        image = Image.fromarray(content)
        budget.take(content.nbytes, content.nbytes)
    else:
        image = Image.open(io.BytesIO(content), formats=FORMATS)
        if image.width * image.height > _MAX_PIXELS:
            raise ValueError(f"{image.width}x{image.height} pixels are more than {_MAX_PIXELS:,}")
        budget.take(image.width * image.height * len(image.getbands()), len(content))
        seen.formats.add("JPEG" if image.format == "MPO" else str(image.format))
        if image.format in _MANY_FRAMES and getattr(image, "is_animated", False):
            seen.kinds["frames"] += 1
    if "exif" in image.info:
        image = ImageOps.exif_transpose(image)
    seen.add_size(*image.size)
    image = _to_grey_or_rgb(image, seen)
    if image_size is not None and image.size != (image_size, image_size):
        width, height = image.size
        side = min(width, height)
        left, top = (width - side) / 2, (height - side) / 2
        image = image.resize(
            (image_size, image_size),
            Image.Resampling.BILINEAR,
            box=(left, top, left + side, top + side),
        )
    return np.asarray(image)


def _to_grey_or_rgb(image: Image.Image, seen: Seen) -> Image.Image:
    mode = image.mode
    has_alpha = mode in ("LA", "La", "RGBA", "RGBa", "PA") or "transparency" in image.info
    seen.kinds["transparent"] += has_alpha
    if mode in ("L", "RGB"):
        return image
    if mode.startswith("I;16") or (mode == "I" and image.format in ("PNG", "PPM")):
        pixels = np.asarray(image)
        seen.kinds["16-bit"] += 1
        seen.deepest = max(seen.deepest or 0, int(pixels.max()))
        return Image.fromarray((pixels >> 8).astype(np.uint8))
    if mode in ("I", "F"):
        raise ValueError(f"pixels of mode {mode} have no fixed range; save it with 8 bits")
    if mode in _GREY_MODES:
        return image.convert("L")
    if not has_alpha:
        seen.kinds["palette" if mode == "P" else "mode"] += 1
    if mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")
    return image.convert("RGB")
