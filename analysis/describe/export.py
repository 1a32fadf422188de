"""Back from what is coded of an external network to the state dict that its own code loads."""

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from analysis.describe.external_network import INTEGERS, SCALE, TIE, ZERO_POINT
from analysis.describe.folded_norms import BN_EPS, SUFFIXES
from analysis.describe.reparametrized import split
from analysis.quantize.integers import IntegerFormat

_SCALES = {suffixes[0]: affine for affine, suffixes in SUFFIXES.items()}
_SHIFTS = {suffixes[1] for suffixes in SUFFIXES.values()}
_LISTED = re.compile(r"(?P<name>.*)\[(?P<place>\d+) of (?P<count>\d+)\]")
_MAX_LIST = 1 << 20
_NO_SCALE = "has a scale that rounding made 0; describe the network with more bits"


def export_state(
    tensors: Mapping[str, Tensor],
    *,
    bn_eps: float = BN_EPS,
    integers: Mapping[str, IntegerFormat] | None = None,
) -> dict[str, Tensor | list[Tensor | None]]:
    """The state dict that the owner's own module loads, and which computes what was coded.

    A folded BatchNorm with weight and bias becomes weight = scale, bias = shift, running_mean = 0
    and running_var = 1 - ε, for which it multiplies by scale and adds shift. One without them
    becomes running_mean = -shift / scale and running_var = 1 / scale² - ε. A tensor with several
    names is there under each of them. Integers come back in the type and the packing that they were
    stored in, quantized tensors as torch's own, and lists of tensors as lists.

    Args:
        tensors: As `external_message_tensors` gives them, or the codec gives them back.
        bn_eps: ε of the owner's BatchNorms, > 0.
        integers: Name to format of the tensors that hold integers.

    Raises:
        ValueError: A BatchNorm without weight and bias has a scale that is not > 0, which no
            variance gives, or lacks a part; or a quantized tensor does.
    """
    if not bn_eps > 0:
        raise ValueError(f"bn_eps must be > 0, not {bn_eps}")
    formats = integers or {}
    stored = {
        name: formats[name].pack(tensor) if name in formats else tensor
        for name, tensor in tensors.items()
    }
    state: dict[str, Tensor] = {}
    for names, tensor in stored.items():
        field = names.rpartition(".")[2]
        if field in _SHIFTS or re.search(rf"@({SCALE}|{ZERO_POINT})\d*$", names):
            continue
        if names.endswith(f"@{INTEGERS}"):
            name = names.removesuffix(f"@{INTEGERS}")
            state[name] = _quantized(name, tensor, stored)
        elif (parts := split(names, tensor)) is not None:
            state |= parts
        elif field in _SCALES:
            state |= _norm(names, field, stored, bn_eps)
        else:
            state |= {name: tensor.clone() for name in names.split(TIE)}
    return _gather_lists(state)


def _norm(names: str, field: str, tensors: Mapping[str, Tensor], eps: float) -> dict[str, Tensor]:
    affine = _SCALES[field]
    owners = [name.removesuffix(field) for name in names.split(TIE)]
    shift_name = TIE.join(f"{owner}{SUFFIXES[affine][1]}" for owner in owners)
    if shift_name not in tensors:
        raise ValueError(f"tensors lack {shift_name}")
    make = _affine_norm if affine else _plain_norm
    state: dict[str, Tensor] = {}
    for owner in owners:
        parts = make(tensors[names], tensors[shift_name], eps)
        state |= {f"{owner}{part}": values for part, values in parts.items()}
    return state


def _quantized(name: str, integers: Tensor, tensors: Mapping[str, Tensor]) -> Tensor:
    """A quantized tensor of torch; the axis of its channels is in the names of its parts."""
    pattern = re.compile(rf"{re.escape(name)}@{SCALE}(\d*)")
    match = next((match for each in tensors if (match := pattern.fullmatch(each))), None)
    zero_name = f"{name}@{ZERO_POINT}{match[1] if match else ''}"
    if match is None or zero_name not in tensors:
        raise ValueError(f"tensors lack the scale or the zero point of {name}")
    scale, zero_point = tensors[match[0]], tensors[zero_name]
    if not bool((scale != 0).all()):
        raise ValueError(f"{name} {_NO_SCALE}")
    if not match[1]:
        return torch._make_per_tensor_quantized_tensor(integers, float(scale), int(zero_point))
    return torch._make_per_channel_quantized_tensor(
        integers, scale.double(), zero_point.long(), int(match[1])
    )


def _gather_lists(state: Mapping[str, Tensor]) -> dict[str, Tensor | list[Tensor | None]]:
    gathered: dict[str, Tensor | list[Tensor | None]] = {}
    for name, tensor in state.items():
        match = _LISTED.fullmatch(name)
        count = int(match["count"]) if match else 0
        if match is None or count > _MAX_LIST:
            gathered[name] = tensor
            continue
        place = int(match["place"])
        parts = gathered.setdefault(match["name"], [None] * count)
        if isinstance(parts, Tensor) or place >= len(parts):
            raise ValueError(f"tensors have {name} and another of that name")
        parts[place] = tensor
    return gathered


def _affine_norm(scale: Tensor, shift: Tensor, bn_eps: float) -> dict[str, Tensor]:
    return {
        "weight": scale.clone(),
        "bias": shift.clone(),
        "running_mean": torch.zeros_like(scale),
        "running_var": torch.full_like(scale, 1 - bn_eps),
    }


def _plain_norm(scale: Tensor, shift: Tensor, bn_eps: float) -> dict[str, Tensor]:
    if not bool((scale > 0).all()):
        raise ValueError(
            "a BatchNorm without weight and bias has a scale that rounding made 0; describe the "
            "network with more bits"
        )
    exact = scale.double()
    return {
        "running_mean": (-shift.double() / exact).to(scale.dtype),
        "running_var": (exact**-2 - bn_eps).to(scale.dtype),
    }
