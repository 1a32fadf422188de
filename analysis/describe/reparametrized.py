"""Weights that an external network computes from two tensors: pruned and weight-normalised ones.

    x.weight_orig, x.weight_mask                   torch.nn.utils.prune: their product
    x.weight_g, x.weight_v                         weight_norm: g · v / ‖v‖
    x.parametrizations.weight.original0, .original1  the same as a parametrization

The network depends on the one tensor alone, so that is what is coded, as `x.weight@pruned`,
`x.weight@norm0` or `x.weight@parametrized_norm0`, with the dimension that has a norm of its own for
each index behind it. `split` gives back two tensors that the owner's code makes the same weight of.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from training.system.text import shorten
from training.tensor_files.stored_tensor import Float32s, StoredTensor

CODED = re.compile(r"(?P<base>.*)@(?P<kind>pruned|(parametrized_)?norm(?P<dim>\d*))")
_PARAMETRIZED = re.compile(r"(?P<prefix>(.*\.)?)parametrizations\.(?P<attribute>[^.]+)\.original0")


@dataclass(frozen=True, kw_only=True)
class Reparametrized:
    """A weight that is computed from two tensors.

    Attributes:
        name: What it is coded as.
        parts: Names of the two tensors: original and mask, or g and v.
        dim: The dimension that has a norm for each of its indices; None for one norm, or a mask.
        is_pruned: Whether it is a product with a mask.
    """

    name: str
    parts: tuple[str, str]
    dim: int | None
    is_pruned: bool

    def read(self, tensors: Mapping[str, StoredTensor]) -> Float32s:
        """The weight, computed in float64 and rounded to float32.

        Raises:
            ValueError: A number in it is not finite.
        """
        first, second = (tensors[name].read_float64() for name in self.parts)
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            factor = first if self.is_pruned else first / _norm(second, self.dim)
            weight = (second * factor).astype(np.float32)
        if not np.isfinite(weight).all():
            raise ValueError(
                f"{shorten(self.name)} has numbers that are not finite, so its run diverged; use "
                "an earlier one"
            )
        return weight


def find_reparametrized(tensors: Mapping[str, StoredTensor]) -> dict[str, Reparametrized]:
    """The weights that are computed from two tensors, by the name of each of the two."""
    found: dict[str, Reparametrized] = {}
    floats = {name: each for name, each in tensors.items() if each.number_type.kind == "float"}
    for name, tensor in floats.items():
        base, kind, other = "", "", ""
        if name.endswith("_orig"):
            base, kind = name.removesuffix("_orig"), "pruned"
            other = f"{base}_mask"
        elif name.endswith("_g"):
            base, kind = name.removesuffix("_g"), "norm"
            other = f"{base}_v"
        elif match := _PARAMETRIZED.fullmatch(name):
            base, kind = match["prefix"] + match["attribute"], "parametrized_norm"
            other = f"{name.removesuffix('0')}1"
        if other not in floats:
            continue
        like, dim = floats[other], None
        if kind != "pruned":
            dim = _norm_dim(tensor.shape, like.shape)
            if dim is None and tensor.shape != ():
                continue
        elif tensor.shape != like.shape:
            continue
        one = Reparametrized(
            name=f"{base}@{kind}{'' if dim is None else dim}",
            parts=(name, other),
            dim=dim,
            is_pruned=kind == "pruned",
        )
        found |= dict.fromkeys(one.parts, one)
    return found


def split(name: str, weight: Tensor) -> dict[str, Tensor] | None:
    """The two tensors that a coded weight comes back as, by name; None for any other name.

    A mask is 1 where the weight is not 0. Where a whole norm is 0, v is 1 and g is 0.
    """
    match = CODED.fullmatch(name)
    if match is None:
        return None
    base, kind = match["base"], match["kind"]
    if kind == "pruned":
        return {f"{base}_orig": weight.clone(), f"{base}_mask": (weight != 0).to(weight.dtype)}
    dim = int(match["dim"]) if match["dim"] else None
    norm = torch.from_numpy(np.asarray(_norm(weight.double().numpy(), dim)))
    v = torch.where(norm == 0, torch.ones_like(weight), weight)
    names = (f"{base}_g", f"{base}_v")
    if kind.startswith("parametrized"):
        owner, _, attribute = base.rpartition(".")
        stem = f"{owner}.parametrizations.{attribute}" if owner else f"parametrizations.{attribute}"
        names = (f"{stem}.original0", f"{stem}.original1")
    return {names[0]: norm.to(weight.dtype), names[1]: v}


def _norm(values: np.ndarray, dim: int | None) -> np.ndarray:
    """‖v‖ over all dimensions but one, which stay with size 1; over all of them to a scalar."""
    if dim is None:
        return np.asarray(np.sqrt(np.square(values).sum()))
    axes = tuple(axis for axis in range(values.ndim) if axis != dim)
    return np.asarray(np.sqrt(np.square(values).sum(axis=axes, keepdims=True)))


def _norm_dim(g: tuple[int, ...], v: tuple[int, ...]) -> int | None:
    """The dimension of v that g has a number for each index of; None where there is none.

    >>> _norm_dim((4, 1, 1), (4, 3, 5)), _norm_dim((1, 3), (4, 3)), _norm_dim((4, 3), (4, 3))
    (0, 1, None)
    """
    if len(g) != len(v):
        return None
    fitting = (
        dim for dim in range(len(g)) if g == tuple(s if i == dim else 1 for i, s in enumerate(v))
    )
    return next(fitting, None)
