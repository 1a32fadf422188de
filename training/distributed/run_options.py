"""How a run uses its machine: what concerns time and memory, and the weights but for rounding."""

from dataclasses import dataclass

import torch

from training.distributed.ranks import ALONE, Ranks
from training.errors import ConfigError
from training.spec.architectures import NetworkSpec
from training.spec.config import SaveInterval, Sharding, Sparsity, TrainConfig

SHARE_FOR_WEIGHTS = 0.7
"""Part of a card that a copy of the weights may fill; the rest is for activations and images."""

_CPU, _EVERY_EPOCH = torch.device("cpu"), SaveInterval()
# Of the weight, its gradient, and what the forward pass reads in its place.
_BYTES = {"bf16": 4 + 2 + 2, "fp16": 4 + 4 + 2, "fp32": 4 + 4, "fp64": 8 + 8}


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """What a run has beside its `TrainConfig`.

    Attributes:
        device: Where this rank computes.
        ranks: All ranks of the run.
        sharding: "always" cuts the weights into shards (`training.distributed.shards`), "never"
            does not, "auto" does where a copy outgrows a card.
        sparsity: "auto" makes layers sparse (`training.sparse`) where that takes less time as
            measured here, "typical" where it typically does, "always" where it takes less memory,
            "never" nowhere.
        save_every: Training between two checkpoints.
        evaluate_every: Epochs between two evaluations, >= 1.
    """

    device: torch.device = _CPU
    ranks: Ranks = ALONE
    sharding: Sharding = "auto"
    sparsity: Sparsity = "never"
    save_every: SaveInterval = _EVERY_EPOCH
    evaluate_every: int = 1

    def check(self, config: TrainConfig) -> None:
        """Refuse settings that do not go with the number of ranks or the training.

        Raises:
            ConfigError: Fewer images per step than ranks; "always" shards with one rank, or at
                fp16, whose loss scaling knows no shards; "always" sparse where nothing may be.
        """
        if config.batch_size < self.ranks.size:
            raise ConfigError.naming(
                "{batch_size} must be at least the number of ranks, {}, not {}",
                self.ranks.size,
                config.batch_size,
            )
        if self.sharding == "always" and self.ranks.size == 1:
            raise ConfigError.naming(
                "{sharding} always needs several ranks; start them with torchrun"
            )
        if self.sharding == "always" and config.precision == "fp16":
            raise ConfigError.naming(
                "{sharding} always does not go with {precision} fp16; use bf16"
            )

        can_be_sparse = self.chooses_sparse(config) and config.has_threshold
        if self.sparsity == "always" and not can_be_sparse:
            raise ConfigError.naming(
                "{sparsity} always needs {method} beta-lasso with {beta} and λ > 0, one rank, a "
                "CPU or CUDA, and another {precision} than fp16: else no layer can be sparse"
            )

    def chooses_shards(self, config: TrainConfig, spec: NetworkSpec) -> bool:
        """Whether to shard; all ranks agree, and each must ask.

        "auto" shards where `replica_bytes` is more than `SHARE_FOR_WEIGHTS` of some rank's card. It
        does not on CPUs.

        Raises:
            ConfigError: As `check`.
        """
        self.check(config)
        if self.sharding != "auto" or self.ranks.size == 1 or config.precision == "fp16":
            return self.sharding == "always"
        fits = True
        if self.device.type == "cuda":
            memory = torch.cuda.get_device_properties(self.device).total_memory
            fits = replica_bytes(spec, config) <= SHARE_FOR_WEIGHTS * memory
        return not self.ranks.all_hold(fits)

    def chooses_sparse(self, config: TrainConfig) -> bool:
        """Whether layers of this run may become sparse: under β-lasso on one rank.

        fp16 is left out: its gradients are scaled, and steps are skipped. So are several ranks, and
        device types that no product has been written for.
        """
        has_products = self.device.type in ("cpu", "cuda")
        fits = has_products and self.ranks.size == 1 and config.precision != "fp16"
        return self.sparsity != "never" and fits and config.method == "beta-lasso"


def replica_bytes(spec: NetworkSpec, config: TrainConfig) -> int:
    """Memory of a whole copy of the weights, with gradients, working copies and momentum.

    >>> config = TrainConfig(network="3-fc", hidden_units=5, precision="bf16")
    >>> replica_bytes(config.network_spec(image_size=2, num_classes=5, in_channels=1), config)
    560
    """
    num_weights = sum(layer.num_weights for layer in spec.layers)
    weight = 8 if config.precision == "fp64" else 4
    return num_weights * (_BYTES[config.precision] + (weight if config.method == "sgd" else 0))
