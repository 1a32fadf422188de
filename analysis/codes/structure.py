"""Structure that a network has beyond its support: weights shared as a smaller twin shares them.

A convolution is a fully-connected layer whose weights are mostly zero and otherwise shared. So a
description of an s-fc may say "its weights are those of a convolution" and write down the kernels:
a map g from n weights to k values whose length |d(g)| is that of the small network. The decoder
embeds the small network to have every weight of the large one.
"""

import torch
from torch import Tensor

from analysis.codes.message import NetworkMessage
from training.networks.embedding import embed_state, input_units
from training.spec.architectures import LayerSpec, NetworkSpec

_SMALLER = {"fc": ("conv", "local"), "local": ("conv",)}


def smaller_kinds(spec: NetworkSpec) -> tuple[str, ...]:
    """Kinds of the twins that embed in a network, the smallest first; () if it has none.

    >>> smaller_kinds(NetworkSpec(name="s-fc", image_size=8, num_classes=2, base_channels=1))
    ('conv', 'local')
    """
    return () if spec.family is None else _SMALLER.get(spec.name.split("-")[1], ())


def structured_codes(message: NetworkMessage) -> tuple[str, ...]:
    """Names of the structured codes that can describe a network exactly, the tightest first."""
    for kind in smaller_kinds(message.network) if message.can_run else ():
        if _extract(message.network, message.state, kind) is not None:
            return (f"structured-{kind}",)
    return ()


def extract_twin(message: NetworkMessage, kind: str) -> dict[str, Tensor]:
    """The state of the smaller twin whose embedding a network is.

    Args:
        message: A network of a d- or s- family.
        kind: "conv" or "local".

    Raises:
        ValueError: The network is not the embedding of such a twin.
    """
    if message.can_run and kind in smaller_kinds(message.network):
        found = _extract(message.network, message.state, kind)
        if found is not None:
            return found
    raise ValueError(
        f"{message.spec.name} does not have the structure of a {kind} network; use another code"
    )


def _extract(spec: NetworkSpec, state: dict[str, Tensor], kind: str) -> dict[str, Tensor] | None:
    """The twin's state, or None if embedding it does not give the network back."""
    twin = spec.twin(kind)
    targets = {layer.name: layer for layer in spec.layers}
    found: dict[str, Tensor] = {}
    for layer in twin.layers:
        large = targets[layer.name]
        for name, tensor in state.items():
            owner, _, field = name.rpartition(".")
            if owner == layer.name and field == "weight":
                found[name] = _extract_weight(layer, large, tensor)
            elif owner == layer.name:
                found[name] = tensor
            elif owner == f"{layer.name}_norm":
                repeats = large.num_norm_features // layer.num_norm_features
                found[name] = tensor[::repeats].contiguous()
    whole = embed_state(twin, found, spec.name.split("-")[1])
    same = all(torch.equal(whole[name], tensor) for name, tensor in state.items())
    return {name: found[name] for name in state} if same else None


def _extract_weight(small: LayerSpec, large: LayerSpec, weight: Tensor) -> Tensor:
    if small.kind == large.kind:
        return weight
    units = input_units(small)
    positions = torch.arange(len(units))
    acting = units >= 0
    if large.kind == "dense":
        dense = weight.view(small.out_channels, len(units), small.in_features)
        local = dense[:, positions[:, None], units.clamp(min=0)].permute(1, 0, 2)
        local = torch.where(acting[:, None, :], local, 0)
    else:
        local = weight
    if small.kind == "local":
        return local.contiguous()
    # The first position at which an entry of the kernel sees a pixel; 0 if it never does.
    first = acting.to(torch.int8).argmax(dim=0)
    kernel = local[first, :, torch.arange(units.shape[1])].t()
    kernel = torch.where(acting.any(dim=0), kernel, 0)
    return kernel.reshape(small.weight_shape).contiguous()
