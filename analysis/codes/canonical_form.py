"""Makes a network shorter to describe without changing its function.

Each step takes the tensors of a folded network, numbers of R_b, and gives other numbers of R_b for
the same function of real numbers:

- weights that act on nothing (padding) become zero;
- units that are zero for every image, and units that nothing reads, are taken out;
- a negative scale becomes positive, its weights turning their signs;
- powers of two move from a unit's weights to its scale, where that makes the weights' values alike;
- hidden units are put in the order of their shifts, whose log2 H! bits the code then wins back.

The result is the network that is described, evaluated and certified: errors are counted on it, not
on the network that it came from.
"""

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from analysis.codes.message import NetworkMessage
from analysis.codes.network_code import encode_network
from analysis.quantize.formats import NumberFormat
from training.networks.embedding import acting_entries, input_units
from training.spec.architectures import LayerSpec, NetworkSpec

State = dict[str, Tensor]
MAX_TRIED = 1 << 23
"""Larger networks are not encoded several times to find which of their forms is the shortest."""


@dataclass(frozen=True, kw_only=True)
class Link:
    """A layer with hidden units, and the one layer that reads them.

    A hidden unit is what one scale and one shift belong to: a channel behind a "conv" layer, a
    single unit behind "local" and "dense" ones.

    Attributes:
        source: The layer with the units.
        target: The layer that reads them, after their ReLU.
    """

    source: LayerSpec
    target: LayerSpec

    @property
    def num_groups(self) -> int:
        """Units may change places within a group: positions of a "local" layer are groups.

        Unit u is in group u % num_groups.
        """
        return self.source.out_size**2 if self.source.kind == "local" else 1

    @property
    def is_spatial(self) -> bool:
        """Whether the target sees the units as an image, although any order would do."""
        return self.source.kind == "dense" and self.target.in_size > 1

    def target_units(self) -> Tensor:
        """The unit behind each weight of the target, int64, of a shape that broadcasts to it.

        -1 where a weight sees padding only.
        """
        source, target = self.source, self.target
        if target.kind == "conv":
            return torch.arange(target.in_channels).view(1, -1, 1, 1)
        if target.kind == "local":
            return input_units(target)[:, None, :]
        units = torch.arange(target.in_features)[None, :]
        return units // target.in_size**2 if source.kind == "conv" else units

    def reorder_target(self, weight: Tensor, order: Tensor) -> Tensor:
        """The target's weight when unit u is what was unit order[u]."""
        source, target = self.source, self.target
        if target.kind == "local":
            area = (target.kernel or 1) ** 2
            entries = torch.arange(weight.shape[-1])
            units = input_units(target)
            channels = order[units.clamp(min=0)] // target.in_size**2
            places = torch.where(units >= 0, channels * area + entries % area, entries)
            return weight.gather(2, places[:, None, :].expand_as(weight))
        if target.kind == "dense" and source.kind == "conv":
            parts = weight.view(weight.shape[0], target.in_channels, -1)
            return parts[:, order].reshape(weight.shape)
        return weight[:, order]


def list_links(spec: NetworkSpec) -> tuple[Link, ...]:
    """The links of a network, in the order of the forward pass.

    Only layers whose units feed one other layer and nothing else are links; behind a residual sum
    there are none.

    >>> spec = NetworkSpec(name="s-fc", image_size=8, num_classes=2, base_channels=1)
    >>> [(link.source.name, link.target.name) for link in list_links(spec)]
    [('conv1', 'fc1'), ('fc1', 'fc2')]
    """
    layers = spec.layers
    if spec.name == "resnet18":
        return tuple(
            Link(source=first, target=second)
            for first, second in pairwise(layers)
            if first.name.endswith("_conv1")
        )
    if spec.family is None and spec.name != "3-fc":
        return ()
    return tuple(Link(source=first, target=second) for first, second in pairwise(layers))


