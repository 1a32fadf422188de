"""Quantization-aware training with a straight-through estimator and a rate penalty."""

import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from analysis.compress.qat_network import QATNetwork
from training.augment.inputs import augment_images
from training.data.image_set import ImageSet
from training.data.input_map import InputMap
from training.errors import TrainingError
from training.run.emulated_products import emulated_products
from training.run.state import derive_seed
from training.spec.config import Augmentation, Precision

_LENGTHS_EVERY = 20  # steps
_WARM_UP = 100  # steps
EVALUATION_BATCH = 2048
_DTYPES = {"bf16": torch.bfloat16, "fp32": torch.float32}


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
        precision: Arithmetic of the layers, "bf16" or "fp32"; latents, Adam and the loss stay at
            float32, and so do the errors that are counted on the way.

    Raises:
        ValueError: A value outside its range.
    """

    epochs: int
    batch_size: int = 256
    lr: float = 0.03
    ramp: float = 0.5
    seed: int = 0
    augmentation: Augmentation = field(default_factory=Augmentation)
    precision: Precision = "fp32"

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be >= 1, not {getattr(self, name)}")
        if not (math.isfinite(self.lr) and self.lr > 0):
            raise ValueError(f"lr must be > 0, not {self.lr}")
        if not 0 <= self.ramp <= 1:
            raise ValueError(f"ramp must lie in [0, 1], not {self.ramp}")
        if self.precision not in _DTYPES:
            raise ValueError(f"precision must be bf16 or fp32, not {self.precision!r}")


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


class QATTraining:
    """Minimises mean cross-entropy + λ · bits, in place, step by step.

    The penalty is asked for anew after every epoch; before the first one it is 0. The order of the
    images and the augmentation of an epoch are seeded by the seed and the epoch, so that training
    can be cut after any step and continues to the same bits from what `state` gave.

    Args:
        network: Changed in place; on the device of the images.
        images: All of them are used in every epoch, but for a last incomplete batch.
        inputs: What they are put through.
        settings: Steps, rates and seeds.
        penalty: λ after each epoch.

    Attributes:
        step: Steps done.
        num_steps: All of them.
    """

    def __init__(
        self,
        network: QATNetwork,
        images: ImageSet,
        inputs: InputMap,
        settings: QATSettings,
        *,
        penalty: Penalty,
    ) -> None:
        device = images.images.device
        self.network, self.images, self.inputs = network, images, inputs
        self.settings, self.penalty = settings, penalty
        self._permutation = inputs.permutation(images.images.shape[-1], device)
        self._batch_size = min(settings.batch_size, len(images))
        self._steps_per_epoch = len(images) // self._batch_size
        self.step, self.num_steps = 0, settings.epochs * self._steps_per_epoch
        self._optimizer = torch.optim.Adam(
            network.parameters(), lr=settings.lr, betas=(0.9, 0.99), fused=True
        )
        self._augment_generator = torch.Generator(device)
        self._order = torch.empty(0, dtype=torch.int64)
        self._loss_sum = torch.zeros((), dtype=torch.float64, device=device)
        self._num_wrong = torch.zeros((), dtype=torch.int64, device=device)
        self._coef = 0.0
        self._products = emulated_products(settings.precision, device)
        self._seconds, self._since = 0.0, time.monotonic()

    @property
    def epoch(self) -> int:
        """Epochs done."""
        return self.step // self._steps_per_epoch

    @property
    def is_done(self) -> bool:
        """Whether no step is left."""
        return self.step == self.num_steps

    def take_step(self) -> QATEpoch | None:
        """One step of Adam; what the epoch came to if it was its last one.

        Raises:
            TrainingError: The loss is not finite.
        """
        settings, network, first = self.settings, self.network, self.step % self._steps_per_epoch
        if first == 0:
            self._begin_epoch()
        if self.step % _LENGTHS_EVERY == 0:
            _check_loss(float(self._loss_sum), self.epoch + 1, settings.lr)
            network.update_lengths()
        chosen = self._order[first * self._batch_size :][: self._batch_size]
        labels = self.images.labels[chosen]
        batch = augment_images(
            self.images.images[chosen],
            settings.augmentation,
            self.inputs.normalization,
            permutation=self._permutation,
            generator=self._augment_generator,
            dtype=_DTYPES[settings.precision],
        )
        coef = self._coef * min(1.0, self.step / max(settings.ramp * self.num_steps, 1))
        self._optimizer.zero_grad()
        with self._products:
            logits = network(batch)
            loss = F.cross_entropy(logits, labels)
            total = loss + coef * network.rate() if coef else loss
            total.backward()  # type: ignore[no-untyped-call]
        for group in self._optimizer.param_groups:
            group["lr"] = _lr(settings.lr, self.step, self.num_steps)
        self._optimizer.step()
        self._loss_sum += loss.detach()
        self._num_wrong += (logits.detach().argmax(dim=1) != labels).sum()
        self.step += 1
        return None if self.step % self._steps_per_epoch else self._end_epoch()

    def state(self) -> dict[str, Any]:
        """All that `restore` needs: numbers, and tensors that are the training's own."""
        adam = self._optimizer.state_dict()["state"]
        return {
            "values": self.network.values.detach(),
            "log_scales": self.network.log_scales.detach(),
            "lengths": self.network.lengths,
            "statistics": self.network.statistics,
            **{f"adam.{i}.{name}": value for i in adam for name, value in adam[i].items()},
            "augment_generator": self._augment_generator.get_state(),
            "step": self.step,
            "loss_sum": float(self._loss_sum),
            "num_wrong": int(self._num_wrong),
            "coef": self._coef,
            "seconds": self._elapsed(),
        }

    def restore(self, saved: Mapping[str, Any]) -> None:
        """Continue where `state` was asked for; as if there had been no stop on the same machine.

        Raises:
            KeyError, RuntimeError: It is not the state of such a training.
        """
        network = self.network
        with torch.no_grad():
            network.values.copy_(saved["values"])
            network.log_scales.copy_(saved["log_scales"])
            network.statistics.copy_(saved["statistics"])
        network.lengths = saved["lengths"].to(network.lengths.device)
        adam: dict[int, dict[str, Any]] = {}
        for key, value in saved.items():
            if key.startswith("adam."):
                _, index, name = key.split(".")
                adam.setdefault(int(index), {})[name] = value
        groups = self._optimizer.state_dict()["param_groups"]
        self._optimizer.load_state_dict({"state": adam, "param_groups": groups})
        self.step, self._coef = int(saved["step"]), float(saved["coef"])
        if self.step % self._steps_per_epoch:
            self._begin_epoch()
        self._augment_generator.set_state(saved["augment_generator"])
        self._loss_sum.fill_(saved["loss_sum"])
        self._num_wrong.fill_(saved["num_wrong"])
        self._seconds, self._since = float(saved["seconds"]), time.monotonic()

    def _begin_epoch(self) -> None:
        device, seed, epoch = self.images.images.device, self.settings.seed, self.epoch
        generator = torch.Generator().manual_seed(derive_seed(seed, "order", epoch))
        self._order = torch.randperm(len(self.images), generator=generator).to(device)
        self._augment_generator.manual_seed(derive_seed(seed, "augment", epoch))
        self._loss_sum.zero_()
        self._num_wrong.zero_()

    def _end_epoch(self) -> QATEpoch:
        loss = float(self._loss_sum) / self._steps_per_epoch
        _check_loss(loss, self.epoch, self.settings.lr)
        with torch.no_grad():
            self.network.update_lengths()
            bits = float(self.network.rate())
        metrics = QATEpoch(
            epoch=self.epoch,
            error=int(self._num_wrong) / (self._steps_per_epoch * self._batch_size),
            loss=loss,
            bits=bits,
            seconds=self._elapsed(),
        )
        self._coef = self.penalty(metrics.error, metrics.loss, metrics.bits)
        return metrics

    def _elapsed(self) -> float:
        return self._seconds + time.monotonic() - self._since


