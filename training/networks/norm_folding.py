"""Folds BatchNorm in eval mode into one scale and one shift per unit."""

import torch
from torch import Tensor

from training.networks.models import Network, network_from_state
from training.networks.network import BATCH_NORM_EPS, is_folded
from training.spec.architectures import NetworkSpec


def fold_batch_norm(network: Network) -> Network:
    """The same function of images as `network` in eval mode, without running statistics.

    With BatchNorm's weight γ, bias β, running mean μ and running variance σ²,

        γ (x - μ) / √(σ² + ε) + β = scale · x + shift,
        scale = γ / √(σ² + ε),  shift = β - μ · scale.

    Both are computed in float64 and given in the network's own type. The result is a copy, in
    eval mode and without dropout; a network that is folded already comes back as a copy.
    """
    folded = network_from_state(network.spec, fold_state(network.spec, network.state_dict()))
    return folded.eval()


def fold_state(spec: NetworkSpec, state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The state dict of `fold_batch_norm`, for a state dict of the network `spec`; all copies.

    Raises:
        ValueError: A tensor of BatchNorm is missing.
    """
    if is_folded(state):
        return {name: tensor.detach().clone() for name, tensor in state.items()}
    norms = {f"{layer.name}_norm" for layer in spec.layers if layer.normalized}
    folded = {}
    for name, tensor in state.items():
        owner, _, field = name.rpartition(".")
        if owner not in norms:
            folded[name] = tensor.detach().clone()
        elif field == "weight":
            folded[f"{owner}.scale"], folded[f"{owner}.shift"] = _fold(owner, state)
    return folded


def _fold(norm: str, state: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    fields = ("weight", "bias", "running_mean", "running_var")
    missing = [f"{norm}.{field}" for field in fields if f"{norm}.{field}" not in state]
    if missing:
        raise ValueError(f"the state lacks {', '.join(missing)}")
    weight, bias, mean, variance = (
        state[f"{norm}.{field}"].detach().to(torch.float64) for field in fields
    )
    scale = weight / torch.sqrt(variance + BATCH_NORM_EPS)
    dtype = state[f"{norm}.weight"].dtype
    return scale.to(dtype), (bias - mean * scale).to(dtype)