def canonical_form(message: NetworkMessage) -> NetworkMessage:
    """The same function in fewer bits, by every step of this module.

    External tensors come back as they are: nothing is known of what reads them.
    """
    if not message.can_run:
        return message
    spec = message.network
    state = remove_idle_weights(spec, message.state)
    state = remove_dead_units(spec, state)
    state = make_scales_positive(spec, state)
    state = move_scales(spec, state, message.number_format)
    ordered = replace(message, state=order_units(spec, state, message.number_format, spatial=False))
    if spec.num_weights > MAX_TRIED:
        return ordered
    candidates = [ordered, message]
    if any(link.is_spatial for link in list_links(spec)):
        spatial = order_units(spec, state, message.number_format, spatial=True)
        candidates.append(replace(message, state=spatial))
    return min(candidates, key=lambda each: encode_network(each, "context").num_bits)


def remove_idle_weights(spec: NetworkSpec, state: State) -> State:
    """Weights that only ever see padding become zero."""
    changed = dict(state)
    for layer in spec.layers:
        name = f"{layer.name}.weight"
        if layer.kernel is None or layer.kind == "dense" or layer.symmetries > 1:
            continue
        acting = acting_entries(layer)
        if layer.kind == "conv":
            kernel = acting.any(dim=0).view(1, -1)
            if kernel.numel() == state[name][0].numel():
                flat = torch.where(kernel, state[name].flatten(1), 0)
                changed[name] = flat.view_as(state[name])
        else:
            changed[name] = torch.where(acting[:, None, :], state[name], 0)
    return changed


def remove_dead_units(spec: NetworkSpec, state: State) -> State:
    """Units that are zero for every image feed nothing; units that feed nothing are fed nothing.

    A unit is zero for every image if nothing feeds it (its weights or its scale are zero) and its
    shift is not positive. What is left of a unit that is taken out is a shift of zero and the scale
    that most units of its layer have.
    """
    changed = dict(state)
    before = -1
    while (now := sum(int(tensor.count_nonzero()) for tensor in changed.values())) != before:
        before = now
        for link in list_links(spec):
            _remove_units(link, changed)
    return changed


def make_scales_positive(spec: NetworkSpec, state: State) -> State:
    """Scale (w · x) = |scale| (±w · x): the sign goes into the weights, exactly."""
    changed = dict(state)
    for layer in _scaled_layers(spec, state):
        scale = state[f"{layer.name}_norm.scale"]
        sign = torch.where(scale < 0, -1.0, 1.0)
        _scale_rows(changed, layer, sign)
        changed[f"{layer.name}_norm.scale"] = scale.abs()
    return changed


def move_scales(spec: NetworkSpec, state: State, number_format: NumberFormat) -> State:
    """Powers of two go from a unit's weights into its scale, so that rows are of one magnitude.

    Only where every number stays in R_b, and only in layers whose values then have less entropy.
    """
    changed = dict(state)
    for layer in _scaled_layers(spec, state):
        trial = dict(changed)
        rows = unit_rows(layer, trial[f"{layer.name}.weight"])
        power = torch.exp2(-_typical_exponent(rows))
        scale = trial[f"{layer.name}_norm.scale"]
        fits = _stays(rows * power[:, None], number_format).all(dim=1)
        fits &= _stays(scale / power, number_format) & ((scale / power == 0) == (scale == 0))
        fits &= ((rows * power[:, None] == 0) == (rows == 0)).all(dim=1)
        power = torch.where(fits, power, 1.0)
        _scale_rows(trial, layer, power)
        trial[f"{layer.name}_norm.scale"] = scale / power
        names = (f"{layer.name}.weight", f"{layer.name}_norm.scale")
        if sum(_value_bits(trial[name]) for name in names) < sum(
            _value_bits(changed[name]) for name in names
        ):
            changed = trial
    return changed


