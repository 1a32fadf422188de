"""How generated images are drawn: their streams of random numbers, in blocks, on all cores.

Image i of a stream is a function of (seed, stream, image size, i) alone, so any number of images
can be drawn in any pieces. The streams "train", "test" and "fresh" share no random number; "fresh"
is there to estimate the true error of a network to any precision.
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from training.errors import ConfigError
from training.system.random_streams import Purpose, random_words, to_unit_interval

Stream = Literal["train", "test", "fresh"]
STREAMS: tuple[Stream, ...] = ("train", "test", "fresh")
MIN_IMAGE_SIZE = 8

_BLOCK_PIXELS = 2**15  # pixels worked on at once: what stays in a core's cache

FloatArray = NDArray[np.float32]
DrawBlock = Callable[[int, int], tuple[NDArray[np.uint8], NDArray[np.int64]]]


@dataclass(frozen=True)
class Generator:
    """A data set that is drawn from a seed, without end.

    Attributes:
        name: Of the data set.
        class_names: In the order of the labels.
        num_channels: 1 or 3.
        block_drawer: From the image size s, the seed and the stream, what makes images
            (B, channels, s, s) and labels (B,) from the index of the first and the number B.
    """

    name: str
    class_names: tuple[str, ...]
    num_channels: int
    block_drawer: Callable[[int, int, Stream], DrawBlock]

    def draw(
        self,
        num_images: int,
        *,
        image_size: int = 32,
        seed: int = 0,
        start: int = 0,
        stream: Stream = "train",
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Images start, ..., start + num_images - 1 of a stream, with their labels.

        Args:
            num_images: How many, >= 0.
            image_size: Side in pixels, >= 8. The scenes and labels of a stream do not depend on it.
            seed: In [0, 2^64).
            start: Index of the first image, >= 0.
            stream: "train", "test" or "fresh".

        Returns:
            Images, uint8 (num_images, channels, s, s), and labels, int64 (num_images,).

        Raises:
            ValueError: An argument outside its range.
            DataError: The installed Matplotlib lacks one of the fonts of glyphs.
        """
        _check_arguments(num_images, image_size, start, stream, self.name)
        draw_block = self.block_drawer(image_size, seed, stream)
        images = np.empty((num_images, self.num_channels, image_size, image_size), dtype=np.uint8)
        labels = np.empty(num_images, dtype=np.int64)
        block = max(1, _BLOCK_PIXELS // image_size**2)

        def draw(first: int) -> None:
            part = slice(first, min(first + block, num_images))
            images[part], labels[part] = draw_block(start + first, part.stop - first)

        with ThreadPoolExecutor(_num_threads()) as pool:
            list(pool.map(draw, range(0, num_images, block)))
        return torch.from_numpy(images), torch.from_numpy(labels)


def uniform_numbers(
    seed: int, purpose: Purpose, start: int, count: int, *, width: int
) -> NDArray[np.float64]:
    """Uniform numbers in [0, 1), (count, width): row i belongs to image start + i."""
    words = random_words(seed, purpose, start=start * width, count=count * width)
    return to_unit_interval(words).reshape(count, width)


def symmetric_numbers(
    seed: int, purpose: Purpose, start: int, count: int, *, words: int
) -> FloatArray:
    """Uniform numbers in [-1, 1), (4, count, words): the four 16-bit parts of every word."""
    drawn = random_words(seed, purpose, start=start * words, count=count * words)
    drawn = drawn.reshape(count, words)
    numbers = np.empty((4, count, words), dtype=np.float32)
    for part in range(4):
        numbers[part] = (drawn >> np.uint64(16 * part)).astype(np.uint16)
    return _symmetric(numbers)


def pixel_noise(seed: int, purpose: Purpose, start: int, count: int, size: int) -> FloatArray:
    """Uniform noise in [-1, 1), (count, 3, s, s): 16 bits a channel of one word a pixel."""
    num_words = size * size
    words = random_words(seed, purpose, start=start * num_words, count=count * num_words).reshape(
        count, size, size
    )
    noise = np.empty((count, 3, size, size), dtype=np.float32)
    for channel in range(3):
        noise[:, channel] = (words >> np.uint64(16 * channel)).astype(np.uint16)
    return _symmetric(noise)


def _check_arguments(num_images: int, size: int, start: int, stream: str, source: str) -> None:
    """Refuse what no generator draws.

    Raises:
        ValueError: A number below its range, or no such stream.
    """
    if num_images < 0:
        raise ValueError(f"num_images must be >= 0, not {num_images}")
    if size < MIN_IMAGE_SIZE:
        raise ConfigError.naming(
            f"{{image_size}} must be >= {MIN_IMAGE_SIZE} for {source}, not {{}}", size
        )
    if start < 0:
        raise ValueError(f"start must be >= 0, not {start}")
    if stream not in STREAMS:
        raise ValueError(f"stream must be one of {', '.join(STREAMS)}, not {stream!r}")


def _symmetric(numbers: NDArray[Any]) -> NDArray[Any]:
    """From integers in [0, 2^16) to [-1, 1), in place."""
    numbers *= np.float32(2.0**-15)
    numbers -= np.float32(1)
    return numbers


def _num_threads() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
