"""The passes of BatchNorm with a residual sum and ReLU over bfloat16 matrices on a CPU.

Each function runs compiled kernels on as many threads as torch has. Sums are cut into blocks whose
size does not depend on the number of threads, so neither do results.
"""

from dataclasses import dataclass
from functools import lru_cache
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.kernels import batch_norm, bf16, chwn_norm
from training.kernels.backends import run_split
from training.kernels.compiled import compile_kernels

Bits = NDArray[np.uint16]
Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]

_BLOCK = 128  # Rows summed in float32 before float64 takes over.
_WIDTH = 512  # Narrow matrices are read as if several rows were one.
_GRAIN = 2**18  # Entries that are worth a thread.


@dataclass(frozen=True)
class Moments:
    """Mean and variance of each feature over the batch, and the batch's size."""

    mean: Doubles
    variance: Doubles
    count: int


def normalize_rows(
    values: Bits, weight: Floats, bias: Floats, residual: Bits | None, *, eps: float, relu: bool
) -> tuple[Bits, Moments]:
    """max(0, w (x - μ) / √(σ² + ε) + b + residual), a column for each feature.

    Args:
        values: x, bfloat16, shape (rows, features), contiguous.
        weight: w, shape (features,).
        bias: b, shape (features,).
        residual: bfloat16 of the shape of `values`, or None.
        eps: ε.
        relu: Whether the maximum with 0 is taken.
    """
    num_rows = len(values)
    wide, repeats = _widen(values)
    origin = _widen_bits(values[0])
    sums, squares = _sum_blocks("sum_blocks", wide, repeats, (wide, _repeat(origin, repeats)), ())
    shift = sums / num_rows
    moments = Moments(origin + shift, np.maximum(squares / num_rows - shift**2, 0), num_rows)
    scale = weight / np.sqrt(moments.variance + eps)
    scale32 = scale.astype(np.float32)
    shift32 = (bias - moments.mean * scale32).astype(np.float32)
    outputs = np.empty_like(wide)
    vectors = (_repeat(scale32, repeats), _repeat(shift32, repeats))
    other = wide if residual is None else residual.reshape(wide.shape)

    def apply(start: int, stop: int) -> None:
        _kernels().normalize_rows(
            wide, *vectors, other, outputs, start, stop, residual is not None, relu
        )

    run_split(apply, len(wide), grain=_rows_a_thread(wide))
    return outputs.reshape(values.shape), moments


def differentiate_rows(
    values: Bits,
    gradients: Bits,
    outputs: Bits,
    weight: Floats,
    moments: Moments,
    *,
    eps: float,
    relu: bool,
    with_residual: bool,
) -> tuple[Bits, Doubles, Doubles, Bits | None]:
    """Gradients of values, weight, bias and residual, from that of the outputs."""
    wide, repeats = _widen(values)
    gradients, outputs = gradients.reshape(wide.shape), outputs.reshape(wide.shape)
    mean32 = moments.mean.astype(np.float32)
    mean = _repeat(mean32, repeats)
    sums, products = _sum_blocks(
        "sum_gradient_blocks", wide, repeats, (wide, gradients, outputs, mean), (relu,)
    )
    deviation = np.sqrt(moments.variance + eps)
    slope = weight / deviation
    lean = -slope * products / (moments.count * deviation**2)
    level = -slope * sums / moments.count
    vectors = [_repeat(each.astype(np.float32), repeats) for each in (slope, lean, level)]
    back = np.empty_like(wide)
    through = np.empty_like(wide) if with_residual else back

    def apply(start: int, stop: int) -> None:
        _kernels().differentiate_rows(
            wide,
            gradients,
            outputs,
            mean,
            *vectors,
            start,
            stop,
            relu,
            with_residual,
            back,
            through,
        )

    run_split(apply, len(wide), grain=_rows_a_thread(wide))
    residual = through.reshape(values.shape) if with_residual else None
    return back.reshape(values.shape), products / deviation, sums, residual


