"""An external network: what its description has to hold, and back to what its code loads.

The network's code is not here, so every tensor is either **coded**, as it is or as part of a folded
BatchNorm, or **fixed**: its owner says that the code sets it without looking at data. What is
neither is refused by name. Tensors that lie in the file once under several names are coded once.

The names of what is coded say how `export_state` goes back:

    a.weight                      a tensor as it is
    a.weight = b.weight           one tensor with two names
    x.bn_scale, x.bn_shift        BatchNorm x, folded
    x.stat_scale, x.stat_shift    the same without weight and bias (affine=False)
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from analysis.quantize.formats import NumberFormat, quantize_tensors
from analysis.quantize.rounding_kernel import LAYOUTS, round_to_patterns
from training.errors import CheckpointError, ConfigError
from training.system.text import shorten
from training.tensor_files.open import TensorFile
from training.tensor_files.stored_tensor import Float32s, StoredTensor

Float64s = NDArray[np.float64]

BN_EPS = 1e-5
"""torch's default ε of BatchNorm, which a file does not hold."""

TIE = " = "
SUFFIXES = {True: ("bn_scale", "bn_shift"), False: ("stat_scale", "stat_shift")}
"""Names of a folded BatchNorm's scale and shift, by whether it has weight and bias."""

STATISTICS = ("running_mean", "running_var")
AFFINE = ("weight", "bias")
_SCALES = {suffixes[0]: affine for affine, suffixes in SUFFIXES.items()}
_SHIFTS = {suffixes[1] for suffixes in SUFFIXES.values()}
_COUNTER = "num_batches_tracked"
_NORM = object()


@dataclass(frozen=True, kw_only=True)
class FoldedNorm:
    """A BatchNorm that was recognised.

    Attributes:
        name: Its name in the network; "" if it is the network.
        affine: Whether it has a weight and a bias.
        num_batches: Batches that its statistics have seen, if the file says.
        num_units: Its size.
        is_initial: Whether the statistics are those before any batch: mean 0, variance 1.
        is_plain: Whether they have no effect, as `export_state` writes them: mean 0 and
            variance 1 - ε.
    """

    name: str
    affine: bool
    num_batches: int | None
    num_units: int
    is_initial: bool
    is_plain: bool


@dataclass(frozen=True, kw_only=True, eq=False)
class ExternalNetwork:
    """The tensors of an external network as a description has them.

    Attributes:
        path: The file.
        key: Where in it the state dict lies; "" at its top.
        sources: What is coded, by name and in order: tensors in the file, and folded vectors.
        fixed: Names of tensors that the owner's code sets.
        norms: BatchNorms that were folded.
        counters: BatchNorms that have counted batches but have no statistics in the file.
    """

    path: Path
    key: str
    sources: dict[str, StoredTensor | Float32s]
    fixed: tuple[str, ...]
    norms: tuple[FoldedNorm, ...]
    counters: tuple[str, ...]


