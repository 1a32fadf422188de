"""Probabilities of labels as integers, from exact logits: the same on every machine.

A class whose logit lies g below the largest one has the weight 2^(-s g), where the sharpness s is
one of 256 numbers; log2(e) is the softmax. The weights become integers, and the integers shares of
2^24, each at least 1. What is computed in floating point is one difference, one product, one
minimum and one floor of float64 numbers, which IEEE 754 rounds exactly; the powers are read off a
table that integer arithmetic made.
"""

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

SHARE_BITS = 24
"""Shares add up to 2^24: no label costs more than 24 bits."""
NUM_SHARPNESSES = 256
MAX_CLASSES = 1 << 16
SOFTMAX_SHARPNESS = 1 / math.log(2)
"""s of the softmax itself, at temperature 1."""

_TOTAL = 1 << SHARE_BITS
_STEPS = 8  # numbers s between a power of two and the next
_LOWEST = -19  # s begins at 8 · 2^-19
_FRACTION_BITS = 12  # of an exponent s g
_WEIGHT_BITS = 30
_TABLE_BITS = 256  # of the numbers that make the table
_MOST = 62  # halvings; from 31 on a weight is 0, and int64 is not shifted further
_COARSE = 8
_BLOCK_NUMBERS = 1 << 18


def sharpness(index: int) -> float:
    """The sharpness of an index: (8 + index mod 8) 2^(index // 8 - 19), exact in float64.

    Args:
        index: In 0..255.

    >>> sharpness(0), sharpness(127), sharpness(128), sharpness(129)
    (1.52587890625e-05, 0.9375, 1.0, 1.125)
    """
    if not 0 <= index < NUM_SHARPNESSES:
        raise ValueError(f"index must lie in 0..{NUM_SHARPNESSES - 1}, not {index}")
    return math.ldexp(_STEPS + index % _STEPS, index // _STEPS + _LOWEST)


@lru_cache(maxsize=1)
def power_table() -> NDArray[np.int64]:
    """2^30 · 2^(-r / 4096), rounded down, for r = 0..4095: (4096,).

    It is made of integers of 256 bits: twelve square roots of a half, and powers of the last.

    >>> power_table()[[0, 1, 4095]].tolist()
    [1073741824, 1073560134, 536961771]
    """
    one = 1 << _TABLE_BITS
    root = one >> 1
    for _ in range(_FRACTION_BITS):
        root = math.isqrt(root << _TABLE_BITS)
    powers, power = [], one
    for _ in range(1 << _FRACTION_BITS):
        powers.append(power >> (_TABLE_BITS - _WEIGHT_BITS))
        power = (power * root) >> _TABLE_BITS
    return np.array(powers, dtype=np.int64)


def label_shares(logits: NDArray[np.float64], index: int) -> NDArray[np.int64]:
    """Shares of 2^24 for each class of each image.

    Args:
        logits: (N, K), exact; an image with one that is not finite has equal shares.
        index: Of the sharpness.

    Returns:
        (N, K): integers >= 1 that add up to 2^24 in each row. What division leaves goes to the
        largest logit, the first one if there are several.

    Raises:
        ValueError: Fewer than one class, or more than 65,536.

    >>> label_shares(np.array([[0.0, 1.0], [np.nan, 0.0]]), 128).tolist()
    [[5592405, 11184811], [8388608, 8388608]]
    """
    if logits.ndim != 2 or not 1 <= logits.shape[1] <= MAX_CLASSES:
        raise ValueError(f"logits must be (N, K) with K in 1..{MAX_CLASSES}, not {logits.shape}")
    finite = np.isfinite(logits).all(axis=1, keepdims=True)
    logits = np.where(finite, logits, 0.0)
    with np.errstate(over="ignore"):  # what is infinite has the weight 0
        gaps = logits.max(axis=1, keepdims=True) - logits
        scaled = gaps * (sharpness(index) * (1 << _FRACTION_BITS))
    steps = np.floor(np.minimum(scaled, _MOST << _FRACTION_BITS))
    exponents = steps.astype(np.int64)
    fractions = exponents & ((1 << _FRACTION_BITS) - 1)
    weights = power_table()[fractions] >> (exponents >> _FRACTION_BITS)
    num_classes = logits.shape[1]
    shares = 1 + weights * (_TOTAL - num_classes) // weights.sum(axis=1, keepdims=True)
    rows = np.arange(len(shares))
    shares[rows, logits.argmax(axis=1)] += _TOTAL - shares.sum(axis=1)
    return np.asarray(shares, dtype=np.int64)


def label_bits(logits: NDArray[np.float64], labels: NDArray[np.int64], index: int) -> float:
    """Σ log2(2^24 / share) of the labels: their length but for the coder's end.

    Args:
        logits: (N, K).
        labels: (N,), in 0..K - 1.
        index: Of the sharpness.

    >>> label_bits(np.array([[0.0, 0.0]] * 5), np.array([0, 1, 1, 0, 1]), 0)
    5.0
    """
    total = 0.0
    for part in blocks(*logits.shape):
        shares = label_shares(logits[part], index)
        chosen = shares[np.arange(len(shares)), labels[part]]
        total += SHARE_BITS * len(chosen) - float(np.log2(chosen).sum())
    return total


def find_sharpness(logits: NDArray[np.float64], labels: NDArray[np.int64]) -> int:
    """The index of a sharpness that gives the labels few bits: the best octave, then around it.

    Takes what `label_bits` takes. The choice is sent, so any choice is right; this one need not
    be the same on every machine.
    """

    def length(index: int) -> float:
        return label_bits(logits, labels, index)

    best = min(range(_COARSE // 2, NUM_SHARPNESSES, _COARSE), key=length)
    around = range(max(0, best - _COARSE + 1), min(NUM_SHARPNESSES, best + _COARSE))
    return min(around, key=length)


def blocks(num_images: int, num_classes: int) -> list[slice]:
    """Slices of the images that keep what is computed of them in a processor's caches."""
    size = max(1, _BLOCK_NUMBERS // num_classes)
    return [slice(start, start + size) for start in range(0, num_images, size)]
