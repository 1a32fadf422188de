"""The weights of a run and their optimizer: the interface, and a whole copy on every rank.

Gradients of copies are averaged by torch's DDP while the backward pass still runs. Where weights
have bfloat16 working copies, their gradients travel, in bfloat16: half the bytes.
"""

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from training.distributed.run_options import RunOptions
from training.networks.models import Network
from training.optim.beta_lasso import BetaLasso, beta_lasso_groups
from training.optim.sgd import MomentumSgd
from training.optim.working_copies import LowPrecisionNetwork, MixedPrecisionOptimizer
from training.spec.config import TrainConfig


class Weights(ABC):
    """A network on one or more ranks, whole or in parts, and its optimizer.

    Attributes:
        optimizer: Steps the weights of this rank.
        model: The forward pass in train mode. Its backward pass leaves averages over all ranks.
    """

    optimizer: MixedPrecisionOptimizer
    model: nn.Module

    @property
    def screened(self) -> dict[str, float]:
        """Layer to its share of screened rows, where any are looked at (`training.sparse`)."""
        return {}

    @property
    def sparse_layers(self) -> list[str]:
        """Layers that compute with their nonzeros alone (`training.sparse`)."""
        return []

    @property
    def is_settled(self) -> bool:
        """Whether a step is the same work on the same tensors as the one before."""
        return True

    @property
    @abstractmethod
    def weight_bytes(self) -> int:
        """Bytes of the layers' weights, with copies and supports, on this rank."""

    def begin_epoch(self, epoch: int, *, batch_size: int) -> None:  # noqa: B027
        """Choose the layers that are sparse from now on.

        Args:
            epoch: Its number, from 1.
            batch_size: Images per step.
        """

    def step_sparse_layers(self) -> None:  # noqa: B027
        """Move the weights that the optimizer does not hold."""

    def take_gradients(self) -> None:  # noqa: B027
        """Bring gradients to where the optimizer looks for them."""

    @abstractmethod
    def num_nonzeros(self) -> dict[str, int]:
        """Nonzero weights by layer, on all ranks together; every rank must ask."""

    @abstractmethod
    def local_tensors(self) -> list[Tensor]:
        """Every tensor of the network as it is stored, this rank's part of it."""

    @abstractmethod
    def exact_network(self) -> Network:
        """A network that computes in the type of its weights: what a checkpoint gives."""

    @abstractmethod
    def whole_state(self) -> dict[str, Tensor]:
        """The network's state dict of whole tensors, at least on rank 0; every rank must ask."""

    @abstractmethod
    def whole_optimizer_state(self) -> dict[str, Any]:
        """The optimizer's state dict of whole tensors; every rank must ask."""

    @abstractmethod
    def load(self, state: dict[str, Tensor], optimizer_state: dict[str, Any]) -> None:
        """Take over what `whole_state` and `whole_optimizer_state` gave.

        Raises:
            AttributeError, KeyError, TypeError, RuntimeError, ValueError: They do not fit.
        """

    def _count_nonzeros(self, parameter: Tensor) -> int:
        """Of a tensor that the optimizer holds, as its last step counted them if it did."""
        counted = self.optimizer.num_nonzeros(parameter)
        return int(torch.count_nonzero(parameter) if counted is None else counted)


class Replicas(Weights):
    """A network on one or more ranks, each with all of it, and its optimizer.

    Args:
        network: Moves to the device of `options`.
        config: Names the optimizer and the precision; at bf16 the layers compute with
            working copies.
        options: Device and ranks of the run. All ranks begin with rank 0's weights.
    """

    def __init__(self, network: Network, config: TrainConfig, options: RunOptions) -> None:
        device = options.device
        self._network = network.to(device)
        self.optimizer = build_optimizer(network, config)
        self._weights = layer_weights(network)
        if config.precision == "bf16":
            self.optimizer.attach_working_copies(self._weights.values())
        self.model: nn.Module = self._make_model()
        if options.ranks.size > 1:
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
    def weight_bytes(self) -> int:
        """Bytes of the layers' weights and of their low-precision copies on this rank."""
        copies = self.optimizer.working_copies.values()
        return sum(each.nbytes for each in [*self._weights.values(), *copies])

    def num_nonzeros(self) -> dict[str, int]:
        """Nonzero weights by layer."""
        return {name: self._count_nonzeros(weight) for name, weight in self._weights.items()}

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
        check_groups(self.optimizer, optimizer_state["param_groups"])
        _check_buffers(self.optimizer, optimizer_state["state"])
        self._network.load_state_dict(state)
        self.optimizer.load_state_dict(optimizer_state)
        self.optimizer.refresh_working_copies()


def check_groups(optimizer: torch.optim.Optimizer, saved: list[dict[str, Any]]) -> None:
    """Refuse groups of other parameters, or with other settings than the run's; η moves on.

    Settings that an earlier version did not have may be missing.

    Raises:
        ValueError: Names the setting.
    """
    for group, other in zip(optimizer.state_dict()["param_groups"], saved, strict=True):
        for name in other.keys() - {"lr"}:
            if type(group.get(name)) is not type(other[name]) or group[name] != other[name]:
                raise ValueError(f"{name} of a group of the optimizer is not the run's")


def _check_buffers(optimizer: torch.optim.Optimizer, state: dict[int, dict[str, Any]]) -> None:
    """Refuse what an optimizer keeps of parameters that have another shape, or are not there.

    Raises:
        ValueError: Names the parameter.
    """
    parameters = [each for group in optimizer.param_groups for each in group["params"]]
    for number, entries in state.items():
        if number >= len(parameters):
            raise ValueError(f"the optimizer has no parameter {number}")
        for name, buffer in entries.items():
            shape = parameters[number].shape
            if not isinstance(buffer, Tensor) or buffer.shape != shape:
                raise ValueError(f"{name} of parameter {number} must be a tensor {tuple(shape)}")


def layer_weights(network: Network) -> dict[str, nn.Parameter]:
    """Layer to its weight, in the order of the table."""
    return {
        layer.name: network.get_parameter(f"{layer.name}.weight") for layer in network.spec.layers
    }


def build_optimizer(network: Network, config: TrainConfig) -> MixedPrecisionOptimizer:
    """β-lasso or SGD; neither shrinks BatchNorm and biases, by L1 or by weight decay."""
    groups = beta_lasso_groups(
        network, l1_conv=config.l1_conv, l1_fc=config.l1_fc, beta=config.beta
    )
    if config.method == "beta-lasso":
        return BetaLasso(groups, lr=config.lr)
    decay = {"conv": config.weight_decay, "fc": config.weight_decay, "rest": 0.0}
    return MomentumSgd(
        [{"params": group["params"], "weight_decay": decay[group["name"]]} for group in groups],
        lr=config.lr,
        momentum=config.momentum,
    )