def order_units(
    spec: NetworkSpec, state: State, number_format: NumberFormat, *, spatial: bool
) -> State:
    """Hidden units in ascending order of their shifts' bit patterns, within their groups.

    Args:
        spec: The network.
        state: Its folded tensors.
        number_format: R_b, whose patterns give the order.
        spatial: Whether units that the next layer sees as an image are moved too.
    """
    changed = dict(state)
    for link in list_links(spec):
        if f"{link.source.name}_norm.shift" not in state or (link.is_spatial and not spatial):
            continue
        shift = changed[f"{link.source.name}_norm.shift"]
        patterns = number_format.codes(shift).to(torch.int64)
        patterns = patterns % (1 << number_format.bits_per_weight)
        groups = patterns.view(-1, link.num_groups)
        order = groups.argsort(dim=0, stable=True) * link.num_groups
        order = (order + torch.arange(link.num_groups)).flatten()
        rows = unit_rows(link.source, changed[f"{link.source.name}.weight"])
        changed[f"{link.source.name}.weight"] = from_unit_rows(link.source, rows[order])
        for field in ("scale", "shift"):
            name = f"{link.source.name}_norm.{field}"
            changed[name] = changed[name][order]
        target = f"{link.target.name}.weight"
        changed[target] = link.reorder_target(changed[target], order).contiguous()
    return changed


def _remove_units(link: Link, state: State) -> None:
    source, target = link.source.name, f"{link.target.name}.weight"
    names = [f"{source}_norm.{field}" for field in ("scale", "shift")]
    if any(name not in state for name in names):
        return
    scale, shift = (state[name] for name in names)
    rows = unit_rows(link.source, state[f"{source}.weight"])
    unfed = (rows == 0).all(dim=1) | (scale == 0)
    silent = unfed & (shift <= 0)
    units = link.target_units().expand_as(state[target])
    unread = torch.ones(len(rows), dtype=torch.bool)
    unread[units[(state[target] != 0) & (units >= 0)]] = False
    gone = silent | unread
    kept = scale[~gone]
    usual = kept.mode().values if len(kept) else scale.new_zeros(())
    rows = rows.masked_fill((gone | unfed)[:, None], 0)
    state[f"{source}.weight"] = from_unit_rows(link.source, rows)
    state[names[0]] = torch.where(gone | unfed, usual, scale)
    state[names[1]] = torch.where(gone, 0.0, shift)
    # A unit that reads padding only (-1) stays; the last entry stands for it.
    dead = torch.cat([gone, gone.new_zeros(1)])
    state[target] = state[target].masked_fill(dead[units], 0)


def _scaled_layers(spec: NetworkSpec, state: State) -> list[LayerSpec]:
    return [layer for layer in spec.layers if f"{layer.name}_norm.scale" in state]


def _scale_rows(state: State, layer: LayerSpec, factor: Tensor) -> None:
    rows = unit_rows(layer, state[f"{layer.name}.weight"]) * factor[:, None]
    state[f"{layer.name}.weight"] = from_unit_rows(layer, rows) + 0.0


def _typical_exponent(rows: Tensor) -> Tensor:
    """The exponent of the geometric mean of each row's nonzeros; 0 for a row of zeros."""
    logs = torch.where(rows != 0, torch.log2(rows.abs().double().clamp(min=1e-300)), 0.0)
    counts = (rows != 0).sum(dim=1).clamp(min=1)
    return (logs.sum(dim=1) / counts).round().float()


def _stays(values: Tensor, number_format: NumberFormat) -> Tensor:
    return values.to(number_format.dtype).to(torch.float32) == values


def _value_bits(tensor: Tensor) -> float:
    """Empirical entropy of a tensor's nonzero values, in bits, and 8 bits for each distinct one."""
    _, counts = np.unique(tensor[tensor != 0].numpy(), return_counts=True)
    total = counts.sum()
    return float((counts * np.log2(total / counts)).sum() + 8 * len(counts)) if total else 0.0


def unit_rows(layer: LayerSpec, weight: Tensor) -> Tensor:
    """The weights that feed each unit, as rows (units, fan_in) in the order of scale and shift."""
    if layer.kind == "local":
        return weight.transpose(0, 1).reshape(layer.out_features, -1)
    return weight.flatten(1)


def from_unit_rows(layer: LayerSpec, rows: Tensor) -> Tensor:
    """The weight tensor, contiguous, whose `unit_rows` these are."""
    if layer.kind == "local":
        channels = rows.view(layer.out_channels, layer.out_size**2, -1)
        return channels.transpose(0, 1).contiguous()
    return rows.reshape(layer.weight_shape).contiguous()
