"""What the state dict of a network must hold: names, shapes, types, finite values, and counts."""

from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor

from training.networks.models import build_network
from training.networks.network import is_folded
from training.networks.tensor_census import Census, take_census
from training.spec.architectures import NetworkSpec

_FLOATING = (torch.float64, torch.float32, torch.float16, torch.bfloat16)
_COUNT_CHUNK = 2**20  # Entries whose comparison with zero stays in the cache.
_NUM_NAMED = 3


def expected_state(spec: NetworkSpec, state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The state dict, on the meta device, that a network with such tensors must have.

    A state with scales and shifts in place of BatchNorm is held against the folded network.

    Raises:
        ValueError: The network is too large to exist, or `state` lacks a tensor or has one that
            the network does not.
    """
    try:
        with torch.device("meta"):
            expected = build_network(spec, folded=is_folded(state)).state_dict()
    except (RuntimeError, OverflowError) as error:
        raise ValueError(f"network: {spec.name} of such a size cannot be built") from error
    _check_names("lacks", expected, state)
    _check_names("has the unknown", state, expected)
    return expected


def check_state(spec: NetworkSpec, state: dict[str, Tensor]) -> dict[str, Census]:
    """Check a state dict of dense tensors, or weights in CSR, against its network.

    All floating-point tensors must have one type: float64, float32, float16 or bfloat16.

    Returns:
        What the entries of each of them are like.

    Raises:
        ValueError: A tensor missing, left over, of the wrong shape or type, or not finite.
    """
    expected = expected_state(spec, state)
    weight = f"{spec.layers[0].name}.weight"
    found = {}
    for name, meta in expected.items():
        tensor = state[name]
        if tensor.shape != meta.shape:
            raise ValueError(f"{name} has shape {tuple(tensor.shape)}, not {tuple(meta.shape)}")
        if not meta.is_floating_point():
            if tensor.dtype != meta.dtype:
                raise ValueError(f"{name} is {tensor.dtype}, not {meta.dtype}")
            continue
        if tensor.dtype not in _FLOATING:
            raise ValueError(f"{name} is {tensor.dtype}, not a floating-point type")
        if tensor.dtype != state[weight].dtype:
            raise ValueError(f"{name} is {tensor.dtype} but {weight} is {state[weight].dtype}")
        found[name] = take_census(tensor.values() if tensor.layout == torch.sparse_csr else tensor)
        if not found[name].is_finite:
            raise ValueError(
                f"{name} has entries that are not finite, so its run diverged; use an earlier one"
            )
    return found


def is_finite(tensor: Tensor) -> bool:
    """Whether a floating-point tensor has no NaN and no infinity: one pass, nothing allocated."""
    if tensor.numel() == 0:
        return True
    return bool(torch.isfinite(torch.stack(tensor.aminmax())).all())


def count_nonzeros(tensor: Tensor) -> int:
    """The exact number of entries that are not ±0, five times as fast as `torch.count_nonzero`.

    >>> count_nonzeros(torch.tensor([0.0, -0.0, 1e-30, 2.0]))
    2
    """
    chunks = torch.split(tensor.detach().reshape(-1), _COUNT_CHUNK)
    return sum(int(np.count_nonzero(torch.ne(chunk, 0).cpu().numpy())) for chunk in chunks)


def count_layer_nonzeros(spec: NetworkSpec, state: dict[str, Tensor]) -> dict[str, int]:
    """Nonzero weights by layer, without biases and BatchNorm."""
    return {
        layer.name: take_census(state[f"{layer.name}.weight"]).num_nonzeros for layer in spec.layers
    }


def _check_names(relation: str, names: Iterable[str], others: Iterable[str]) -> None:
    """Refuse names that are not among the others."""
    known = set(others)
    alone = [name for name in names if name not in known]
    if alone:
        listed = ", ".join(str(name) for name in alone[:_NUM_NAMED])
        more = f" and {len(alone) - _NUM_NAMED} more" if len(alone) > _NUM_NAMED else ""
        raise ValueError(f"the state {relation} {listed}{more}")
