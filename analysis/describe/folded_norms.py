"""BatchNorm of an external network: found by the names of its tensors, and folded.

With weight γ, bias β, running mean μ and running variance σ², all in float64:

    scale = γ / √(σ² + ε),  shift = β - μ · scale,  both then rounded to float32.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analysis.quantize.rounding_kernel import LAYOUTS, round_to_patterns
from training.system.text import shorten
from training.tensor_files.stored_tensor import Float32s, StoredTensor

Float64s = NDArray[np.float64]

BN_EPS = 1e-5
"""torch's default ε of BatchNorm, which a file does not hold."""

SUFFIXES = {True: ("bn_scale", "bn_shift"), False: ("stat_scale", "stat_shift")}
"""Names of a folded BatchNorm's scale and shift, by whether it has weight and bias."""

STATISTICS = ("running_mean", "running_var")
AFFINE = ("weight", "bias")
COUNTER = "num_batches_tracked"


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


def find_norms(tensors: Mapping[str, StoredTensor]) -> dict[str, tuple[str, ...]]:
    """Prefix of each BatchNorm to the fields that it has."""
    owners: dict[str, tuple[str, ...]] = {}
    for name in tensors:
        prefix = next(
            (p for field in STATISTICS if (p := prefix_of(name, field)) is not None), None
        )
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


def fold_norm(
    prefix: str, fields: tuple[str, ...], tensors: Mapping[str, StoredTensor], bn_eps: float
) -> tuple[FoldedNorm, Float32s, Float32s]:
    """A BatchNorm's scale and shift, each (units,), and what is known of it.

    Args:
        prefix: What stands before the names of its fields.
        fields: Those that it has.
        tensors: The file's, by name.
        bn_eps: ε.

    Raises:
        ValueError: A number is not finite, or a variance negative.
    """
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
    counter = tensors.get(prefix + COUNTER)
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


def prefix_of(name: str, field: str) -> str | None:
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
