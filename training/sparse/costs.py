"""What a step of a layer costs, dense and sparse, measured once on the machine that trains."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from training.beta_lasso import BetaLasso
from training.sparse.weight import SparseWeight

_PROBE_DENSITY = 1 / 32
_NUM_CALLS = 3
_THRESHOLD, _L1_COEF = 2.0**-20, 2.0**-30  # Too small to change a support of random numbers.
_NO_REACH, _FULL_REACH = 0.0, 2.0
_GAIN = 0.95  # A sparse step is worth it below this share of a dense one,
_LOSS = 1.02  # and is given up above this.


@dataclass(frozen=True)
class LayerCosts:
    """Seconds of the parts of one layer's step.

    Attributes:
        dense: Forward, gradients and optimizer with a dense weight.
        fixed: What a sparse step takes with no entries and all rows certified.
        open_rows: What it takes longer if none is: their gradients.
        entry: What each entry adds.

    >>> costs = LayerCosts(dense=1.0, fixed=0.125, open_rows=0.5, entry=0.0625)
    >>> costs.sparse(4, certified=0.75), costs.pays(4), costs.loses(4, certified=0.75)
    (0.5, True, False)
    """

    dense: float
    fixed: float
    open_rows: float
    entry: float

    def sparse(self, num_entries: int, certified: float) -> float:
        """Seconds of a sparse step, with the share of rows that are certified."""
        return self.fixed + (1 - certified) * self.open_rows + self.entry * num_entries

    def pays(self, num_entries: int, certified: float = 0.0) -> bool:
        """Whether to hand the layer over; before that nothing is known to be certified."""
        return self.sparse(num_entries, certified) < _GAIN * self.dense

    def loses(self, num_entries: int, certified: float) -> bool:
        """Whether to hand it back."""
        return self.sparse(num_entries, certified) > _LOSS * self.dense


def measure_costs(
    shape: tuple[int, int], *, batch: int, dtype: torch.dtype, with_input_gradient: bool
) -> LayerCosts:
    """Time the steps of a layer on random numbers; the best of a few calls.

    Args:
        shape: (rows, columns) of the weight.
        batch: N.
        dtype: Of the products: bfloat16, float32 or float64.
        with_input_gradient: Whether the layer's input wants one.
    """
    rows, columns = shape
    generator = torch.Generator().manual_seed(0)
    is_low = dtype == torch.bfloat16
    inputs = torch.randn(batch, columns, generator=generator).to(dtype)
    deltas = torch.randn(batch, rows, generator=generator).to(dtype)
    weight = nn.Parameter(
        torch.randn(shape, generator=generator).to(torch.float32 if is_low else dtype)
    )
    sparse = [
        SparseWeight(weight.detach() * kept, low_precision=is_low)
        for kept in (
            torch.zeros(shape, dtype=torch.bool),
            torch.rand(shape, generator=generator) < _PROBE_DENSITY,
        )
    ]
    dense = _time(_dense_step(weight, inputs, deltas, with_input_gradient=with_input_gradient))
    flat = (inputs.t().contiguous(), deltas.t().contiguous())

    def time_sparse(probe: SparseWeight, reach: float) -> float:
        return _time(_sparse_step(probe, *flat, with_input_gradient, reach))

    fixed, full = (time_sparse(probe, _NO_REACH) for probe in sparse)
    return LayerCosts(
        dense=dense,
        fixed=fixed,
        open_rows=max(0.0, time_sparse(sparse[0], _FULL_REACH) - fixed),
        entry=max(0.0, full - fixed) / max(1, sparse[1].support.num_entries),
    )


def _dense_step(
    weight: nn.Parameter, inputs: Tensor, deltas: Tensor, *, with_input_gradient: bool
) -> Callable[[], None]:
    optimizer = BetaLasso([weight], lr=0.0, l1_coef=0.0)
    if inputs.dtype == torch.bfloat16:
        optimizer.attach_shadows([weight])
    leaf = optimizer.shadows.get(weight, weight)
    numbers = leaf.detach()

    def step() -> None:
        leaf.grad = deltas.t() @ inputs
        optimizer.step()
        _ = inputs @ numbers.t()
        if with_input_gradient:
            _ = deltas @ numbers

    return step


def _sparse_step(
    weight: SparseWeight, inputs: Tensor, deltas: Tensor, with_input_gradient: bool, reach: float
) -> Callable[[], None]:
    """A step in which the bound on each gradient is about `reach` thresholds; none comes back."""
    lr = reach * _THRESHOLD / inputs.shape[1]  # ‖Δ_i‖ ‖X_j‖ is about N

    def step() -> None:
        weight.multiply(inputs)
        if with_input_gradient:
            weight.multiply_transposed(deltas)
        weight.take_step(deltas, inputs, lr=lr, l1_coef=_L1_COEF, beta=_THRESHOLD / _L1_COEF)

    return step


def _time(call: Callable[[], object]) -> float:
    call()
    best = float("inf")
    for _ in range(_NUM_CALLS):
        start = time.perf_counter()
        call()
        best = min(best, time.perf_counter() - start)
    return best