def describe_tensors(
    file: TensorFile, *, bn_eps: float = BN_EPS, fixed: Iterable[str] = ()
) -> ExternalNetwork:
    """Sort the tensors of a file into coded and fixed, and fold BatchNorm.

    With BatchNorm's weight γ, bias β, running mean μ and running variance σ², all in float64:

        scale = γ / √(σ² + ε),  shift = β - μ · scale,  both then rounded to float32.

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
    names = (*file, *file.others)
    set_by_code = {name for name in names if any(fnmatchcase(name, each) for each in patterns)}
    try:
        free = {name: tensor for name, tensor in file.items() if name not in set_by_code}
        owners = _find_norms(free)
        _refuse_unknown(free, {k: v for k, v in file.others.items() if k not in set_by_code})
        sources, norms = _code(free, owners, bn_eps)
    except ValueError as error:
        raise CheckpointError.naming("{}: {}", file.path, error) from error
    if not sources:
        raise CheckpointError(f"{file.path}: it holds no floating-point number to describe")
    return ExternalNetwork(
        path=file.path,
        key=file.key,
        sources=sources,
        fixed=tuple(name for name in names if name in set_by_code),
        norms=norms,
        counters=tuple(
            prefix
            for name in free
            if (prefix := _prefix(name, _COUNTER)) is not None and prefix not in owners
        ),
    )


def _find_norms(tensors: Mapping[str, StoredTensor]) -> dict[str, tuple[str, ...]]:
    """Prefix of each BatchNorm to the fields that it has."""
    owners: dict[str, tuple[str, ...]] = {}
    for name in tensors:
        prefix = next((p for field in STATISTICS if (p := _prefix(name, field)) is not None), None)
        if prefix is None or prefix in owners:
            continue
        fields = [field for field in (*AFFINE, *STATISTICS) if f"{prefix}{field}" in tensors]
        for field in (*STATISTICS, *AFFINE):
            needed = field in STATISTICS or any(each in fields for each in AFFINE)
            if needed and field not in fields:
                owner = shorten(prefix.removesuffix("."))
                raise ValueError(
                    f"BatchNorm {owner} lacks {field}, so it cannot be folded; save the whole "
                    "state dict"
                )
        for field in fields:
            tensor, like = tensors[f"{prefix}{field}"], tensors[f"{prefix}{STATISTICS[0]}"]
            if len(tensor.shape) != 1 or tensor.shape != like.shape:
                raise ValueError(
                    f"{shorten(prefix + field)} has shape {tensor.shape}: not what BatchNorm has, "
                    "and no other use of running statistics is known here"
                )
        owners[prefix] = tuple(fields)
    return owners


def _refuse_unknown(tensors: Mapping[str, StoredTensor], others: Mapping[str, str]) -> None:
    for name, tensor in tensors.items():
        if tensor.number_type.kind != "float" and _prefix(name, _COUNTER) is None:
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


def _code(
    tensors: Mapping[str, StoredTensor], owners: Mapping[str, tuple[str, ...]], bn_eps: float
) -> tuple[dict[str, StoredTensor | Float32s], tuple[FoldedNorm, ...]]:
    """What is coded, each once, under the names that it has."""
    taken = {prefix + field: prefix for prefix, fields in owners.items() for field in fields}
    by_place: dict[tuple[object, ...], list[str]] = {}
    for name, tensor in tensors.items():
        prefix = taken.get(name)
        if prefix is not None:
            places = tuple(tensors[prefix + field].place for field in owners[prefix])
            names = by_place.setdefault((_NORM, places), [])
            if prefix not in names:
                names.append(prefix)
        elif tensor.number_type.kind == "float" and tensor.num_numbers:
            by_place.setdefault(tensor.place, []).append(name)
    sources: dict[str, StoredTensor | Float32s] = {}
    norms = []
    for place, names in by_place.items():
        if place[0] is not _NORM:
            _add(sources, names, tensors[names[0]])
            continue
        norm, scale, shift = _fold(names[0], owners[names[0]], tensors, bn_eps)
        norms.append(norm)
        for suffix, vector in zip(SUFFIXES[norm.affine], (scale, shift), strict=True):
            _add(sources, [prefix + suffix for prefix in names], vector)
    return sources, tuple(norms)


def _add(
    sources: dict[str, StoredTensor | Float32s], names: list[str], source: StoredTensor | Float32s
) -> None:
    name = TIE.join(names)
    if name in sources or any(TIE in each for each in names):
        raise ValueError(f"the name {shorten(name)} means something else here; rename the tensor")
    sources[name] = source


def _fold(
    prefix: str, fields: tuple[str, ...], tensors: Mapping[str, StoredTensor], bn_eps: float
) -> tuple[FoldedNorm, Float32s, Float32s]:
    read = {field: tensors[prefix + field].read_float64() for field in fields}
    for field, values in read.items():
        if not np.isfinite(values).all():
            raise ValueError(
                f"{shorten(prefix + field)} has numbers that are not finite, so its run diverged; "
                "use an earlier one"
            )
    mean, variance = (read[field] for field in STATISTICS)
    if (variance + bn_eps <= 0).any():
        raise ValueError(f"{shorten(prefix + STATISTICS[1])} has negative variances; it is damaged")
    scale, shift = (round_to_type(part, "float32") for part in fold_vectors(read, bn_eps))
    counter = tensors.get(prefix + _COUNTER)
    has_count = counter is not None and counter.num_numbers == 1
    norm = FoldedNorm(
        name=prefix.removesuffix("."),
        affine="weight" in fields,
        num_batches=int(counter.read().reshape(-1)[0]) if counter and has_count else None,
        num_units=len(mean),
        is_initial=bool((mean == 0).all() and (variance == 1).all()),
        is_plain=bool((mean == 0).all() and (variance == np.float32(1 - bn_eps)).all()),
    )
    return norm, scale, shift


def _prefix(name: str, field: str) -> str | None:
    """What stands before a field's name: "a.b." of "a.b.field", "" of "field"; None if another."""
    return name.removesuffix(field) if name == field or name.endswith(f".{field}") else None


def fold_vectors(vectors: Mapping[str, Float64s], eps: float) -> tuple[Float64s, Float64s]:
    """BatchNorm in eval mode as scale γ / √(σ² + ε) and shift β - μ · scale, in NumPy.

    The same as `training.networks.models.fold_batch_norm` for vectors that were read from a file.
    NumPy's single thread is quicker on them than torch's pool, which has to wake up.

    Args:
        vectors: γ "weight" and β "bias" (1 and 0 if they are not there), μ "running_mean" and σ²
            "running_var".
        eps: ε.

    >>> scale, shift = fold_vectors(
    ...     {"weight": np.array([3.0]), "bias": np.array([1.0]),
    ...      "running_mean": np.array([2.0]), "running_var": np.array([3.0])}, eps=1.0)
    >>> float(scale[0]), float(shift[0])
    (1.5, -2.0)
    """
    mean, variance = (vectors[field] for field in STATISTICS)
    with np.errstate(invalid="ignore", divide="ignore"):
        scale = vectors.get("weight", np.float64(1)) / np.sqrt(variance + eps)
        return scale, vectors.get("bias", np.float64(0)) - mean * scale


def round_to_type(values: Float64s, type_name: str) -> Float32s:
    """The values as a tensor of a torch type would hold them, as float32.

    torch takes float64 to its 16-bit types by way of float32, and so does this.
    """
    with np.errstate(over="ignore"):
        narrow = values.astype(np.float32)
        if type_name == "float16":
            return narrow.astype(np.float16).astype(np.float32)
    if type_name == "bfloat16":
        patterns, _ = round_to_patterns(narrow, LAYOUTS["bfloat16"])
        return (patterns.astype(np.uint32) << np.uint32(16)).view(np.float32)
    return narrow


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
