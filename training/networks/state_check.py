"""What the state dict of a network must hold: names, shapes, types, finite values, and counts.

Counts come from one pass over a tensor's bits, on one thread.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from training.networks.models import build_network, is_folded
from training.spec.architectures import NetworkSpec

_BITS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
_INFINITY = {
    torch.float16: 0x7C00,
    torch.bfloat16: 0x7F80,
    torch.float32: 0x7F80_0000,
    torch.float64: 0x7FF0_0000_0000_0000,
}
_CHUNK = 2**16  # Entries that stay in the cache from one look to the next.


@dataclass(frozen=True, kw_only=True)
class Census:
    """Counts of the entries of one floating-point tensor.

    Attributes:
        num_nonzeros: Entries that are not ±0.
        num_stored: Entries that are not +0, which are those with a bit that is set.
        is_finite: Whether there is no NaN and no infinity.
    """

    num_nonzeros: int
    num_stored: int
    is_finite: bool


def take_census(tensor: Tensor) -> Census:
    """Look at every entry of a tensor of float64, float32, float16 or bfloat16.

    The bits of |x|, as an integer, are 0 for ±0 and reach those of ∞ for NaN and ±∞ alone.

    >>> take_census(torch.tensor([0.0, -0.0, 1e-30, 2.0]))
    Census(num_nonzeros=2, num_stored=3, is_finite=True)
    """
    bits = view_bits(tensor.detach().cpu().contiguous()).reshape(-1)
    magnitude = np.iinfo(bits.dtype).max  # all bits but the sign
    sizes = np.empty(min(_CHUNK, bits.size), bits.dtype)
    num_nonzeros, num_stored, largest = 0, 0, 0
    for start in range(0, bits.size, _CHUNK):
        chunk = bits[start : start + _CHUNK]
        size = np.bitwise_and(chunk, magnitude, out=sizes[: chunk.size])
        num_nonzeros += int(np.count_nonzero(size != 0))
        num_stored += int(np.count_nonzero(chunk != 0))
        largest = max(largest, int(size.max()))
    return Census(
        num_nonzeros=num_nonzeros,
        num_stored=num_stored,
        is_finite=largest < _INFINITY[tensor.dtype],
    )


def view_bits(tensor: Tensor) -> NDArray[Any]:
    """A contiguous tensor's memory as integers, in the tensor's shape."""
    bits: NDArray[Any] = tensor.view(_BITS[tensor.element_size()]).numpy()
    return bits


_FLOATING = (torch.float64, torch.float32, torch.float16, torch.bfloat16)
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
