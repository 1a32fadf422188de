"""Where layers may become sparse: under β-lasso with a threshold, on one rank."""

from typing import Literal

import torch

from training.distributed.ranks import Ranks
from training.spec.architectures import LayerSpec
from training.spec.config import TrainConfig

Sparsity = Literal["auto", "typical", "always", "never"]
"""By times measured here, by typical times, by memory, or not at all."""

SMALLEST_LAYER = 2**20
"""Weights from which on a layer is worth the question."""

_SMALLEST_THRESHOLD = torch.finfo(torch.float32).tiny


def chooses_sparse(
    choice: Sparsity, *, config: TrainConfig, ranks: Ranks, device: torch.device
) -> bool:
    """Whether layers of this run may become sparse.

    fp16 is left out: its gradients are scaled, and steps are skipped. So are several ranks, and
    device types that no product has been written for.
    """
    fits = device.type in ("cpu", "cuda") and ranks.size == 1 and config.precision != "fp16"
    return choice != "never" and fits and config.method == "beta-lasso"


def may_be_sparse(layer: LayerSpec, config: TrainConfig) -> bool:
    """Whether this layer may become sparse.

    It must be large, dense and without a bias, and have βλ > 0, so that zero weights can stay zero.

    >>> config = TrainConfig(network="s-fc", base_channels=8, l1_conv=1e-5)
    >>> spec = config.network_spec(image_size=32, num_classes=10, in_channels=3)
    >>> {layer.name: may_be_sparse(layer, config) for layer in spec.layers}
    {'conv1': True, 'fc1': False, 'fc2': False}
    """
    l1_coef = config.l1_conv if layer.group == "conv" else config.l1_fc
    is_linear = layer.kind == "dense" and layer.normalized
    is_large = layer.num_weights >= SMALLEST_LAYER
    return is_linear and is_large and config.beta * l1_coef > _SMALLEST_THRESHOLD
