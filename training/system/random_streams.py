"""Random numbers that are the same on every machine, in every version, from any starting point.

Everything that decides which images a run sees (the generated ones, the validation split, the pixel
permutation) reads the raw words of Philox 4x64-10, a counter-based generator. NumPy guarantees
that stream for ever (NEP 19), which it does not for the distributions built on top, nor torch for
`randperm`. A stream is a key (seed, purpose), so two purposes never share a number.
"""

from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

WORDS_PER_COUNT = 4  # Philox 4x64 makes four 64-bit words from one value of its counter


class Purpose(IntEnum):
    """What random words are for: the second half of a stream's key. Never renumber."""

    GLYPHS_TRAIN = 0
    GLYPHS_TEST = 1
    GLYPHS_FRESH = 2
    GLYPHS_TRAIN_NOISE = 3
    GLYPHS_TEST_NOISE = 4
    GLYPHS_FRESH_NOISE = 5
    VALIDATION_SPLIT = 6
    PIXEL_PERMUTATION = 7
    FOLDER_ORDER = 8
    PREQUENTIAL_ORDER = 9
    LEAVES_TRAIN = 10
    LEAVES_TEST = 11
    LEAVES_FRESH = 12
    LEAVES_TRAIN_GRAIN = 13
    LEAVES_TEST_GRAIN = 14
    LEAVES_FRESH_GRAIN = 15
    LEAVES_TRAIN_NOISE = 16
    LEAVES_TEST_NOISE = 17
    LEAVES_FRESH_NOISE = 18
    HANDWRITING_TRAIN = 19
    HANDWRITING_TEST = 20
    HANDWRITING_FRESH = 21


def random_words(seed: int, purpose: Purpose, *, start: int, count: int) -> NDArray[np.uint64]:
    """Words start, ..., start + count - 1 of the stream (seed, purpose).

    Args:
        seed: In [0, 2^64).
        purpose: The rest of the key.
        start: First word, >= 0.
        count: Number of words, >= 0.

    Returns:
        Independent uniform 64-bit words, shape (count,).

    Raises:
        ValueError: A seed outside its range.

    >>> whole = random_words(5, Purpose.GLYPHS_TRAIN, start=0, count=9)
    >>> part = random_words(5, Purpose.GLYPHS_TRAIN, start=6, count=3)
    >>> bool((whole[6:] == part).all())
    True
    """
    if not 0 <= seed < 2**64:
        raise ValueError(f"seed must lie in [0, 2^64), not {seed}")
    skip = start % WORDS_PER_COUNT
    key = np.array([seed, int(purpose)], dtype=np.uint64)
    words = np.random.Philox(key=key, counter=start // WORDS_PER_COUNT).random_raw(skip + count)
    return words[skip:]


def to_unit_interval(words: NDArray[np.uint64]) -> NDArray[np.float64]:
    """Uniform float64 numbers in [0, 1): the top 53 bits of each word, exactly."""
    return (words >> np.uint64(11)).astype(np.float64) * 2.0**-53


def random_permutation(seed: int, purpose: Purpose, length: int) -> NDArray[np.int64]:
    """A uniform permutation of 0, ..., length - 1, shape (length,).

    It sorts one random word an element. Two of 64-bit words are equal with probability below
    length² / 2^65; the sort is stable, so even then every machine gets the same permutation.
    """
    words = random_words(seed, purpose, start=0, count=length)
    return np.argsort(words, kind="stable").astype(np.int64)
