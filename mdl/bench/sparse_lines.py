"""Products of sparse weights with a batch, against the dense products and torch's own sparse ones.

The weights are those of the first two layers of an s-fc, at the densities that a long run ends
with. A product each is timed of the forward pass, of the gradients at the nonzeros and, behind the
first layer, of the gradients of the inputs.
"""

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from mdl.bench.lines import Baseline, Line
from mdl.bench.settings import DTYPES, IMAGE_SIZE, SPARSE_DENSITIES, BenchSettings
from mdl.timing.floors import MatmulPeak
from mdl.timing.rounds import Piece, Timing, time_rounds
from training.kernels.backends import backend_name
from training.sparse.products import multiply, multiply_transposed, sum_products
from training.sparse.support import Support, TransposedSupport, collect, transpose
from training.sparse.torch_support import widen
from training.spec.architectures import LayerSpec, NetworkSpec

_TORCH_CSR = "torch CSR, sampled_addmm in fp32"


def measure_sparse_products(settings: BenchSettings, peaks: Mapping[str, MatmulPeak]) -> list[Line]:
    """Layer 1 and layer 2 of s-fc, each in training's arithmetic and in fp32.

    Args:
        settings: α of the network and images a batch.
        peaks: The fastest matrix product in each of these.
    """
    width, _ = settings.sparse
    spec = NetworkSpec(name="s-fc", image_size=IMAGE_SIZE, num_classes=10, base_channels=width)
    return [
        line
        for number, (layer, density) in enumerate(pair_densities(spec), start=1)
        for line in _measure(_make_operands(number, layer, density, settings), settings, peaks)
    ]


def pair_densities(spec: NetworkSpec) -> list[tuple[LayerSpec, float]]:
    """The first layers of a network with the density of each.

    >>> spec = NetworkSpec(name="s-fc", image_size=32, num_classes=10, base_channels=1)
    >>> [(layer.name, density) for layer, density in pair_densities(spec)]
    [('conv1', 0.01), ('fc1', 0.05)]
    """
    return list(zip(spec.layers, SPARSE_DENSITIES, strict=False))


def draw_sparse_weight(
    shape: tuple[int, ...], density: float, generator: torch.Generator
) -> Tensor:
    """Numbers between half of a dense initialisation's range and its end, or zero.

    Args:
        shape: (rows, columns).
        density: Chance of a number that is not zero.
        generator: Of the CPU.
    """
    largest = shape[1] ** -0.5
    weight = torch.empty(shape).uniform_(-1, 1, generator=generator)
    weight.add_(weight.sign()).mul_(largest / 2)
    return weight.mul_(torch.rand(shape, generator=generator) < density)


def draw_sparse_weights(spec: NetworkSpec) -> dict[str, Tensor]:
    """Layer to its weight, for the first layers of a network, at `SPARSE_DENSITIES`."""
    generator = torch.Generator().manual_seed(0)
    return {
        layer.name: draw_sparse_weight((layer.out_features, layer.in_features), density, generator)
        for layer, density in pair_densities(spec)
    }


@dataclass(frozen=True, kw_only=True)
class _Operands:
    """A layer's weight, dense and sparse, its inputs X and the gradients Δ at its outputs.

    Attributes:
        name: Which layer, at which density.
        weight: (rows, columns), float32.
        support: Its entries.
        values: (entries), float32.
        transposed: The support of Wᵀ where the inputs want gradients, else None.
        inputs: Xᵀ, (N, columns), float32: as dense layers have it.
        gradients: Δᵀ, (N, rows), float32.
    """

    name: str
    weight: Tensor
    support: Support
    values: Tensor
    transposed: TransposedSupport | None
    inputs: Tensor
    gradients: Tensor

    @property
    def num_products(self) -> int:
        """Forward pass and gradients of the weights, and of the inputs where they are wanted."""
        return 2 if self.transposed is None else 3

    @property
    def flop(self) -> int:
        """Operations at the nonzeros, 2 a multiply-accumulate."""
        return 2 * self.num_products * self.support.num_entries * len(self.inputs)


def _make_operands(
    number: int, layer: LayerSpec, density: float, settings: BenchSettings
) -> _Operands:
    width, batch_size = settings.sparse
    generator = torch.Generator().manual_seed(0)
    shape = (layer.out_features, layer.in_features)
    weight = draw_sparse_weight(shape, density, generator).to(settings.device)
    support, values = collect(weight)
    return _Operands(
        name=f"layer {number} of s-fc α={width} at {density:.0%}",
        weight=weight,
        support=support,
        values=values,
        transposed=None if number == 1 else transpose(support),
        inputs=torch.randn(batch_size, shape[1], generator=generator).to(settings.device),
        gradients=torch.randn(batch_size, shape[0], generator=generator).to(settings.device),
    )


