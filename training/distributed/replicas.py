"""A whole copy of the weights on every rank, with gradients averaged by torch's DDP.

DDP adds the gradients up while the backward pass still runs. Where weights have bfloat16
working copies, their gradients travel, in bfloat16: half the bytes.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parallel import DistributedDataParallel

from training.distributed.batch_norm import RanksBatchNorm
from training.distributed.dropout import RanksDropout
from training.distributed.ranks import Ranks
from training.networks.network import Network
from training.optim.build import build_optimizer
from training.optim.working_copies import LowPrecisionNetwork
from training.spec.config import TrainConfig


class Replicas:
    """A network on one or more ranks, each with all of it, and its optimizer.

    `training.distributed.shards.Shards` has the same methods and attributes.

    Args:
        network: Moves to `device`.
        config: Names the optimizer and the precision; at bf16 the layers compute with
            working copies.
        ranks: All ranks of the run. They begin with rank 0's weights.
        device: Where this rank computes.

    Attributes:
        optimizer: Steps the weights.
        model: The forward pass in train mode. Its backward pass leaves averages over all ranks.
    """

    def __init__(
        self, network: Network, config: TrainConfig, *, ranks: Ranks, device: torch.device
    ) -> None:
        self._network = network.to(device)
        self.optimizer = build_optimizer(network, config)
        self._weights = layer_weights(network)
        if config.precision == "bf16":
            self.optimizer.attach_working_copies(self._weights.values())
        self.model: nn.Module = self._make_model()
        if ranks.size > 1:
            self.model = DistributedDataParallel(
                self.model,
                device_ids=[device] if device.type == "cuda" else None,
                gradient_as_bucket_view=True,
            )

    def _make_model(self) -> nn.Module:
        working_copies = {
            f"{name}.weight": self.optimizer.working_copies[weight]
            for name, weight in self._weights.items()
            if weight in self.optimizer.working_copies
        }
        return LowPrecisionNetwork(self._network, working_copies)

    @property
    def screened(self) -> dict[str, float]:
        """Layer to its share of screened rows: none is looked at (`training.sparse`)."""
        return {}

    @property
    def sparse_layers(self) -> list[str]:
        """Layers that compute with their nonzeros alone: none (`training.sparse`)."""
        return []

    @property
    def is_settled(self) -> bool:
        """Whether a step is the same work on the same tensors as the one before: always."""
        return True

    @property
    def weight_bytes(self) -> int:
        """Bytes of the layers' weights and of their low-precision copies on this rank."""
        copies = self.optimizer.working_copies.values()
        return sum(each.nbytes for each in [*self._weights.values(), *copies])

    def begin_epoch(self, *, batch_size: int) -> None:
        """Choose the layers that are sparse from now on: none."""

    def step_sparse_layers(self) -> None:
        """Move the weights that the optimizer does not hold: there are none."""

    def take_gradients(self) -> None:
        """Bring gradients to where the optimizer looks for them: they are there already."""

    def num_nonzeros(self) -> dict[str, int]:
        """Nonzero weights by layer."""
        counts = {}
        for name, weight in self._weights.items():
            counted = self.optimizer.num_nonzeros(weight)
            counts[name] = int(torch.count_nonzero(weight) if counted is None else counted)
        return counts

    def local_tensors(self) -> list[Tensor]:
        """Every tensor of the network, as it is stored."""
        return list(self._network.state_dict().values())

    def exact_network(self) -> Network:
        """The network, computing in the type of its weights."""
        return self._network

    def whole_state(self) -> dict[str, Tensor]:
        """The network's state dict: the tensors themselves."""
        return {name: value.detach() for name, value in self._network.state_dict().items()}

    def whole_optimizer_state(self) -> dict[str, Any]:
        """The optimizer's state dict."""
        return self.optimizer.state_dict()

    def load(self, state: dict[str, Tensor], optimizer_state: dict[str, Any]) -> None:
        """Take over what `whole_state` and `whole_optimizer_state` gave.

        Raises:
            KeyError, RuntimeError, ValueError: They do not fit.
        """
        self._network.load_state_dict(state)
        self.optimizer.load_state_dict(optimizer_state)
        self.optimizer.refresh_working_copies()


def layer_weights(network: Network) -> dict[str, nn.Parameter]:
    """Layer to its weight, in the order of the table."""
    return {
        layer.name: network.get_parameter(f"{layer.name}.weight") for layer in network.spec.layers
    }


def span_ranks(network: Network, ranks: Ranks, *, num_images: int) -> None:
    """Let BatchNorm and dropout see the batch of all ranks: `num_images`, of which each has rows.

    Names and tensors of the network stay as they are. One rank alone leaves it as it is.

    Raises:
        ValueError: Fewer images than ranks.
    """
    if ranks.size == 1:
        return
    if num_images < ranks.size:
        raise ValueError(f"batch_size must be at least the {ranks.size} ranks, not {num_images}")
    for name, module in list(network.named_children()):
        if isinstance(module, _BatchNorm):
            network.set_submodule(name, RanksBatchNorm(module))
        elif isinstance(module, nn.Dropout):
            network.set_submodule(name, RanksDropout(module.p, ranks.part(num_images)))
