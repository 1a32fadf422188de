"""An external network: what its description has to hold, and under which names.

The network's code is not here, so every tensor is either **coded**, as it is or as part of what is
computed from it, or **fixed**: its owner says that the code sets it without looking at data. What
is neither is refused by name. Tensors that lie in the file once under several names are coded once.

The names of what is coded say how `analysis.describe.export` goes back:

    a.weight                      a tensor as it is
    a.weight = b.weight           one tensor with two names
    x.bn_scale, x.bn_shift        BatchNorm x, folded
    x.stat_scale, x.stat_shift    the same without weight and bias (affine=False)
    a.weight@pruned, a.weight@norm0   what is computed of two tensors: `describe.reparametrized`
    a@int_repr, a@scale, a@zero_point   a quantized tensor of torch, scales of axis 0 as a@scale0
    a[0 of 2]                     a tensor of a list of two
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

import numpy as np
import torch
from torch import Tensor

from analysis.describe.folded_norms import (
    BN_EPS,
    COUNTER,
    SUFFIXES,
    FoldedNorm,
    find_norms,
    fold_norm,
    prefix_of,
)
from analysis.describe.integer_source import IntegerSource, IntegerTensor, find_packed, make_sources
from analysis.describe.reparametrized import CODED, find_reparametrized
from analysis.quantize.formats import NumberFormat, quantize_tensors
from analysis.quantize.integers import IntegerFormat
from training.errors import CheckpointError, ConfigError
from training.system.text import shorten
from training.tensor_files.open import TensorFile
from training.tensor_files.quantized import QuantizedTensor
from training.tensor_files.stored_tensor import Float32s, StoredTensor

TIE = " = "
INTEGERS, SCALE, ZERO_POINT = "int_repr", "scale", "zero_point"
"""What stands behind the @ in the names of a quantized tensor's parts."""

Source = StoredTensor | Float32s | IntegerSource
"""What is coded: a tensor in the file, numbers computed from some, or integers."""

_NORM = object()
_RESERVED = re.compile(rf".*@({INTEGERS}|({SCALE}|{ZERO_POINT})\d*)")


@dataclass(frozen=True, kw_only=True, eq=False)
class ExternalNetwork:
    """The tensors of an external network as a description has them.

    Attributes:
        file: Where they are.
        sources: What is coded, by name and in order.
        fixed: Names of tensors that the owner's code sets.
        norms: BatchNorms that were folded.
        counters: BatchNorms that have counted batches but have no statistics in the file.
    """

    file: TensorFile
    sources: dict[str, Source]
    fixed: tuple[str, ...]
    norms: tuple[FoldedNorm, ...]
    counters: tuple[str, ...]

    @property
    def numbers(self) -> dict[str, StoredTensor | Float32s]:
        """What is coded in R_b."""
        return {
            name: each for name, each in self.sources.items() if not isinstance(each, IntegerSource)
        }

    @property
    def integers(self) -> dict[str, IntegerSource]:
        """What is coded as integers."""
        return {
            name: each for name, each in self.sources.items() if isinstance(each, IntegerSource)
        }

    @property
    def integer_formats(self) -> dict[str, IntegerFormat]:
        """Name to format of what is coded as integers."""
        return {name: each.number_format for name, each in self.integers.items()}


def describe_tensors(
    file: TensorFile, *, bn_eps: float = BN_EPS, fixed: Iterable[str] = ()
) -> ExternalNetwork:
    """Sort the tensors of a file into coded and fixed, and compute what they stand for.

    Args:
        file: The tensors.
        bn_eps: ε of every BatchNorm, > 0.
        fixed: Names, or patterns such as "*.position_ids", of tensors that the code sets.

    Raises:
        CheckpointError: A tensor is neither coded nor fixed, or a BatchNorm cannot be folded.
        ValueError: `bn_eps` is not > 0.
    """
    if not bn_eps > 0:
        raise ValueError(f"bn_eps must be > 0, not {bn_eps}")
    patterns = tuple(fixed)
    names = (*file, *file.quantized, *file.others)
    set_by_code = {name for name in names if any(fnmatchcase(name, each) for each in patterns)}
    try:
        free = {name: tensor for name, tensor in file.items() if name not in set_by_code}
        quantized = {k: v for k, v in file.quantized.items() if k not in set_by_code}
        owners = find_norms(free)
        _refuse_unknown(free, {k: v for k, v in file.others.items() if k not in set_by_code})
        sources, norms = _code(free, owners, bn_eps)
        sources = _add_quantized(sources, quantized)
        counted = make_sources({k: v for k, v in sources.items() if isinstance(v, IntegerTensor)})
    except ValueError as error:
        raise CheckpointError.naming("{}: {}", file.path, error) from error
    if not sources:
        raise CheckpointError(
            f"{file.path}: it holds no number to describe; save model.state_dict()"
        )
    return ExternalNetwork(
        file=file,
        sources={
            name: counted[name] if isinstance(each, IntegerTensor) else each
            for name, each in sources.items()
        },
        fixed=tuple(name for name in names if name in set_by_code),
        norms=norms,
        counters=tuple(
            prefix
            for name in free
            if (prefix := prefix_of(name, COUNTER)) is not None and prefix not in owners
        ),
    )


