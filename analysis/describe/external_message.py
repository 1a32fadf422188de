"""An external network as the codec takes it, and back to a state dict that their code loads."""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from analysis.describe.external_network import BN_EPS, SUFFIXES, TIE, ExternalNetwork
from analysis.quantize.formats import NumberFormat, quantize_tensors
from training.errors import CheckpointError

_SCALES = {suffixes[0]: affine for affine, suffixes in SUFFIXES.items()}
_SHIFTS = {suffixes[1] for suffixes in SUFFIXES.values()}


def external_message_tensors(
    network: ExternalNetwork, number_format: NumberFormat
) -> dict[str, Tensor]:
    """Every coded tensor in R_b, as float32, in order; the names say how to go back.

    Raises:
        CheckpointError: A tensor holds a number that is not finite, or the file cannot be read.
    """
    rounded: dict[str, Tensor] = {}
    for name, source in network.sources.items():
        values = source if isinstance(source, np.ndarray) else source.read_float32()
        try:
            rounded |= quantize_tensors({name: torch.from_numpy(values)}, number_format)
        except ValueError as error:
            raise CheckpointError(f"{network.path}: {error}; use an earlier one") from error
    return rounded


def export_state(tensors: Mapping[str, Tensor], *, bn_eps: float = BN_EPS) -> dict[str, Tensor]:
    """The state dict that the owner's own module loads, and which computes what was coded.

    A folded BatchNorm with weight and bias becomes weight = scale, bias = shift, running_mean = 0
    and running_var = 1 - ε, for which it multiplies by scale and adds shift. One without them
    becomes running_mean = -shift / scale and running_var = 1 / scale² - ε. A tensor with several
    names is there under each of them.

    Args:
        tensors: As `external_message_tensors` gives them, or the codec gives them back.
        bn_eps: ε of the owner's BatchNorms, > 0.

    Raises:
        ValueError: A BatchNorm without weight and bias has a scale that is not > 0, which no
            variance gives, or lacks a part.
    """
    if not bn_eps > 0:
        raise ValueError(f"bn_eps must be > 0, not {bn_eps}")
    state: dict[str, Tensor] = {}
    for names, tensor in tensors.items():
        field = names.rpartition(".")[2]
        if field in _SHIFTS:
            continue
        if field not in _SCALES:
            state |= {name: tensor.clone() for name in names.split(TIE)}
            continue
        affine = _SCALES[field]
        owners = [name.removesuffix(field) for name in names.split(TIE)]
        shift_name = TIE.join(f"{owner}{SUFFIXES[affine][1]}" for owner in owners)
        if shift_name not in tensors:
            raise ValueError(f"tensors lack {shift_name}")
        make = _affine_norm if affine else _plain_norm
        for owner in owners:
            parts = make(tensor, tensors[shift_name], bn_eps)
            state |= {f"{owner}{part}": values for part, values in parts.items()}
    return state


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