def _check_loss(loss: float, epoch: int, lr: float) -> None:
    if not math.isfinite(loss):
        raise TrainingError(
            f"the loss is not finite in epoch {epoch}; lower the learning rate of {lr}"
        )


@torch.no_grad()
def evaluate_quantized(
    network: QATNetwork,
    images: ImageSet,
    inputs: InputMap,
    *,
    on_batch: Callable[[], None] = lambda: None,
) -> Tensor:
    """Logits (N, c) of all images, float32, with the network as it is rounded now.

    Args:
        network: The network.
        images: The images.
        inputs: What they are put through.
        on_batch: Called before each batch; what it raises ends the evaluation.
    """
    return torch.cat([network(batch) for batch in input_batches(images.images, inputs, on_batch)])


def input_batches(
    images: Tensor, inputs: InputMap, on_batch: Callable[[], None]
) -> Iterator[Tensor]:
    """The images batch by batch, put through the inputs; `on_batch` is called before each."""
    for batch in torch.split(images, EVALUATION_BATCH):
        on_batch()
        yield inputs(batch)


def count_wrong(logits: Tensor, labels: Tensor) -> int:
    """Images whose right logit does not exceed every other, as certificates count errors.

    >>> count_wrong(torch.tensor([[0.0, 1.0], [2.0, 2.0]]), torch.tensor([1, 0]))
    1
    """
    index = labels[:, None]
    others = logits.scatter(1, index, float("-inf")).amax(dim=1)
    return len(labels) - int((logits.gather(1, index)[:, 0] > others).sum())


def _lr(highest: float, step: int, num_steps: int) -> float:
    warm_up = min(1.0, (step + 1) / min(_WARM_UP, num_steps))
    return highest * warm_up * 0.5 * (1 + math.cos(math.pi * step / num_steps))
