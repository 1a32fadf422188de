"""Quantization-aware training with a straight-through estimator and a rate penalty."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional as F

from analysis.compress.qat_network import QATNetwork
from training.augment.inputs import augment_images
from training.data.image_set import ImageSet
from training.data.input_map import InputMap
from training.errors import TrainingError
from training.spec.config import Augmentation

_LENGTHS_EVERY = 20  # steps
_WARM_UP = 100  # steps
EVALUATION_BATCH = 2048


@dataclass(frozen=True, kw_only=True)
class QATSettings:
    """How a network in levels is trained.

    Attributes:
        epochs: Passes over the images, >= 1.
        batch_size: Images per step, >= 1.
        lr: Adam's learning rate at the start, > 0, in levels: about what a latent moves in a step.
            It rises over the first 100 steps and falls to 0 along a cosine.
        ramp: Share of the steps over which the rate penalty rises from 0, in [0, 1].
        seed: Of the order of the images and of augmentation.
        augmentation: Random changes of the images; none by default, since what a bound counts are
            errors on the images as they are.

    Raises:
        ValueError: A value outside its range.
    """

    epochs: int
    batch_size: int = 256
    lr: float = 0.03
    ramp: float = 0.5
    seed: int = 0
    augmentation: Augmentation = field(default_factory=Augmentation)

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be >= 1, not {getattr(self, name)}")
        if not (math.isfinite(self.lr) and self.lr > 0):
            raise ValueError(f"lr must be > 0, not {self.lr}")
        if not 0 <= self.ramp <= 1:
            raise ValueError(f"ramp must lie in [0, 1], not {self.ramp}")


@dataclass(frozen=True, kw_only=True)
class QATEpoch:
    """What one epoch came to; errors and loss are those of its batches, while they were learned.

    Attributes:
        epoch: Epochs done, from 1.
        error: Share of the images that were wrong.
        loss: Mean cross-entropy in nats.
        bits: `QATNetwork.rate` at its end.
        seconds: Since the start.
    """

    epoch: int
    error: float
    loss: float
    bits: float
    seconds: float


Penalty = Callable[[float, float, float], float]
"""From error, loss and bits of the epoch before to λ, the rate penalty in nats of loss per bit."""


def train_quantized(
    network: QATNetwork,
    images: ImageSet,
    inputs: InputMap,
    settings: QATSettings,
    *,
    penalty: Penalty,
    on_epoch: Callable[[QATEpoch], None] | None = None,
) -> list[QATEpoch]:
    """Minimise mean cross-entropy + λ · bits, in place.

    The penalty is asked for anew after every epoch; before the first one it is 0.

    Args:
        network: Changed in place; on the device of the images.
        images: All of them are used in every epoch, but for a last incomplete batch.
        inputs: What they are put through.
        settings: Steps, rates and seeds.
        penalty: λ after each epoch.
        on_epoch: Told of each epoch.

    Raises:
        TrainingError: The loss is not finite.
    """
    device = images.images.device
    permutation = inputs.permutation(images.images.shape[-1], device)
    batch_size = min(settings.batch_size, len(images))
    steps_per_epoch = len(images) // batch_size
    num_steps = settings.epochs * steps_per_epoch
    optimizer = torch.optim.Adam(network.parameters(), lr=settings.lr, betas=(0.9, 0.99))
    order_generator = torch.Generator().manual_seed(settings.seed)
    augment_generator = torch.Generator(device).manual_seed(settings.seed)
    start, step, full_coef = time.monotonic(), 0, 0.0
    history = []
    for epoch in range(1, settings.epochs + 1):
        order = torch.randperm(len(images), generator=order_generator).to(device)
        loss_sum = torch.zeros((), dtype=torch.float64, device=device)
        num_wrong = torch.zeros((), dtype=torch.int64, device=device)
        for first in range(0, steps_per_epoch * batch_size, batch_size):
            chosen = order[first : first + batch_size]
            batch = augment_images(
                images.images[chosen],
                settings.augmentation,
                inputs.normalization,
                permutation=permutation,
                generator=augment_generator,
            )
            for group in optimizer.param_groups:
                group["lr"] = _lr(settings.lr, step, num_steps)
            if step % _LENGTHS_EVERY == 0:
                _check_loss(float(loss_sum), epoch, settings.lr)
                network.update_lengths()
            ramp = min(1.0, step / max(settings.ramp * num_steps, 1))
            labels = images.labels[chosen]
            logits = network(batch.contiguous(memory_format=torch.channels_last))
            loss = F.cross_entropy(logits, labels)
            total = loss + full_coef * ramp * network.rate() if full_coef else loss
            optimizer.zero_grad()
            total.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            loss_sum += loss.detach()
            num_wrong += (logits.detach().argmax(dim=1) != labels).sum()
            step += 1
        loss_mean = float(loss_sum) / steps_per_epoch
        _check_loss(loss_mean, epoch, settings.lr)
        metrics = QATEpoch(
            epoch=epoch,
            error=int(num_wrong) / (steps_per_epoch * batch_size),
            loss=loss_mean,
            bits=_bits(network),
            seconds=time.monotonic() - start,
        )
        full_coef = penalty(metrics.error, metrics.loss, metrics.bits)
        history.append(metrics)
        if on_epoch is not None:
            on_epoch(metrics)
    return history


def _check_loss(loss: float, epoch: int, lr: float) -> None:
    if not math.isfinite(loss):
        raise TrainingError(
            f"the loss is not finite in epoch {epoch}; lower the learning rate of {lr}"
        )


@torch.no_grad()
def evaluate_quantized(network: QATNetwork, images: ImageSet, inputs: InputMap) -> Tensor:
    """Logits (N, c) of all images, float32, with the network as it is rounded now."""
    parts = [
        network(inputs(batch).contiguous(memory_format=torch.channels_last))
        for batch in torch.split(images.images, EVALUATION_BATCH)
    ]
    return torch.cat(parts)


def count_wrong(logits: Tensor, labels: Tensor) -> int:
    """Images whose right logit does not exceed every other, as certificates count errors.

    >>> count_wrong(torch.tensor([[0.0, 1.0], [2.0, 2.0]]), torch.tensor([1, 0]))
    1
    """
    index = labels[:, None]
    others = logits.scatter(1, index, float("-inf")).amax(dim=1)
    return len(labels) - int((logits.gather(1, index)[:, 0] > others).sum())


@torch.no_grad()
def _bits(network: QATNetwork) -> float:
    network.update_lengths()
    return float(network.rate())


def _lr(highest: float, step: int, num_steps: int) -> float:
    warm_up = min(1.0, (step + 1) / min(_WARM_UP, num_steps))
    return highest * warm_up * 0.5 * (1 + math.cos(math.pi * step / num_steps))
