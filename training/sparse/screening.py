"""Which zero weights cannot come back in this step: screened by a bound on their gradients.

The gradient of weight (i, j) of a linear layer is ∂_ij = Σ_n Δ_in X_jn over the batch. β-lasso
leaves a zero weight at zero unless |η ∂_ij| >= βλ. With means over the batch taken out,

    ∂_ij = Σ_n (Δ_in - Δ̄_i) (X_jn - X̄_j) + N Δ̄_i X̄_j,
    |∂_ij| <= ‖Δ_i - Δ̄_i‖ ‖X_j - X̄_j‖ + N |Δ̄_i X̄_j|                    (Cauchy-Schwarz)

which holds for all numbers. Behind BatchNorm in training Δ̄_i is 0 but for rounding, so taking the
means out costs nothing there and shortens X_j.

**Rounding.** The gradient that a dense step computes is not ∂_ij. A sum of N products in any order
in arithmetic of unit roundoff u is off by at most γ_N ‖Δ_i‖ ‖X_j‖, γ_N = N u / (1 - N u). Rounding
it to bfloat16 then multiplies it by at most 1 + 2⁻⁸, and the product with η by 1 + u. The norms
here are measured with a relative error below 2⁻¹⁰ in low precision and 2⁻⁴⁰ in float64.
`inflation` takes all of these in. NaN screens nothing.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from training.kernels.backends import backend_name
from training.networks.norm_passes import measure_chwn

_UNIT_ROUNDOFF = {torch.bfloat16: 2.0**-24, torch.float32: 2.0**-24, torch.float64: 2.0**-53}
MEASURED = {torch.bfloat16: 2.0**-10, torch.float32: 2.0**-10, torch.float64: 2.0**-40}
"""Relative error of a measured norm, by the type of the line."""
_BF16_ROUNDING = 2.0**-8
_SHAPE_STEP = 256
_BORDERLINE = 2.5  # `training.sparse.projected_screening` gets bounds down to 0.4 to 0.6 of these.


@dataclass(frozen=True)
class Vectors:
    """Norms of the lines of a matrix (lines, N) over the batch.

    Attributes:
        spreads: ‖x - x̄‖ of each line, float64.
        means: √N |x̄| of each line, float64.
        batch: N.
        dtype: Of the matrix.
    """

    spreads: Tensor
    means: Tensor
    batch: int
    dtype: torch.dtype

    @property
    def norms(self) -> Tensor:
        """‖x‖ of each line."""
        return torch.hypot(self.spreads, self.means)

    def select(self, lines: Tensor) -> "Vectors":
        """Some of the lines, by their numbers."""
        return Vectors(self.spreads[lines], self.means[lines], self.batch, self.dtype)


@dataclass(frozen=True)
class Screen:
    """What a step must look at: every weight outside rows x columns is screened if it is zero.

    Attributes:
        rows: int64, the unscreened rows, ascending.
        columns: int64, the unscreened columns, ascending; empty if every row is screened.
        num_rows: Rows in all.
        is_borderline: bool, for each unscreened row whether its bound is so little above the
            threshold that a tighter one may screen it.
    """

    rows: Tensor
    columns: Tensor
    num_rows: int
    is_borderline: Tensor

    @property
    def screened_share(self) -> float:
        """Share of the rows in which no zero weight can come back."""
        return 1 - len(self.rows) / max(1, self.num_rows)


def measure_lines(matrix: Tensor) -> Vectors:
    """Norms of each line of a bfloat16, float32 or float64 matrix (lines, N), N >= 1."""
    batch = matrix.shape[1]
    if matrix.dtype == torch.bfloat16 and backend_name(matrix.device) == "numba":
        moments = measure_chwn(matrix.detach().contiguous().view(torch.uint16).numpy())
        mean, variance = torch.from_numpy(moments.mean), torch.from_numpy(moments.variance)
    else:
        variance, mean = torch.var_mean(matrix.double(), dim=1, correction=0)
    return Vectors((variance * batch).sqrt(), mean.abs() * batch**0.5, batch, matrix.dtype)


def screen(deltas: Vectors, inputs: Vectors, *, lr: float, threshold: float) -> Screen:
    """The rows and columns in which a zero weight may come back.

    Args:
        deltas: Vectors of Δ (rows, N), the gradient at the layer's output.
        inputs: Vectors of X (columns, N), the layer's input.
        lr: η >= 0.
        threshold: βλ, as the step rounds it, > 0.

    Raises:
        ValueError: A threshold that is not > 0: without one every weight comes back.
    """
    if not threshold > 0:
        raise ValueError(f"threshold must be > 0, not {threshold}; nothing is screened without one")
    drift, scale = inflation(inputs.dtype, inputs.batch)
    limit = threshold / scale

    def bound(lines: Vectors, others: Vectors) -> Tensor:
        bounds = lines.spreads * others.spreads.max() + lines.means * others.means.max()
        return lr * (bounds + drift * lines.norms * others.norms.max())

    bounds = bound(deltas, inputs)
    rows = (~(bounds < limit)).nonzero()[:, 0]  # NaN is not screened
    columns = rows
    if len(rows):
        columns = (~(bound(inputs, deltas.select(rows)) < limit)).nonzero()[:, 0]
    return Screen(rows, columns, len(deltas.spreads), bounds[rows] < _BORDERLINE * limit)


def pad_vectors(lines: Tensor) -> Tensor:
    """Numbers of lines, and the last of them again up to a multiple of 256, or a power of 2 below.

    oneDNN keeps code and room for each of the last 1024 shapes that it has multiplied: hundreds of
    megabytes where every step has a shape of its own.

    >>> pad_vectors(torch.tensor([3, 5, 8])).tolist(), len(pad_vectors(torch.arange(257)))
    ([3, 5, 8, 8], 512)
    """
    step = min(_SHAPE_STEP, 2 ** (len(lines) - 1).bit_length()) if len(lines) else 1
    return torch.cat([lines, lines[-1:].expand(-len(lines) % step)])


def inflation(dtype: torch.dtype, batch: int) -> tuple[float, float]:
    """What rounding adds to the bound: a share of ‖Δ_i‖ ‖X_j‖, and a factor on the whole."""
    roundoff, measured = _UNIT_ROUNDOFF[dtype], MEASURED[dtype]
    drift = batch * roundoff / (1 - batch * roundoff)
    stored = _BF16_ROUNDING if dtype == torch.bfloat16 else roundoff
    return drift, (1 + measured) ** 2 * (1 + stored) * (1 + roundoff) ** 2
