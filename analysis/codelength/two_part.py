"""The two-part code: a network in bits, then the labels in bits given the network.

Its length is that of a message from which anyone with the images has the labels: decode the
network, compute its exact logits, decode the labels.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from analysis.certify.errors import EVALUATION, compute_exact_logits
from analysis.codelength.label_code import (
    LabelCodeword,
    check_labels,
    decode_labels,
    encode_labels,
    frequency_bits,
    uniform_bits,
)
from analysis.codelength.label_probabilities import SOFTMAX_SHARPNESS
from analysis.codes.checkpoint_message import message_network
from analysis.codes.network_code import Codeword
from training.data.image_set import ImageSet
from training.errors import DataError
from training.run.progress import OnCount


@dataclass(frozen=True, kw_only=True, eq=False)
class TwoPart:
    """How long labels are, in two parts and by two codes that know no network.

    Attributes:
        network: The network in bits.
        labels: The labels in bits, given the network.
        num_classes: K.
        num_errors: Labels that are not the network's one largest logit.
        uniform_bits: Length by the uniform code.
        frequency_bits: Length by the frequencies of the classes.
    """

    network: Codeword
    labels: LabelCodeword
    num_classes: int
    num_errors: int
    uniform_bits: int
    frequency_bits: int

    @property
    def num_labels(self) -> int:
        """M."""
        return len(self.labels.labels)

    @property
    def network_bits(self) -> int:
        """L(network)."""
        return self.network.num_bits

    @property
    def label_bits(self) -> int:
        """L(labels | network)."""
        return self.labels.num_bits

    @property
    def total_bits(self) -> int:
        """L(network) + L(labels | network)."""
        return self.network_bits + self.label_bits

    @property
    def temperature(self) -> float:
        """What the logits are divided by before the softmax."""
        return SOFTMAX_SHARPNESS / self.labels.sharpness

    @property
    def compression_ratio(self) -> float:
        """How many times longer the uniform code is."""
        return self.uniform_bits / self.total_bits

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON. Lengths are bits."""
        return {
            "network": self.network.message.network.name,
            "format": self.network.message.number_format.name,
            "code": self.network.code,
            "evaluation": EVALUATION,
            "num_labels": self.num_labels,
            "num_classes": self.num_classes,
            "num_errors": self.num_errors,
            "network_bits": self.network_bits,
            "label_bits": self.label_bits,
            "total_bits": self.total_bits,
            "bits_per_label": self.total_bits / self.num_labels,
            "uniform_bits": self.uniform_bits,
            "frequency_bits": self.frequency_bits,
            "compression_ratio": self.compression_ratio,
            "sharpness_index": self.labels.sharpness_index,
            "sharpness": self.labels.sharpness,
            "temperature": self.temperature,
        }


def network_logits(
    codeword: Codeword,
    images: torch.Tensor,
    *,
    device: torch.device | str = "cpu",
    progress: OnCount | None = None,
) -> NDArray[np.float64]:
    """The exact logits of a decoded network: the same numbers on every machine.

    Args:
        codeword: The network, as the decoder gave it.
        images: uint8 (m, C, s, s).
        device: Where to compute.
        progress: Called with the images done and all of them.

    Returns:
        (m, K).

    Raises:
        ValueError: The network's code is not ours, or it is for other images.
    """
    found = compute_exact_logits(
        message_network(codeword.message),
        images,
        codeword.message.known_inputs,
        device=device,
        progress=progress,
    )
    return found.numpy()


def measure_two_part(codeword: Codeword, images: ImageSet, logits: NDArray[np.float64]) -> TwoPart:
    """Code the labels of images by a network, decode them, and compare.

    Args:
        codeword: The network, as the decoder gave it.
        images: Images and labels.
        logits: (m, K), from `network_logits`.

    Raises:
        DataError: There are no images.
        ValueError: A label that the network has no class for.
    """
    if not len(images):
        raise DataError("there are no images whose labels could be coded; name another split")
    labels = images.labels.cpu().numpy().astype(np.int64)
    check_labels(labels, *logits.shape)
    written = encode_labels(logits, labels)
    read = decode_labels(written.data, logits)
    if not np.array_equal(read.labels, labels) or read.num_bits != written.num_bits:
        raise AssertionError("the labels' bits do not decode to the labels")
    num_classes = logits.shape[1]
    return TwoPart(
        network=codeword,
        labels=read,
        num_classes=num_classes,
        num_errors=count_label_errors(logits, labels),
        uniform_bits=uniform_bits(labels, num_classes),
        frequency_bits=frequency_bits(labels, num_classes),
    )


def count_label_errors(logits: NDArray[np.float64], labels: NDArray[np.int64]) -> int:
    """Labels whose logit does not exceed all others, or whose image has one that is not finite.

    >>> count_label_errors(np.array([[0.0, 1.0], [2.0, 2.0], [np.nan, 0.0]]), np.array([1, 0, 1]))
    2
    """
    rows = np.arange(len(labels))
    others = logits.copy()
    others[rows, labels] = -np.inf
    is_right = np.isfinite(logits).all(axis=1) & (logits[rows, labels] > others.max(axis=1))
    return int((~is_right).sum())
