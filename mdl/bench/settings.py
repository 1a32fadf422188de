"""How large the pieces of the bench are, on a CPU and on CUDA, at length and quick."""

from dataclasses import dataclass, replace

import torch

from mdl.timing.rounds import Pace
from training.run.precision import choose_precision
from training.spec.config import Precision

NETWORKS = ("s-fc", "s-local", "s-conv", "d-fc", "d-local", "d-conv", "3-fc", "resnet18")
IMAGE_SIZE = 32
SPARSE_DENSITIES = (0.01, 0.05)
"""Of the layers of s-fc that are sparse in the group of that name."""
DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}
"""Types of matrix products by the precision that has them."""
_PEAK_ROUNDS, _PEAK_BUDGET_S = 7, 0.5
_SPARSE_ROUNDS, _SPARSE_BUDGET_S, _SPARSE_NAIVE_ROUNDS = 7, 4.0, 3
_CUDA_CALLS = 10  # A step is a millisecond there, so the clock needs some of them.
_CUDA_WARMUPS = 12  # Captured graphs and kernels that are tuned as they run.

# (base_channels, or hidden_units of 3-fc; images a step) of each network.
# fmt: off
_QUICK_STEPS = {
    "s-fc": (16, 512), "s-local": (16, 128), "s-conv": (16, 256), "d-fc": (2, 128),
    "d-local": (4, 64), "d-conv": (8, 64), "3-fc": (1024, 512), "resnet18": (8, 32),
}
# fmt: on
# fmt: off
_CPU_STEPS = {
    "s-fc": (16, 512), "s-local": (16, 512), "s-conv": (16, 512), "d-fc": (2, 512),
    "d-local": (4, 512), "d-conv": (8, 512), "3-fc": (2048, 512), "resnet18": (16, 128),
}
# fmt: on
# fmt: off
_PAPER_STEPS = {
    "s-fc": (150, 512), "s-local": (150, 512), "s-conv": (150, 512), "d-fc": (15, 512),
    "d-local": (15, 512), "d-conv": (15, 512), "3-fc": (14_533, 512), "resnet18": (64, 512),
}
# fmt: on


@dataclass(frozen=True, kw_only=True)
class BenchSettings:
    """Sizes of all pieces.

    Attributes:
        pace: Where, and how often.
        precision: Arithmetic of all pieces of training: "bf16", "fp16" or "fp32".
        num_weights: Weights of the optimizer's lines: far more than a cache holds.
        steps: Network to its width and images a step.
        sparse: α and images a step of the s-fc with sparse layers.
        qat: α and images a step of the tiny-conv in levels.
        batch_size: Images of the augmentation's lines.
        stored_channels: α of the s-fc that is written, read and bounded.
        coded_channels: α of the s-fc that is encoded, and of the networks whose errors are counted.
        matmul_sides: Sides of the square products among which the peak is sought.
    """

    pace: Pace
    precision: Precision
    num_weights: int
    steps: dict[str, tuple[int, int]]
    sparse: tuple[int, int]
    qat: tuple[int, int]
    batch_size: int
    stored_channels: int
    coded_channels: int
    matmul_sides: tuple[int, ...]

    @property
    def device(self) -> torch.device:
        """Where the pieces of training run; files and descriptions are the CPU's."""
        return self.pace.device

    @property
    def precisions(self) -> tuple[Precision, ...]:
        """That of training, and float32 beside it."""
        return (self.precision,) if self.precision == "fp32" else (self.precision, "fp32")

    @property
    def sparse_precisions(self) -> tuple[Precision, ...]:
        """The same of sparse layers, which are not there at fp16."""
        return ("fp32",) if self.precision == "fp16" else self.precisions

    @property
    def input_dtype(self) -> torch.dtype:
        """The type of a network's inputs: bfloat16 at bf16, else float32."""
        return torch.bfloat16 if self.precision == "bf16" else torch.float32

    @property
    def cpu_pace(self) -> Pace:
        """The pace of what runs on the CPU on every machine."""
        return replace(self.pace, device=torch.device("cpu"), num_warmups=1, num_calls=1)

    @property
    def peak_pace(self) -> Pace:
        """The pace of each shape among which a peak is sought."""
        return replace(
            self.pace,
            rounds=min(self.pace.rounds, _PEAK_ROUNDS),
            budget_s=min(self.pace.budget_s, _PEAK_BUDGET_S),
        )

    @property
    def sparse_pace(self) -> Pace:
        """The pace of sparse layers: fewer rounds, since a dense step of theirs takes seconds."""
        pace = self.pace
        return replace(
            pace,
            rounds=min(pace.rounds, _SPARSE_ROUNDS),
            budget_s=min(pace.budget_s, _SPARSE_BUDGET_S),
            naive_rounds=min(pace.naive_rounds, _SPARSE_NAIVE_ROUNDS),
        )


def choose_settings(
    device: torch.device,
    *,
    quick: bool,
    rounds: int | None = None,
    networks: tuple[str, ...] = (),
    num_weights: int | None = None,
    width: int | None = None,
    batch_size: int | None = None,
    precision: Precision | None = None,
) -> BenchSettings:
    """The sizes for a device, with those that were asked for over them.

    Args:
        device: The CPU, or CUDA: the paper's sizes.
        quick: Sizes and rounds for less than a minute on two cores.
        rounds: Most rounds of each measurement.
        networks: Networks whose step is timed; all of `NETWORKS` if there are none.
        num_weights: Weights of the optimizer's lines.
        width: base_channels (hidden_units of 3-fc) of every network.
        batch_size: Images per step and of the augmentation's lines.
        precision: Arithmetic of training; None for what a training run would choose here.

    Raises:
        ValueError: A network that is not one of `NETWORKS`.

    >>> settings = choose_settings(torch.device("cpu"), quick=True, networks=("s-fc",), width=2)
    >>> settings.steps, settings.coded_channels
    ({'s-fc': (2, 512)}, 2)
    """
    for name in networks:
        if name not in NETWORKS:
            raise ValueError(f"network must be one of {', '.join(NETWORKS)}, not {name!r}")
    is_cuda = device.type == "cuda"
    pace = Pace(
        device=device,
        rounds=rounds or (11 if quick else 31),
        budget_s=0.7 if quick else 4.0,
        naive_rounds=3 if quick else 7,
        num_warmups=_CUDA_WARMUPS if is_cuda else 1,
        num_calls=_CUDA_CALLS if is_cuda else 1,
    )
    steps = _PAPER_STEPS if is_cuda else _QUICK_STEPS if quick else _CPU_STEPS
    precision = precision or choose_precision(device)[0]
    # A dense step at α = 64 takes seconds in float32 on two cores with AVX2.
    sparse = (64, 512) if precision == "bf16" else (32, 512)
    sparse = (150, 512) if is_cuda else (16, 128) if quick else sparse
    stored, coded = (8, 4) if quick else (150, 16) if is_cuda else (32, 16)
    default_weights = 256_000_000 if is_cuda else 16_000_000 if quick else 40_000_000
    sides = (4096, 8192) if is_cuda else (1024, 2048) if quick else (1024, 2048, 4096)
    return BenchSettings(
        pace=pace,
        precision=precision,
        num_weights=num_weights or default_weights,
        steps={
            name: (width or steps[name][0], batch_size or steps[name][1])
            for name in networks or NETWORKS
        },
        sparse=(width or sparse[0], batch_size or sparse[1]),
        qat=(width or 4, batch_size or 256),
        batch_size=batch_size or 512,
        stored_channels=width or stored,
        coded_channels=width or coded,
        matmul_sides=sides,
    )
