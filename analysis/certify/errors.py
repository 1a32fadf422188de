"""Errors of a decoded network by its stated evaluation, which every machine repeats exactly."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from analysis.bounds.bounds import ErrorCount
from analysis.certify.exact_evaluation import exact_arithmetic, exact_network, image_bytes
from analysis.codes.checkpoint_message import message_network
from analysis.codes.message import NetworkMessage
from training.data.image_set import ImageSet
from training.data.input_map import InputMap
from training.networks.models import Network, fold_batch_norm
from training.run.progress import OnCount
from training.spec.architectures import NetworkSpec
from training.system.memory import check_memory

EVALUATION = "integers-1"
"""Name of `analysis.certify.exact_evaluation`'s stated evaluation, which certificates carry."""

_BATCH_BYTES = 2**28
_MAX_BATCH = 4096
_CPU_BATCH_BYTES = 2**23
_CPU_BATCHES = 64, 256
"""A CPU takes fewer images: their values in its caches, but enough for products of matrices."""


@dataclass(frozen=True, kw_only=True)
class CertifiedErrors(ErrorCount):
    """Errors by the stated evaluation: images whose right logit does not exceed every other.

    Attributes:
        num_ties: Errors whose right logit is the largest, but not alone.
    """

    num_ties: int


@dataclass(frozen=True, kw_only=True, eq=False)
class Decisions:
    """What a network decides.

    Attributes:
        classes: int64 (N,), the class of the largest logit.
        margins: float64 (N,), how far it exceeds the second; NaN if a logit is not finite.
    """

    classes: Tensor
    margins: Tensor