def _refuse_unknown(tensors: Mapping[str, StoredTensor], others: Mapping[str, str]) -> None:
    for name, tensor in tensors.items():
        if tensor.number_type.kind == "other":
            raise ConfigError.naming(
                "{0} holds {1} numbers, so it is neither coded nor fixed; make it floating point, "
                "or give {fixed} {0} if your code sets it without looking at data",
                shorten(name),
                tensor.number_type.name,
            )
    for name, what in others.items():
        raise ConfigError.naming(
            "{0} is {1}, so it is neither coded nor fixed; make it a dense tensor, or give {fixed} "
            "{0} if your code sets it without looking at data",
            shorten(name),
            what,
        )


_Raw = StoredTensor | Float32s | IntegerTensor


def _code(
    tensors: Mapping[str, StoredTensor], owners: Mapping[str, tuple[str, ...]], bn_eps: float
) -> tuple[dict[str, _Raw], tuple[FoldedNorm, ...]]:
    """What is coded, each once, under the names that it has."""
    taken = {prefix + field: prefix for prefix, fields in owners.items() for field in fields}
    computed = find_reparametrized({k: v for k, v in tensors.items() if k not in taken})
    packed = find_packed(tensors)
    by_place: dict[tuple[object, ...], list[str]] = {}
    for name, tensor in tensors.items():
        prefix = taken.get(name)
        if prefix is not None:
            places = tuple(tensors[prefix + field].place for field in owners[prefix])
            names = by_place.setdefault((_NORM, places), [])
            if prefix not in names:
                names.append(prefix)
        elif name in computed:
            by_place[(computed[name].name,)] = [name]
        elif tensor.num_numbers and prefix_of(name, COUNTER) is None:
            by_place.setdefault(tensor.place, []).append(name)
    sources: dict[str, _Raw] = {}
    norms = []
    for place, names in by_place.items():
        first = names[0]
        if place[0] is _NORM:
            norm, scale, shift = fold_norm(first, owners[first], tensors, bn_eps)
            norms.append(norm)
            for suffix, vector in zip(SUFFIXES[norm.affine], (scale, shift), strict=True):
                _add(sources, [prefix + suffix for prefix in names], vector)
        elif first in computed:
            _add(sources, [computed[first].name], computed[first].read(tensors))
        else:
            own = next(
                (name for name in names if CODED.fullmatch(name) or _RESERVED.fullmatch(name)), None
            )
            if own is not None:
                raise ValueError(_means_something_else(own))
            tensor = tensors[first]
            _add(
                sources,
                names,
                tensor
                if tensor.number_type.kind == "float"
                else IntegerTensor(
                    stored=tensor,
                    type_name=tensor.number_type.name,
                    num_fields=packed.get(first, 1),
                ),
            )
    return sources, tuple(norms)


def _add(sources: dict[str, _Raw], names: list[str], source: _Raw) -> None:
    name = TIE.join(names)
    if name in sources or any(TIE in each for each in names):
        raise ValueError(_means_something_else(name))
    sources[name] = source


def _means_something_else(name: str) -> str:
    return f"the name {shorten(name)} means something else here; rename the tensor"


def _add_quantized(
    sources: dict[str, _Raw], quantized: Mapping[str, QuantizedTensor]
) -> dict[str, _Raw]:
    for name, tensor in quantized.items():
        if not tensor.num_numbers:  # there is nothing to code, as in an empty tensor of floats
            continue
        axis = "" if tensor.axis is None else str(tensor.axis)
        integers, scale, zero_point = tensor.integers, tensor.scale, tensor.zero_point
        _add(
            sources,
            [f"{name}@{INTEGERS}"],
            IntegerTensor(stored=integers, type_name=integers.number_type.name),
        )
        held = np.asarray(scale if isinstance(scale, float) else scale.read_float32(), np.float32)
        _add(sources, [f"{name}@{SCALE}{axis}"], held)
        zeros = np.asarray(zero_point, np.int64) if isinstance(zero_point, int) else zero_point
        _add(
            sources, [f"{name}@{ZERO_POINT}{axis}"], IntegerTensor(stored=zeros, type_name="int64")
        )
    return sources


def external_message_tensors(
    network: ExternalNetwork, number_format: NumberFormat
) -> dict[str, Tensor]:
    """Every coded tensor in order, in R_b as float32, or as integers; the names say how to go back.

    Raises:
        CheckpointError: A tensor holds a number that is not finite, or the file cannot be read.
    """
    rounded: dict[str, Tensor] = {}
    for name, source in network.sources.items():
        if isinstance(source, IntegerSource):
            rounded[name] = source.read()
            continue
        values = source if isinstance(source, np.ndarray) else source.read_float32()
        try:
            rounded |= quantize_tensors({name: torch.from_numpy(values)}, number_format)
        except ValueError as error:
            raise CheckpointError(f"{network.file.path}: {error}; use an earlier one") from error
    network.file.check_bytes()
    return rounded
