"""Errors of a decoded network by its stated evaluation, which every machine repeats exactly."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass

import torch
from torch import Tensor

from analysis.certify.exact_evaluation import exact_arithmetic, exact_network, image_bytes
from training.augment.inputs import prepare_images
from training.data.image_set import ImageSet
from training.networks.models import Network
from training.networks.norm_folding import fold_batch_norm
from training.run.progress import OnCount
from training.spec.normalization import Normalization

EVALUATION = "integers-1"
"""Name of `analysis.certify.exact_evaluation`'s stated evaluation, which certificates carry."""

_BATCH_BYTES = 2**28
_MAX_BATCH = 4096


@dataclass(frozen=True, kw_only=True)
class CertifiedErrors:
    """Errors of one network on one set of images.

    Attributes:
        num_errors: Images whose right logit does not exceed every other; among them those with
            a logit that is not finite.
        num_samples: Images.
        num_ties: Errors whose right logit is the largest, but not alone.
    """

    num_errors: int
    num_samples: int
    num_ties: int

    @property
    def error(self) -> float:
        """The fraction of errors."""
        return self.num_errors / self.num_samples

    def to_dict(self) -> dict[str, int]:
        """Plain values, for JSON."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True, eq=False)
class Decisions:
    """What a network decides.

    Attributes:
        classes: int64 (N,), the class of the largest logit.
        margins: float64 (N,), how far it exceeds the second; NaN if a logit is not finite.
    """

    classes: Tensor
    margins: Tensor


def count_certified_errors(
    network: Network,
    images: ImageSet,
    normalization: Normalization,
    *,
    permutation: Tensor | None = None,
    device: torch.device | str = "cpu",
    batch_size: int | None = None,
    progress: OnCount | None = None,
) -> CertifiedErrors:
    """Count errors by the stated evaluation: the same number on every machine.

    Args:
        network: Folded; the tensors that were decoded.
        images: uint8 images and labels.
        normalization: Maps pixels to inputs.
        permutation: Of the pixels, (s·s,), or None.
        device: Where to compute; the network is copied there.
        batch_size: Images a pass; by default as many as fit into 1/4 GiB. It changes no count.
        progress: Called with the images done and all of them.

    Raises:
        ValueError: The network is not folded, or is for other images.
    """
    exact = exact_network(network, device)
    num_right, num_ties = 0, 0
    for part in _batches(len(images), network, batch_size):
        inputs = _prepare(images.images[part], normalization, permutation, device)
        with exact_arithmetic():
            logits = exact(inputs)
        margins = _margins(logits, images.labels[part].to(device))
        num_right += int((margins > 0).sum())  # NaN is not
        num_ties += int((margins == 0).sum())
        if progress is not None:
            progress(min(part.stop, len(images)), len(images))
    return CertifiedErrors(
        num_errors=len(images) - num_right, num_samples=len(images), num_ties=num_ties
    )


@torch.no_grad()
def decide(
    network: Network,
    images: Tensor,
    normalization: Normalization,
    *,
    permutation: Tensor | None = None,
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
        normalization: Maps pixels to inputs.
        permutation: Of the pixels, (s·s,), or None.
        device: Where to compute; the network is copied there.
        batch_size: Images a pass.
    """
    precise = fold_batch_norm(network).to(device, torch.float64)
    classes = torch.empty(len(images), dtype=torch.int64)
    margins = torch.empty(len(images), dtype=torch.float64)
    for part in _batches(len(images), network, batch_size):
        inputs = _prepare(images[part], normalization, permutation, device)
        logits = precise(inputs)
        chosen = logits.argmax(dim=1)
        classes[part] = chosen.cpu()
        margins[part] = _margins(logits, chosen).cpu()
    return Decisions(classes=classes, margins=margins)


def _prepare(
    images: Tensor,
    normalization: Normalization,
    permutation: Tensor | None,
    device: torch.device | str,
) -> Tensor:
    return prepare_images(
        images.to(device), normalization, permutation=permutation, dtype=torch.float64
    )


def _margins(logits: Tensor, classes: Tensor) -> Tensor:
    """Logit of each given class minus the largest of the others; NaN if any is not finite."""
    index = classes[:, None]
    others = logits.scatter(1, index, float("-inf")).amax(dim=1)
    margins = logits.gather(1, index)[:, 0] - others
    return torch.where(torch.isfinite(logits).all(dim=1), margins, float("nan"))


def _batches(num_images: int, network: Network, batch_size: int | None) -> Iterator[slice]:
    fitting = _BATCH_BYTES // image_bytes(network.spec.layers)
    size = max(1, min(_MAX_BATCH, fitting)) if batch_size is None else batch_size
    for start in range(0, num_images, size):
        yield slice(start, start + size)
