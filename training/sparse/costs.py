"""Which layers may be sparse, and what a step costs: measured here, or typical."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from training.optim.beta_lasso import BetaLasso
from training.sparse.weight import SparseWeight
from training.spec.architectures import LayerSpec
from training.spec.config import TrainConfig

_NUM_ROUNDS = 3
_NUM_CALLS_ASIDE = 8  # In a round on a device that works aside: it waits for the host but once.
SMALLEST_LAYER = 2**20
"""Weights from which on a layer is worth the question."""
_SMALLEST_THRESHOLD = torch.finfo(torch.float32).tiny
_CPU = torch.device("cpu")
_PROBE_DENSITY = 1 / 32
_MOST_WEIGHTS = 2**26  # That are timed: 400 MB of weights and copies.
_THRESHOLD, _L1_COEF = 2.0**-20, 2.0**-30  # Too small to change a support of random numbers.
_NO_REACH, _FULL_REACH = 0.0, 2.0
_GAIN = 0.95  # A sparse step is worth it below this share of a dense one,
_LOSS = 1.02  # and is given up above this.
_TYPICAL_DENSE = 14e-12  # Seconds of a product, for a weight and an image,
_TYPICAL_OPEN = 20e-12  # of the gradient of an unscreened row, likewise,
_TYPICAL_ENTRY = 25e-12  # of a product, for an entry and an image,
_TYPICAL_LINE = 1.5e-9  # and of looking at a row or column, for an image.


@dataclass(frozen=True)
class LayerCosts:
    """Seconds of the parts of one layer's step.

    Attributes:
        dense: Forward, gradients and optimizer with a dense weight.
        fixed: What a sparse step takes with no entries and all rows screened.
        open_rows: What it takes longer if none is: their gradients.
        entry: What each entry adds.

    >>> costs = LayerCosts(dense=1.0, fixed=0.125, open_rows=0.5, entry=0.0625)
    >>> costs.sparse(4, screened=0.75), costs.pays(4), costs.loses(4, screened=0.75)
    (0.5, True, False)
    """

    dense: float
    fixed: float
    open_rows: float
    entry: float

    def sparse(self, num_entries: int, screened: float) -> float:
        """Seconds of a sparse step, with the share of rows that are screened."""
        return self.fixed + (1 - screened) * self.open_rows + self.entry * num_entries

    def total(self, num_weights: int) -> float:
        """Seconds that tell a quiet measurement from one that other programs have disturbed."""
        return self.dense + self.sparse(round(_PROBE_DENSITY * num_weights), screened=0.0)

    def pays(self, num_entries: int, screened: float = 0.0) -> bool:
        """Whether to hand the layer over."""
        return self.sparse(num_entries, screened) < _GAIN * self.dense

    def loses(self, num_entries: int, screened: float) -> bool:
        """Whether to hand it back."""
        return self.sparse(num_entries, screened) > _LOSS * self.dense


def may_be_sparse(layer: LayerSpec, config: TrainConfig) -> bool:
    """Whether this layer may become sparse.

    It must be large, dense and without a bias, and have βλ > 0, so that zero weights can stay zero.

    >>> config = TrainConfig(network="s-fc", base_channels=8, l1_conv=1e-5)
    >>> spec = config.network_spec(image_size=32, num_classes=10, in_channels=3)
    >>> {layer.name: may_be_sparse(layer, config) for layer in spec.layers}
    {'conv1': True, 'fc1': False, 'fc2': False}
    """
    l1_coef = config.l1_conv if layer.group == "conv" else config.l1_fc
    is_linear = layer.kind == "dense" and layer.normalized
    is_large = layer.num_weights >= SMALLEST_LAYER
    return is_linear and is_large and config.beta * l1_coef > _SMALLEST_THRESHOLD


def memory_costs(num_weights: int) -> LayerCosts:
    """Costs in weights in place of seconds: a sparse layer costs its entries, a dense one half.

    That is where they take the same memory: 12 bytes an entry, 6 a weight.

    >>> memory_costs(1000).pays(470), memory_costs(1000).pays(490), memory_costs(1000).loses(520, 0)
    (True, False, True)
    """
    return LayerCosts(dense=num_weights / 2, fixed=0.0, open_rows=0.0, entry=1.0)


def typical_costs(shape: tuple[int, int], *, batch: int, with_input_gradient: bool) -> LayerCosts:
    """Costs that depend on no clock, so that a run that goes by them repeats exactly.

    The times are those of one core (AMD EPYC, AVX512_BF16, bfloat16), rounded; only their ratios
    count. Elsewhere a layer may become sparse sooner or later than is best.

    Args:
        shape: (rows, columns) of the weight.
        batch: N.
        with_input_gradient: Whether the layer's input wants one.

    >>> costs = typical_costs((3072, 3072), batch=512, with_input_gradient=False)
    >>> costs.pays(1_000_000), costs.pays(1_200_000)  # of 9.4 million
    (True, False)
    """
    rows, columns = shape
    num_products = 3 if with_input_gradient else 2
    return LayerCosts(
        dense=_TYPICAL_DENSE * num_products * rows * columns * batch,
        fixed=_TYPICAL_LINE * (rows + columns) * batch,
        open_rows=_TYPICAL_OPEN * rows * columns * batch,
        entry=_TYPICAL_ENTRY * num_products * batch,
    )


def measure_costs(
    shape: tuple[int, int],
    *,
    batch: int,
    dtype: torch.dtype,
    with_input_gradient: bool,
    device: torch.device = _CPU,
) -> LayerCosts:
    """Time the steps of a layer on random numbers; the best of a few calls.

    Of a large layer some rows are timed, and count for all. Nothing is screened by chance.

    Args:
        shape: (rows, columns) of the weight.
        batch: N.
        dtype: Of the products: bfloat16, float32 or float64.
        with_input_gradient: Whether the layer's input wants one.
        device: Where the layer computes.
    """
    columns = shape[1]
    rows = min(shape[0], max(1, _MOST_WEIGHTS // columns))
    generator = torch.Generator().manual_seed(0)
    is_low = dtype == torch.bfloat16
    inputs = torch.randn(batch, columns, generator=generator).to(device, dtype)
    deltas = torch.randn(batch, rows, generator=generator).to(device, dtype)
    weight = nn.Parameter(
        torch.randn(rows, columns, generator=generator).to(
            device, torch.float32 if is_low else dtype
        )
    )
    sparse = [
        SparseWeight(weight.detach() * kept.to(device), low_precision=is_low)
        for kept in (
            torch.zeros(rows, columns, dtype=torch.bool),
            torch.rand(rows, columns, generator=generator) < _PROBE_DENSITY,
        )
    ]
    dense = measure_seconds(
        _dense_step(weight, inputs, deltas, with_input_gradient=with_input_gradient), device
    )
    flat = (inputs.t().contiguous(), deltas.t().contiguous())

    def time_sparse(probe: SparseWeight, reach: float) -> float:
        return measure_seconds(_sparse_step(probe, *flat, with_input_gradient, reach), device)

    fixed, full = (time_sparse(probe, _NO_REACH) for probe in sparse)
    open_rows = max(0.0, time_sparse(sparse[0], _FULL_REACH) - fixed)
    share = shape[0] / rows
    return LayerCosts(
        dense=share * dense,
        fixed=share * fixed,
        open_rows=share * open_rows,
        entry=max(0.0, full - fixed) / max(1, sparse[1].support.num_entries),
    )


def _dense_step(
    weight: nn.Parameter, inputs: Tensor, deltas: Tensor, *, with_input_gradient: bool
) -> Callable[[], None]:
    optimizer = BetaLasso([weight], lr=0.0, l1_coef=0.0)
    if inputs.dtype == torch.bfloat16:
        optimizer.attach_working_copies([weight])
    leaf = optimizer.working_copies.get(weight, weight)
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


def measure_seconds(call: Callable[[], object], device: torch.device) -> float:
    """Seconds of one call; the best of a few rounds, after one that is not timed.

    Where calls return before the device is done, a round is several calls in a row and ends when
    the device is done with all of them, as steps follow each other in training.

    Args:
        call: Works on the device. It may wait for it, and is timed with that.
        device: Where the work is done.
    """
    num_calls = 1 if device.type == "cpu" else _NUM_CALLS_ASIDE
    call()
    best = float("inf")
    for _ in range(_NUM_ROUNDS):
        wait_for(device)
        start = time.perf_counter()
        for _ in range(num_calls):
            call()
        wait_for(device)
        best = min(best, (time.perf_counter() - start) / num_calls)
    return best


def wait_for(device: torch.device) -> None:
    """Return once the device has done all that it was given; a CPU has."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