def counting_bytes(spec: NetworkSpec, num_images: int = _MAX_BATCH) -> int:
    """Bytes of memory that it takes to count a network's errors beside its own tensors.

    A float64 copy of them, the numbers behind local layers' patches, and a batch in its widest
    layer.

    >>> spec = NetworkSpec(name="s-fc", image_size=8, num_classes=10, base_channels=1)
    >>> spec.num_weights, counting_bytes(spec, 1)
    (3696, 33152)
    """
    batch = max(1, min(_MAX_BATCH, num_images, _BATCH_BYTES // image_bytes(spec.layers)))
    places = sum(each.fan_in * each.out_size**2 for each in spec.layers if each.kind == "local")
    return 8 * (spec.num_weights + places) + batch * image_bytes(spec.layers)


def count_certified_errors(
    network: Network,
    images: ImageSet,
    inputs: InputMap,
    *,
    device: torch.device | str = "cpu",
    batch_size: int | None = None,
    progress: OnCount | None = None,
) -> CertifiedErrors:
    """Count errors by the stated evaluation: the same number on every machine.

    Args:
        network: Folded; the tensors that were decoded.
        images: uint8 images and labels.
        inputs: What the images are put through.
        device: Where to compute; the network is copied there.
        batch_size: Images a pass; by default what is fast on the device. It changes no count.
        progress: Called with the images done and all of them.

    Raises:
        ValueError: The network is not folded, or is for other images, or there are no images.
    """
    num_right, num_ties = 0, 0
    for part, logits in _exact_batches(network, images.images, inputs, device, batch_size):
        margins = _margins(logits, images.labels[part].to(device))
        num_right += int((margins > 0).sum())  # NaN is not
        num_ties += int((margins == 0).sum())
        if progress is not None:
            progress(min(part.stop, len(images)), len(images))
    return CertifiedErrors(
        num_errors=len(images) - num_right, num_samples=len(images), num_ties=num_ties
    )


def compute_exact_logits(
    network: Network,
    images: Tensor,
    inputs: InputMap,
    *,
    device: torch.device | str = "cpu",
    batch_size: int | None = None,
    progress: OnCount | None = None,
) -> Tensor:
    """The logits of the stated evaluation: the same numbers on every machine.

    Args:
        network: Folded; the tensors that were decoded.
        images: uint8 (N, C, s, s).
        inputs: What the images are put through.
        device: Where to compute; the network is copied there.
        batch_size: Images a pass; it changes no logit.
        progress: Called with the images done and all of them.

    Returns:
        float64 (N, c) on the CPU; not finite for an image that has no class.

    Raises:
        ValueError: The network is not folded, or is for other images.
    """
    found = torch.empty(len(images), network.spec.num_classes, dtype=torch.float64)
    for part, logits in _exact_batches(network, images, inputs, device, batch_size):
        found[part] = logits.cpu()
        if progress is not None:
            progress(min(part.stop, len(images)), len(images))
    return found


def count_sets(
    message: NetworkMessage,
    sets: Sequence[ImageSet],
    *,
    device: torch.device | str = "cpu",
    progress: OnCount | None = None,
) -> tuple[CertifiedErrors | None, ...]:
    """Count the errors of a decoded network on several sets of images; None on an empty one.

    Args:
        message: The network, and what its images are put through.
        sets: Images of each set.
        device: Where to compute.
        progress: Called with the images done and those of all sets.

    Raises:
        ValueError: The message is of tensors of an external network, which cannot run here.
    """
    network, inputs = message_network(message), message.known_inputs
    total, before = sum(map(len, sets)), 0
    counts: list[CertifiedErrors | None] = []
    for images in sets:

        def report(done: int, _: int, before: int = before) -> None:
            if progress is not None:
                progress(before + done, total)

        found = None
        if len(images):
            found = count_certified_errors(network, images, inputs, device=device, progress=report)
        counts.append(found)
        before += len(images)
    return tuple(counts)


@torch.no_grad()
def decide(
    network: Network,
    images: Tensor,
    inputs: InputMap,
    *,
    device: torch.device | str = "cpu",
    batch_size: int | None = None,
) -> Decisions:
    """The class of each image and its margin in plain float64, to compare two networks with.

    Unlike the stated evaluation this rounds nothing on purpose: networks that are one function of
    real numbers, such as before and after a change of units' order or scales, agree in it but for
    float64's own rounding.

    Args:
        network: Folded or not.
        images: uint8 (N, C, s, s).
        inputs: What the images are put through.
        device: Where to compute; the network is copied there.
        batch_size: Images a pass.
    """
    precise = fold_batch_norm(network).to(device, torch.float64)
    classes = torch.empty(len(images), dtype=torch.int64)
    margins = torch.empty(len(images), dtype=torch.float64)
    for part in _batches(len(images), network, batch_size, device):
        logits = precise(inputs(images[part].to(device), dtype=torch.float64))
        chosen = logits.argmax(dim=1)
        classes[part] = chosen.cpu()
        margins[part] = _margins(logits, chosen).cpu()
    return Decisions(classes=classes, margins=margins)


def _margins(logits: Tensor, classes: Tensor) -> Tensor:
    """Logit of each given class minus the largest of the others; NaN if any is not finite."""
    index = classes[:, None]
    others = logits.scatter(1, index, float("-inf")).amax(dim=1)
    margins = logits.gather(1, index)[:, 0] - others
    return torch.where(torch.isfinite(logits).all(dim=1), margins, float("nan"))


def _exact_batches(
    network: Network,
    images: Tensor,
    inputs: InputMap,
    device: torch.device | str,
    batch_size: int | None,
) -> Iterator[tuple[slice, Tensor]]:
    """Which images, and their logits by the stated evaluation, batch by batch."""
    check_memory(counting_bytes(network.spec, len(images)), "the exact evaluation")
    exact = exact_network(network, device)
    for part in _batches(len(images), network, batch_size, device):
        batch = inputs(images[part].to(device), dtype=torch.float64)
        with exact_arithmetic():
            logits = exact(batch)
        yield part, logits


def _batches(
    num_images: int, network: Network, batch_size: int | None, device: torch.device | str
) -> Iterator[slice]:
    size = batch_size or _choose_batch(network.spec, torch.device(device).type)
    for start in range(0, num_images, size):
        yield slice(start, start + size)


def _choose_batch(spec: NetworkSpec, device: str) -> int:
    size = min(_MAX_BATCH, _BATCH_BYTES // image_bytes(spec.layers))
    if device == "cpu":
        units = max(
            each.fan_in * each.out_size**2
            if each.kind == "local"
            else max(each.in_features, each.out_features)
            for each in spec.layers
        )
        fewest, most = _CPU_BATCHES
        size = min(size, most, max(fewest, _CPU_BATCH_BYTES // (8 * units)))
    return max(1, size)