def _measure(
    operands: _Operands, settings: BenchSettings, peaks: Mapping[str, MatmulPeak]
) -> list[Line]:
    pieces: dict[str, Callable[[], object] | Piece] = {}
    for name in settings.sparse_precisions:
        dtype = DTYPES[name]
        pieces[f"sparse {name}"] = _sparse_products(operands, dtype)
        pieces[_dense(name)] = Piece(run=_dense_products(operands, dtype), is_naive=True)
        pieces[f"peak {name}"] = peaks[name].run
    if _has_torch_products(settings.device):
        pieces[_TORCH_CSR] = Piece(run=_torch_products(operands), is_naive=True)
    timings = time_rounds(pieces, settings.sparse_pace)
    return [_make_line(operands, name, timings, peaks[name]) for name in settings.sparse_precisions]


def _make_line(
    operands: _Operands, dtype: str, timings: Mapping[str, Timing], peak: MatmulPeak
) -> Line:
    rate = peak.flop / timings[f"peak {dtype}"].median
    dense = operands.weight.numel()
    return Line(
        piece=f"{_products(operands)}, {operands.name}, {dtype}",
        amount=operands.support.num_entries,
        unit="nonzeros",
        timing=timings[f"sparse {dtype}"],
        floor="FLOPs at the nonzeros at the matmul peak of the same type",
        floor_s=operands.flop / rate,
        baselines=tuple(
            Baseline(name=name, timing=timings[name])
            for name in (_dense(dtype), _TORCH_CSR)
            if name in timings
        ),
        facts={
            "backend": backend_name(operands.weight.device),
            "rows": operands.support.num_rows,
            "columns": operands.support.num_columns,
            "entries": operands.support.num_entries,
            "density": operands.support.num_entries / dense,
            "batch_size": len(operands.inputs),
            "flop": operands.flop,
            "peak_flop_per_second": rate,
            "difference_from_dense": _difference_from_dense(operands, DTYPES[dtype]),
        },
    )


def _products(operands: _Operands) -> str:
    return "SpMM + SDDMM" if operands.transposed is None else "2 SpMM + SDDMM"


def _dense(dtype: str) -> str:
    return f"dense products in {dtype}"


def _sparse_products(operands: _Operands, dtype: torch.dtype) -> Callable[[], list[Tensor]]:
    values, support, flipped = operands.values.to(dtype), operands.support, operands.transposed
    inputs = operands.inputs.t().to(dtype).contiguous()
    gradients = operands.gradients.t().to(dtype).contiguous()

    def run() -> list[Tensor]:
        found = [multiply(support, values, inputs), sum_products(support, gradients, inputs)]
        if flipped is not None:
            found.append(multiply_transposed(flipped, values, gradients))
        return found

    return run


def _dense_products(operands: _Operands, dtype: torch.dtype) -> Callable[[], list[Tensor]]:
    weight, inputs, gradients = (
        numbers.to(dtype) for numbers in (operands.weight, operands.inputs, operands.gradients)
    )

    def run() -> list[Tensor]:
        found = [inputs @ weight.t(), gradients.t() @ inputs]
        if operands.transposed is not None:
            found.append(gradients @ weight)
        return found

    return run


def _torch_products(operands: _Operands) -> Callable[[], list[Tensor]]:
    """The sparse matrices are made before; torch has them in float32 and float64 alone."""
    weight = _make_csr(operands.support, operands.values)
    columns = operands.inputs.t().contiguous()
    gradients = operands.gradients.t().contiguous()
    flipped = None
    if operands.transposed is not None:
        flipped = _make_csr(
            operands.transposed.support, operands.transposed.gather(operands.values)
        )
    sample = partial(torch.sparse.sampled_addmm, weight, gradients, operands.inputs, beta=0.0)

    def run() -> list[Tensor]:
        found = [weight @ columns, sample()]
        if flipped is not None:
            found.append(flipped @ gradients)
        return found

    return run


def _make_csr(support: Support, values: Tensor) -> Tensor:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sparse CSR tensor support is in beta state")
        return torch.sparse_csr_tensor(
            support.row_starts.to(torch.int32),
            widen(support.columns).to(torch.int32),
            values,
            support.shape,
            check_invariants=False,
        )


def _has_torch_products(device: torch.device) -> bool:
    """Whether torch was built with what its sparse products need on this device."""
    has_mkl: bool = torch.backends.mkl.is_available()  # type: ignore[no-untyped-call]
    return device.type == "cuda" or has_mkl


def _difference_from_dense(operands: _Operands, dtype: torch.dtype) -> float:
    """The largest difference between sparse and dense Y, as a share of the largest |Y|."""
    inputs = operands.inputs.to(dtype)
    sparse = multiply(operands.support, operands.values.to(dtype), inputs.t().contiguous())
    dense = (inputs @ operands.weight.to(dtype).t()).t().float()
    return float((sparse.float() - dense).abs().max() / dense.abs().max())
