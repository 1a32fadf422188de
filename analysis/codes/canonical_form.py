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

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from analysis.codes.connectivity import Link, from_unit_rows, list_links, unit_rows
from analysis.codes.message import NetworkMessage
from analysis.codes.network_code import encode_network
from analysis.quantize.formats import NumberFormat
from training.networks.embedding import acting_entries
from training.spec.architectures import LayerSpec, NetworkSpec

State = dict[str, Tensor]
_TRIED = 1 << 23
"""Larger networks are not encoded several times to find which of their forms is the shortest."""


def canonical_form(message: NetworkMessage) -> NetworkMessage:
    """The same function in fewer bits, by every step of this module.

    External tensors come back as they are: nothing is known of what reads them.
    """
    if not isinstance(message.spec, NetworkSpec):
        return message
    state = remove_idle_weights(message.spec, message.state)
    state = remove_dead_units(message.spec, state)
    state = make_scales_positive(message.spec, state)
    state = move_scales(message.spec, state, message.number_format)
    ordered = replace(
        message, state=order_units(message.spec, state, message.number_format, spatial=False)
    )
    if message.spec.num_weights > _TRIED:
        return ordered
    candidates = [ordered, message]
    if any(link.is_spatial for link in list_links(message.spec)):
        spatial = order_units(message.spec, state, message.number_format, spatial=True)
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
