"""BatchNorm in eval mode as one scale and one shift per unit, on NumPy's vectors. No torch.

The same as `training.networks.norm_folding` for vectors that were read from a file. NumPy's single
thread is quicker on them than torch's pool, which has to wake up.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from analysis.quantize.rounding_kernel import LAYOUTS, round_to_patterns
from training.tensor_files.stored_tensor import Float32s

Float64s = NDArray[np.float64]

STATISTICS = ("running_mean", "running_var")
AFFINE = ("weight", "bias")


def fold_vectors(vectors: Mapping[str, Float64s], eps: float) -> tuple[Float64s, Float64s]:
    """Scale γ / √(σ² + ε) and shift β - μ · scale.

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
