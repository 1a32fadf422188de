"""Labels as bits: by a network's logits, by equal probabilities, or by classes seen so far.

Each is a codeword of `analysis.codes.arithmetic_coder`, which delimits itself: whoever has the
images, and so their number and the network's logits, reads the labels off the bits.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analysis.codelength.label_probabilities import (
    NUM_SHARPNESSES,
    blocks,
    find_sharpness,
    label_shares,
    sharpness,
)
from analysis.codes.arithmetic_coder import ArithmeticCoder

Labels = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, eq=False)
class LabelCodeword:
    """Labels in bits.

    Attributes:
        data: The bits, high bits first, the last byte filled up with zeros.
        num_bits: Length of the codeword.
        labels: int64 (m,), what they say.
        sharpness_index: Of the sharpness that the codeword begins with.
    """

    data: bytes
    num_bits: int
    labels: Labels
    sharpness_index: int

    @property
    def sharpness(self) -> float:
        """The sharpness s: a class whose logit is smaller by g is 2^(s g) times less likely."""
        return sharpness(self.sharpness_index)


def encode_labels(
    logits: NDArray[np.float64], labels: Labels, sharpness_index: int | None = None
) -> LabelCodeword:
    """Labels in bits, by the probabilities of a network.

    Args:
        logits: (m, K), the exact logits of the images.
        labels: (m,), in 0..K - 1.
        sharpness_index: In 0..255; None for a good one. It is sent, in 8 bits.

    Raises:
        ValueError: A label that is no class, or another number of labels than of images.

    >>> logits = np.array([[0.0, 9.0], [9.0, 0.0], [0.0, 9.0]])
    >>> codeword = encode_labels(logits, np.array([1, 0, 1]))
    >>> codeword.num_bits, decode_labels(codeword.data, logits).labels.tolist()
    (10, [1, 0, 1])
    """
    check_labels(labels, *logits.shape)
    index = find_sharpness(logits, labels) if sharpness_index is None else sharpness_index
    return _code_labels(ArithmeticCoder(), logits, labels, index)


def decode_labels(data: bytes, logits: NDArray[np.float64]) -> LabelCodeword:
    """The labels that a codeword stands for; what lies behind the codeword is not looked at.

    Args:
        data: Bytes that begin with a codeword.
        logits: (m, K), the exact logits of the images.

    Raises:
        CodecError: No codeword of so many labels begins these bytes.
    """
    return _code_labels(ArithmeticCoder(data), logits, np.zeros(len(logits), dtype=np.int64), 0)


def uniform_bits(labels: Labels, num_classes: int) -> int:
    """Length of the labels where all classes are equally likely: m log2 K and at most two bits.

    >>> uniform_bits(np.zeros(1000, dtype=np.int64), 10)  # 3321.9
    3322
    """
    check_labels(labels, len(labels), num_classes)
    coder = ArithmeticCoder()
    for label in labels.tolist():
        coder.uniform(label, num_classes)
    return coder.num_bits


def frequency_bits(labels: Labels, num_classes: int) -> int:
    """Length of the labels by their classes' frequencies, which are learnt as they come.

    The next label is of class k with probability (n_k + 1/2) / (n + K/2), where n_k of the n labels
    so far are (Krichevsky and Trofimov 1981): nothing needs to be sent beforehand.

    >>> frequency_bits(np.zeros(1000, dtype=np.int64), 10)
    42
    """
    check_labels(labels, len(labels), num_classes)
    coder = ArithmeticCoder()
    code_by_frequency(coder, labels, num_classes)
    return coder.num_bits


def code_by_frequency(coder: ArithmeticCoder, labels: Labels, num_classes: int) -> Labels:
    """Write or read labels by the frequencies of their classes so far; the labels."""
    shares = np.ones(num_classes, dtype=np.int64)  # 2 n_k + 1
    found = np.empty_like(labels)
    for place, label in enumerate(labels.tolist()):
        found[place] = coder.choice(label, shares.cumsum())
        shares[found[place]] += 2
    return found


def check_labels(labels: Labels, num_images: int, num_classes: int) -> None:
    """Refuse labels that are not those of so many images and classes.

    Raises:
        ValueError: A label that is no class, or another number of labels than of images.
    """
    if labels.shape != (num_images,):
        raise ValueError(f"labels must be ({num_images},), not {labels.shape}")
    if num_images and not 0 <= labels.min() <= labels.max() < num_classes:
        raise ValueError(f"labels must lie in 0..{num_classes - 1}")


def _code_labels(
    coder: ArithmeticCoder, logits: NDArray[np.float64], labels: Labels, index: int
) -> LabelCodeword:
    """Write labels, or read them: the same steps in the same order."""
    index = coder.uniform(index, NUM_SHARPNESSES)
    found = np.empty(len(logits), dtype=np.int64)
    for part in blocks(*logits.shape):
        ends = label_shares(logits[part], index).cumsum(axis=1)
        for place, row in enumerate(ends, part.start):
            found[place] = coder.choice(int(labels[place]), row)
    data, num_bits = coder.finish()
    return LabelCodeword(data=data, num_bits=num_bits, labels=found, sharpness_index=index)
