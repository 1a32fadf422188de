"""When to cut the weights into shards: as asked for, or where a whole copy outgrows a card."""

from typing import Literal

import torch

from training.distributed.ranks import Ranks
from training.spec.architectures import NetworkSpec
from training.spec.config import TrainConfig

Sharding = Literal["auto", "never", "always"]

SHARE_FOR_WEIGHTS = 0.7
"""Part of a card that a copy of the weights may fill; the rest is for activations and images."""

# Of the weight, its gradient, and what the forward pass reads in its place.
_BYTES = {"bf16": 4 + 2 + 2, "fp16": 4 + 4 + 2, "fp32": 4 + 4, "fp64": 8 + 8}


def check_ranks(config: TrainConfig, ranks: Ranks, choice: Sharding) -> None:
    """Refuse settings that do not go with so many ranks.

    Raises:
        ValueError: Fewer images a step than ranks; "always" with one rank, or at fp16, whose loss
            scaling knows no shards.
    """
    if config.batch_size < ranks.size:
        raise ValueError(
            f"--batch-size must be at least the number of ranks, {ranks.size}, not "
            f"{config.batch_size}"
        )
    if choice == "always" and ranks.size == 1:
        raise ValueError("--shard always needs several ranks; start them with torchrun")
    if choice == "always" and config.precision == "fp16":
        raise ValueError("--shard always does not go with --precision fp16; use bf16")


def chooses_shards(
    choice: Sharding, *, spec: NetworkSpec, config: TrainConfig, ranks: Ranks, device: torch.device
) -> bool:
    """Whether to shard; all ranks agree, and each must ask.

    "auto" shards where `replica_bytes` is more than `SHARE_FOR_WEIGHTS` of some rank's card. It
    does not on CPUs.

    Raises:
        ValueError: As `check_ranks`.
    """
    check_ranks(config, ranks, choice)
    if choice != "auto" or ranks.size == 1 or config.precision == "fp16":
        return choice == "always"
    fits = True
    if device.type == "cuda":
        memory = torch.cuda.get_device_properties(device).total_memory
        fits = replica_bytes(spec, config) <= SHARE_FOR_WEIGHTS * memory
    return not ranks.all_hold(fits)


def replica_bytes(spec: NetworkSpec, config: TrainConfig) -> int:
    """Memory of a whole copy of the weights, with gradients, working copies and momentum.

    >>> config = TrainConfig(network="3-fc", hidden_units=5, precision="bf16")
    >>> replica_bytes(config.network_spec(image_size=2, num_classes=5, in_channels=1), config)
    560
    """
    num_weights = sum(layer.num_weights for layer in spec.layers)
    weight = 8 if config.precision == "fp64" else 4
    return num_weights * (_BYTES[config.precision] + (weight if config.method == "sgd" else 0))