def normalize_chwn(
    values: Bits, weight: Floats, bias: Floats, *, eps: float, relu: bool
) -> tuple[Bits, Moments]:
    """As `normalize_rows`, from (features, batch)."""
    outputs = np.empty_like(values)
    mean, variance = np.empty(len(values)), np.empty(len(values))

    def apply(start: int, stop: int) -> None:
        _kernels().normalize_features(
            values, weight, bias, eps, mean, variance, outputs, start, stop, relu
        )

    run_split(apply, len(values), grain=_rows_a_thread(values))
    return outputs, Moments(mean, variance, values.shape[1])


def differentiate_chwn(
    values: Bits,
    gradients: Bits,
    outputs: Bits,
    weight: Floats,
    moments: Moments,
    *,
    eps: float,
    relu: bool,
) -> tuple[Bits, Doubles, Doubles]:
    """As `differentiate_rows`, from (features, batch), without a residual."""
    back = np.empty_like(values)
    of_weight, of_bias = np.empty(len(values)), np.empty(len(values))
    mean = moments.mean.astype(np.float32)
    deviation = np.sqrt(moments.variance + eps)

    def apply(start: int, stop: int) -> None:
        _kernels().differentiate_features(
            values,
            gradients,
            outputs,
            weight,
            mean,
            deviation,
            back,
            of_weight,
            of_bias,
            start,
            stop,
            relu,
        )

    run_split(apply, len(values), grain=_rows_a_thread(values))
    return back, of_weight, of_bias


def measure_chwn(values: Bits) -> Moments:
    """Mean and variance of each feature of (features, batch), within 2⁻¹¹ for batches to 4,096."""
    mean, variance = np.empty(len(values)), np.empty(len(values))

    def apply(start: int, stop: int) -> None:
        _kernels().measure_rows(values, mean, variance, start, stop)

    run_split(apply, len(values), grain=_rows_a_thread(values))
    return Moments(mean, variance, values.shape[1])


def _widen(values: Bits) -> tuple[Bits, int]:
    """The matrix with several rows as one, so that a row is long enough to work on at once."""
    num_rows, num_columns = values.shape
    repeats = 1
    while num_rows % (2 * repeats) == 0 and 2 * repeats * num_columns <= _WIDTH:
        repeats *= 2
    return values.reshape(num_rows // repeats, repeats * num_columns), repeats


def _sum_blocks(
    kernel: str, wide: Bits, repeats: int, arrays: tuple[Any, ...], flags: tuple[bool, ...]
) -> tuple[Doubles, Doubles]:
    """Two sums of each feature, in float64 over blocks of float32."""
    num_blocks = -(-len(wide) // _BLOCK)
    first = np.zeros((num_blocks, wide.shape[1]), dtype=np.float32)
    second = np.zeros_like(first)
    run = getattr(_kernels(), kernel)

    def apply(start: int, stop: int) -> None:
        run(*arrays, start, stop, _BLOCK, *flags, first, second)

    run_split(apply, num_blocks, grain=max(1, _rows_a_thread(wide) // _BLOCK))
    shape = (num_blocks * repeats, -1)
    with np.errstate(invalid="ignore"):  # a run that diverges is told by its loss
        return (
            first.reshape(shape).sum(axis=0, dtype=np.float64),
            second.reshape(shape).sum(axis=0, dtype=np.float64),
        )


def _repeat(vector: Floats, repeats: int) -> Floats:
    return vector if repeats == 1 else np.tile(vector, repeats)


def _rows_a_thread(values: Bits) -> int:
    num_columns: int = values.shape[1]
    return max(1, _GRAIN // num_columns)


def _widen_bits(bits: Bits) -> Floats:
    return (bits.astype(np.uint32) << 16).view(np.float32)


@lru_cache(maxsize=1)
def _kernels() -> SimpleNamespace:
    return compile_kernels(
        [bf16, batch_norm, chwn_norm],
        [
            "sum_blocks",
            "normalize_rows",
            "sum_gradient_blocks",
            "differentiate_rows",
            "measure_rows",
            "normalize_features",
            "differentiate_features",
        ],
    )
