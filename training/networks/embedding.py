"""Exact embeddings: conv ⊂ local ⊂ fc, so every network has twins with the same logits."""

import torch
from torch import Tensor

from training.networks.layers import patch_index
from training.networks.models import Network, network_from_state
from training.spec.architectures import LayerSpec, NetworkSpec

_ORDER = ("conv", "local", "fc")
_REASONS = {
    "conv": "its kernels need not be the same at every position",
    "local": "its units may look beyond the kernel's window",
}


def embed_network(network: Network, kind: str) -> Network:
    """The twin of a d- or s- network in a larger family, with the same logits in eval mode.

    Args:
        network: A "conv" or "local" network; plain or folded.
        kind: "local" (from "conv") or "fc" (from "conv" or "local").

    Returns:
        A new network with the same mode, dropout, type and device.

    Raises:
        ValueError: The network has no twins, or `kind` is not a larger family than its own.
    """
    state = embed_state(network.spec, network.state_dict(), kind)
    twin = network_from_state(network.spec.twin(kind), state, dropout=network.dropout)
    return twin.train(network.training)


def embed_state(spec: NetworkSpec, state: dict[str, Tensor], kind: str) -> dict[str, Tensor]:
    """The state dict of `embed_network`, for a state dict of the network `spec`; all copies.

    A weight of the twin is the weight that joins the same two units, or zero where none does.
    Weights that look only at padding never act: they are zero in a "local" twin and do not exist
    in an "fc" twin. BatchNorm's values of a channel, running statistics included, go to each of
    its units.

    Raises:
        ValueError: The network has no twins, `kind` is not a larger family than its own, or a
            weight is missing.
    """
    twin = spec.twin(kind)
    source_kind = spec.name.split("-")[1]
    if source_kind == kind:
        raise ValueError(f"this network is {spec.name} already")
    if _ORDER.index(source_kind) > _ORDER.index(kind):
        raise ValueError(f"{spec.name} does not embed as {twin.name}: {_REASONS[kind]}")
    embedded = {}
    targets = {layer.name: layer for layer in twin.layers}
    for source in spec.layers:
        target = targets[source.name]
        if f"{source.name}.weight" not in state:
            raise ValueError(f"the state lacks {source.name}.weight")
        for name, tensor in state.items():
            owner, _, field = name.rpartition(".")
            if owner == source.name and field == "weight":
                embedded[name] = _embed_weight(source, target, tensor.detach())
            elif owner == source.name:
                embedded[name] = tensor.detach().clone()
            elif owner == f"{source.name}_norm":
                embedded[name] = _embed_norm(source, target, tensor.detach())
    return embedded


def acting_entries(layer: LayerSpec) -> Tensor:
    """Which kernel entries of a convolution see a pixel, not padding, at each position.

    Returns:
        bool (out_size², in_channels·kernel²), in the order of a "local" weight's first and last
        dimension.

    Raises:
        ValueError: A layer of the head, which has no kernel.

    The corner of a 3x3 kernel's output sees four of nine entries:

    >>> layer = LayerSpec(name="conv1", kind="local", group="conv", in_channels=1, in_size=4,
    ...                   out_channels=1, out_size=4, kernel=3)
    >>> acting_entries(layer)[0].int().tolist()
    [0, 0, 0, 0, 1, 1, 0, 1, 1]
    """
    return input_units(layer) >= 0


def input_units(layer: LayerSpec) -> Tensor:
    """The input unit, (channel, row, column), behind each entry of each patch; -1 for padding.

    Returns:
        int64 (out_size², in_channels·kernel²).

    Raises:
        ValueError: A layer of the head, which has no kernel.
    """
    if layer.kernel is None:
        raise ValueError(f"{layer.name} is a dense layer of the head; it has no kernel")
    side, size = layer.in_size + 2 * layer.padding, layer.in_size
    index = patch_index(layer.in_channels, size, layer.kernel, layer.stride)
    channel, row, column = index // side**2, index // side % side, index % side
    row, column = row - layer.padding, column - layer.padding
    inside = (row >= 0) & (row < size) & (column >= 0) & (column < size)
    return torch.where(inside, (channel * size + row) * size + column, -1)


def _embed_weight(source: LayerSpec, target: LayerSpec, weight: Tensor) -> Tensor:
    if source.kind == target.kind:
        return weight.clone()
    units = input_units(source).to(weight.device)
    acting = units >= 0
    if source.kind == "conv":
        weight = weight.flatten(1).expand(len(units), -1, -1)
    if target.kind == "local":
        return torch.where(acting[:, None, :], weight, 0)
    dense = weight.new_zeros(source.out_channels, len(units), source.in_features)
    position, entry = acting.nonzero(as_tuple=True)
    dense[:, position, units[position, entry]] = weight[position, :, entry].t()
    return dense.view(target.weight_shape)


def _embed_norm(source: LayerSpec, target: LayerSpec, tensor: Tensor) -> Tensor:
    """A value per channel becomes a value per unit; counters and values per unit stay."""
    repeats = target.num_norm_features // source.num_norm_features
    return tensor.clone() if tensor.dim() == 0 else tensor.repeat_interleave(repeats)
