"""A training step as public code takes it: plain modules, casts by autocast, a naive optimizer."""

import torch
import torch.nn.functional as F
from torch import Tensor

from mdl.bench.naive_networks import build_naive
from mdl.bench.naive_optimizers import step_by_indexing
from training.data.image_set import ImageSet
from training.spec.architectures import NetworkSpec
from training.spec.config import TrainConfig


class NaiveStep:
    """One step on inputs that are normalised already; call it to take it.

    The loader is left out of it, which in public code is not free: the augmentation's lines have
    it. β-lasso is the form with temporaries and boolean indices; SGD is torch's own.

    Args:
        spec: The network.
        config: Its optimizer's values.
        batch: The images of every step.
        precision: "bf16" or "fp16" under autocast, or "fp32".
    """

    def __init__(
        self, spec: NetworkSpec, config: TrainConfig, batch: ImageSet, *, precision: str
    ) -> None:
        device = batch.images.device
        self.config = config
        self.inputs: Tensor = (batch.images.to(torch.float32) / 255 - 0.5) / 0.25
        self.labels = batch.labels
        self.network = build_naive(spec).to(device)
        self.low = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(precision)
        self.sgd = torch.optim.SGD(
            self.network.parameters(),
            lr=config.lr,
            momentum=config.momentum,
            weight_decay=config.weight_decay,
        )

    def __call__(self) -> None:
        """Forward, backward, optimizer."""
        config, device = self.config, self.inputs.device
        self.network.zero_grad()
        with torch.autocast(device.type, dtype=self.low, enabled=self.low is not None):
            loss = F.cross_entropy(self.network(self.inputs), self.labels)
        loss.backward()  # type: ignore[no-untyped-call]
        if config.method == "sgd":
            self.sgd.step()
            return
        step_by_indexing(
            list(self.network.parameters()),
            lr=config.lr,
            l1_coef=config.l1_conv,
            threshold=config.beta * config.l1_conv,
        )
