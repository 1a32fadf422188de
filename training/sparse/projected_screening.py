"""A tighter screen: the bound on each gradient, taken apart along the batch's main directions.

Let the columns of Q be a few orthonormal directions of the batch, in groups, and u, v the lines of
Δ and X with their means taken out. Then

    |u · v| <= Σ_groups ‖Q_gᵀu‖ ‖Q_gᵀv‖ + ‖u - QQᵀu‖ ‖v - QQᵀv‖      (Cauchy-Schwarz in each)

for every Q. Images have most of their variance along a few directions in which Δ has little, so
with the leading singular vectors of X this is about half of ‖u‖ ‖v‖. The directions come from one
subspace iteration that starts from some lines of X: a poor Q costs tightness, never truth.

To bound a row over all columns, columns are sorted into chunks with like norms, of which the
largest in each group count.

**Rounding.** Projections are computed in float32 (float64 for float64), each off by at most
γ_N √r ‖x‖ for r directions; QᵀQ is I and Qᵀ1 is 0 but for less than that. So the sum over groups
may be off by 2 √groups γ_N √r ‖Δ_i‖ ‖X_j‖ < 16 γ_N ‖Δ_i‖ ‖X_j‖, and the square of what is left by
that share of ‖x‖² and twice the error of the measured norms. `_slack` is more than either.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from training.sparse.screening import MEASURED, Screen, Vectors, inflation, pad_vectors

GROUPS = (1, 3, 12, 48)
"""Directions in each group, by falling variance."""

_NUM_DIRECTIONS = sum(GROUPS)
_NUM_CHUNKS = 64
_FEWEST_VECTORS = (
    1024  # unscreened rows and columns from which on their gradients take longer than this.
)
_FEWEST_IMAGES = 2 * _NUM_DIRECTIONS


@dataclass(frozen=True)
class _Parts:
    """Vectors taken apart.

    Attributes:
        norms: float64 (lines, groups + 3): in each group, of the rest, of the mean, and in all.
    """

    norms: Tensor

    def select(self, lines: Tensor) -> "_Parts":
        """Some of the lines, by their numbers."""
        return _Parts(self.norms[lines])

    def largest(self) -> Tensor:
        """The largest of each norm in chunks of lines that are alike, (chunks, groups + 3)."""
        size = -(-len(self.norms) // _NUM_CHUNKS)
        order = self.norms[:, 0].argsort()
        order = torch.cat([order, order[-1:].expand(-len(order) % size)])
        return self.norms[order].view(-1, size, self.norms.shape[1]).amax(1)


def may_tighten(found: Screen, batch: int) -> bool:
    """Whether so many rows are borderline that a tighter screen may save more than it takes."""
    num_lines = min(int(found.is_borderline.sum()), len(found.columns))
    return num_lines >= _FEWEST_VECTORS and batch >= _FEWEST_IMAGES


def tighten(
    found: Screen,
    deltas: Tensor,
    inputs: Tensor,
    lines: tuple[Vectors, Vectors],
    *,
    lr: float,
    threshold: float,
) -> Screen:
    """Close more rows, of those that are near, and more columns of a screen.

    Args:
        found: From `training.sparse.screening.screen`, with unscreened rows.
        deltas: Δ (rows, N).
        inputs: X (columns, N), of the same type, N >= the number of directions.
        lines: Their lines, as `measure_lines` gives them.
        lr: η.
        threshold: βλ, as the step rounds it.
    """
    kind = torch.float64 if inputs.dtype == torch.float64 else torch.float32
    numbers = inputs.to(kind)
    directions = _find_directions(numbers)
    borderline = found.rows[found.is_borderline]
    rest = found.rows[~found.is_borderline]
    padded = pad_vectors(borderline)
    rows = _take_apart(deltas[padded].to(kind), lines[0].select(padded), directions)
    rows = _Parts(rows.norms[: len(borderline)])
    columns = _take_apart(numbers, lines[1], directions)
    drift, scale = inflation(inputs.dtype, inputs.shape[1])
    weights = rows.norms.new_ones(len(GROUPS) + 3)
    weights[-1] = drift + _slack(lines[1])
    limit = threshold / scale

    def find_unscreened(parts: _Parts, others: _Parts) -> Tensor:
        bounds = ((parts.norms * weights) @ others.largest().t()).amax(1)
        return (~(lr * bounds < limit)).nonzero()[:, 0]  # NaN is not screened

    kept = borderline[find_unscreened(rows, columns)]
    if len(rest):
        both = torch.cat([kept, rest]).sort().values
        return Screen(both, found.columns, found.num_rows, torch.zeros_like(both, dtype=torch.bool))
    narrow = kept
    if len(kept):
        narrow = find_unscreened(
            columns.select(found.columns), rows.select(torch.searchsorted(borderline, kept))
        )
        narrow = found.columns[narrow]
    return Screen(kept, narrow, found.num_rows, torch.zeros_like(kept, dtype=torch.bool))


def _find_directions(inputs: Tensor) -> Tensor:
    """About the leading right singular vectors of X without its means, (N, directions)."""
    some = torch.arange(_NUM_DIRECTIONS, device=inputs.device) * len(inputs) // _NUM_DIRECTIONS
    basis = _orthonormalize(inputs[some].t())
    basis = _orthonormalize(inputs.t() @ (inputs @ basis))
    images = (inputs @ basis).double()
    gram = images.t() @ images
    if not bool(torch.isfinite(gram).all()):
        return basis
    axes: Tensor = torch.linalg.eigh(gram)[1]
    return basis @ axes.flip(1).to(basis.dtype)


def _orthonormalize(vectors: Tensor) -> Tensor:
    """Orthonormal vectors, orthogonal to the mean direction, whose span with it holds these."""
    ones = vectors.new_ones(len(vectors), 1)
    basis: Tensor = torch.linalg.qr(torch.cat([ones, vectors], dim=1))[0]
    return basis[:, 1:]


def _take_apart(numbers: Tensor, lines: Vectors, directions: Tensor) -> _Parts:
    projected = (numbers @ directions).double()
    groups = torch.stack(
        [part.norm(dim=1) for part in torch.split(projected, list(GROUPS), dim=1)], dim=1
    )
    norms = lines.norms
    rest = lines.spreads.square() - groups.square().sum(1) + _slack(lines) * norms.square()
    others = torch.stack([rest.clamp_min(0).sqrt(), lines.means, norms], dim=1)
    return _Parts(torch.cat([groups, others], dim=1))


def _slack(lines: Vectors) -> float:
    drift, _ = inflation(lines.dtype, lines.batch)
    return 4 * MEASURED[lines.dtype] + 16 * drift
