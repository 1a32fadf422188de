"""Weights cut into shards, one per rank, by FSDP2, for networks that outgrow one card.

Each layer of the table is gathered just before it computes and let go after it. The optimizer
never sees more than this rank's shards: plain tensors, on which β-lasso and SGD work entry by
entry. What is saved and loaded are whole tensors, so that a run may resume with any number of
ranks, sharded or not.
"""

import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from training.distributed.run_options import RunOptions
from training.distributed.weights import Weights, build_optimizer, check_groups, layer_weights
from training.networks.models import Network, build_network
from training.spec.config import TrainConfig


class Shards(Weights):
    """A network on several ranks, each with a part of every tensor, and its optimizer.

    At bf16 the layers are gathered and computed in bfloat16 and their gradients added up in
    float32; BatchNorm stays in float32.

    Args:
        network: Cut in place. Its tensors move to the device of `options` one layer at a time.
        config: Names the optimizer and the precision.
        options: Device and ranks of the run, at least two.
    """

    def __init__(self, network: Network, config: TrainConfig, options: RunOptions) -> None:
        self.model = self._network = network
        self._ranks = options.ranks
        self._mesh = init_device_mesh(options.device.type, (options.ranks.size,))
        self._dtype = next(network.parameters()).dtype
        policy = MixedPrecisionPolicy()
        if config.precision == "bf16":
            policy = MixedPrecisionPolicy(torch.bfloat16, torch.float32)
        _cut_layers(network, self._mesh, policy)
        self._shards: dict[Tensor, Tensor] = {
            parameter: local_part(parameter) for parameter in network.parameters()
        }
        self.optimizer = build_optimizer(network, config)
        for group in self.optimizer.param_groups:
            group["params"] = [self._shards[parameter] for parameter in group["params"]]

    @property
    def weight_bytes(self) -> int:
        """Bytes of this rank's parts of the layers' weights."""
        weights = layer_weights(self._network).values()
        return sum(self._shards[weight].nbytes for weight in weights)

    def take_gradients(self) -> None:
        """Give every shard the gradient that the backward pass left for it."""
        for parameter, shard in self._shards.items():
            gradient = parameter.grad
            shard.grad = None if gradient is None else local_part(gradient)
            parameter.grad = None

    def num_nonzeros(self) -> dict[str, int]:
        """Nonzero weights by layer, in all shards together; every rank must ask."""
        return {
            name: self._ranks.sum(self._count_nonzeros(self._shards[weight]))
            for name, weight in layer_weights(self._network).items()
        }

    def local_tensors(self) -> list[Tensor]:
        """This rank's part of every tensor of the network."""
        return [local_part(tensor) for tensor in self._network.state_dict().values()]

    def exact_network(self) -> Network:
        """A network of equal shards that computes in the type of its weights, in eval mode."""
        with torch.device("meta"):
            network = build_network(self._network.spec).to(self._dtype)
        _cut_layers(network, self._mesh, MixedPrecisionPolicy())
        network.to_empty(device=self._mesh.device_type)
        network.load_state_dict(self._network.state_dict())
        return network.eval()

    def whole_state(self) -> dict[str, Tensor]:
        """The network's state dict of whole tensors, on the CPU of rank 0; empty on the others.

        Every rank must ask. One tensor at a time is whole on the device.
        """
        state = {}
        for name, value in self._network.state_dict().items():
            detached = value.detach()
            whole = detached.full_tensor() if isinstance(detached, DTensor) else detached
            if self._ranks.is_first:
                state[name] = whole.cpu()
        return state

    def whole_optimizer_state(self) -> dict[str, Any]:
        """The optimizer's state dict with whole tensors in place of shards; every rank must ask."""
        return self._map_state(self.optimizer.state_dict(), _join)

    def load(self, state: dict[str, Tensor], optimizer_state: dict[str, Any]) -> None:
        """Take over what `whole_state` and `whole_optimizer_state` gave; no rank waits for another.

        Raises:
            KeyError, RuntimeError, ValueError: They do not fit.
        """
        check_groups(self.optimizer, optimizer_state["param_groups"])
        parts = {
            name: _cut(state[name], mine) if isinstance(mine, DTensor) else state[name]
            for name, mine in self._network.state_dict().items()
        }
        self._network.load_state_dict(parts)
        cut_state = self._map_state(
            optimizer_state, lambda whole, like: local_part(_cut(whole, like))
        )
        self.optimizer.load_state_dict(cut_state)

    def _map_state(
        self, state: dict[str, Any], change: Callable[[Tensor, DTensor], Tensor]
    ) -> dict[str, Any]:
        """Change every tensor that belongs to a parameter. A state dict numbers the parameters."""
        wholes = {id(shard): parameter for parameter, shard in self._shards.items()}
        numbered: list[Any] = [
            wholes[id(shard)] for group in self.optimizer.param_groups for shard in group["params"]
        ]
        changed = {
            number: {
                name: change(value, numbered[number]) if isinstance(value, Tensor) else value
                for name, value in entries.items()
            }
            for number, entries in state["state"].items()
        }
        return state | {"state": changed}


def local_part(tensor: Tensor) -> Tensor:
    """This rank's part of a tensor, in the same memory: all of it if it is not cut."""
    detached = tensor.detach()
    return detached.to_local() if isinstance(detached, DTensor) else detached


def _cut_layers(network: Network, mesh: DeviceMesh, policy: MixedPrecisionPolicy) -> None:
    # Our networks never change a layer's output in place, which is what torch warns of.
    warnings.filterwarnings("ignore", "FSDP2-wrapped module .* returned a view", UserWarning)
    for layer in network.spec.layers:
        module: nn.Module = network.get_submodule(layer.name)
        fully_shard(module, mesh=mesh, mp_policy=policy)
    fully_shard(network, mesh=mesh)


def _cut(whole: Tensor, like: DTensor) -> DTensor:
    if whole.shape != like.shape:
        raise ValueError(f"a tensor has shape {tuple(whole.shape)}, not {tuple(like.shape)}")
    part = whole.to(like.device_mesh.device_type)
    return distribute_tensor(part, like.device_mesh, like.placements, src_data_rank=None)


def _join(shard: Tensor, like: DTensor) -> Tensor:
    joined = DTensor.from_local(
        shard, like.device_mesh, like.placements, shape=like.shape, stride=like.stride()
    )
    return joined.full_tensor()
