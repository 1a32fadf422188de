"""What a run costs before it is run: weights, operations, and about how long on this machine."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePath

import numpy as np
import torch
from scipy.optimize import nnls

from mdl.experiments.store.run_result import RunResult
from mdl.timing.floors import find_peak, step_flop
from mdl.timing.rounds import Pace
from training.run.precision import is_emulated
from training.run.provenance import collect_versions
from training.spec.architectures import NetworkSpec
from training.spec.config import DataConfig, Precision, TrainConfig

EFFICIENCIES = {
    "bf16": {
        "s-fc": 0.92,
        "s-local": 0.24,
        "s-conv": 0.39,
        "d-fc": 0.82,
        "d-local": 0.07,
        "d-conv": 0.096,
        "3-fc": 0.55,
        "resnet18": 0.17,
        "tiny-conv": 0.05,
        "tiny-separable": 0.02,
    },
    "fp32": {
        "s-fc": 1.1,
        "s-local": 0.29,
        "s-conv": 0.63,
        "d-fc": 0.95,
        "d-local": 0.069,
        "d-conv": 0.39,
        "3-fc": 0.86,
        "resnet18": 0.64,
        "tiny-conv": 0.05,
        "tiny-separable": 0.02,
    },
}
"""Operations of a step at the peak's rate, over its time, by arithmetic and network.

Believed until finished runs say more. All but the tiny ones, a guess, are those of `mdl bench` on
two cores: bf16 with AMX (results/bench-cpu.json), fp32 with AVX2 (results/bench-avx2.json).
"""

_DTYPES = {
    "bf16": torch.bfloat16,
    "fp16": torch.float16,
    "fp32": torch.float32,
    "fp64": torch.float64,
}
_CPU = torch.device("cpu")
_PROCESSOR = ("cpu", "instructions")
_PEAK_SIDES = (1024, 2048)
_PEAK_BUDGET_S = 0.3
_STEP_WORK = 1e10
"""What a step costs however small its network is, in operations at the peak: least squares over
the runs of `results/laptop` gave 1.4e10, 10 ms on one core."""
_PRIOR_WEIGHT = 0.01
"""How much `EFFICIENCIES` counts against one finished run."""


@dataclass(frozen=True, kw_only=True)
class DataShape:
    """The images of a data set in numbers, for estimates.

    Attributes:
        num_train: Training images.
        image_size: Side in pixels.
        in_channels: 1 or 3.
        num_classes: c.
    """

    num_train: int
    image_size: int = 32
    in_channels: int = 3
    num_classes: int = 10


_GENERATED = DataShape(num_train=20_000)
_CIFAR = DataShape(num_train=50_000)
_MNIST = DataShape(num_train=60_000, image_size=28, in_channels=1)
_SHAPES = {
    "glyphs": _GENERATED,
    "handwriting": DataShape(num_train=20_000, in_channels=1),
    "leaves": _GENERATED,
    "cifar10": _CIFAR,
    "cifar100": DataShape(num_train=50_000, num_classes=100),
    "svhn": DataShape(num_train=73_257),
    "mnist": _MNIST,
    "fashion_mnist": _MNIST,
}


@dataclass(frozen=True, kw_only=True)
class RunCost:
    """What one run takes.

    Attributes:
        num_weights: Without biases and BatchNorm.
        flop: Operations of all matrix products of the training.
        seconds: About so long takes the training, without evaluation and measuring.
    """

    num_weights: int
    flop: float
    seconds: float


def expected_shape(data: DataConfig) -> DataShape:
    """The images that a configuration names, by the name alone; CIFAR-10's shape if unknown.

    >>> expected_shape(DataConfig(source="../shared/data/mnist", num_train=512)).num_train
    512
    """
    known = _SHAPES.get(PurePath(data.source).name.lower().replace("-", "_"), _CIFAR)
    return DataShape(
        num_train=min(known.num_train, data.num_train or known.num_train),
        image_size=data.image_size or known.image_size,
        in_channels=known.in_channels,
        num_classes=known.num_classes,
    )


def training_flop(config: TrainConfig, *, num_train: int | None = None) -> int:
    """Operations of the matrix products of a whole run, at least 1.

    Args:
        config: The run.
        num_train: Training images before the validation split; None for those that
            `expected_shape` has.

    >>> config = TrainConfig(network="s-fc", base_channels=150, data=DataConfig(source="cifar10"))
    >>> round(training_flop(config) / 1e12)  # 97 steps
    65
    """
    shape = expected_shape(config.data)
    images = (shape.num_train if num_train is None else num_train) - config.data.validation
    num_steps = config.epochs * max(0, images // config.batch_size)
    return max(1, num_steps * _step_flop(config))


def efficiency(network: str, precision: Precision) -> float:
    """The share of `EFFICIENCIES` for a network; fp16 is taken for bf16, and fp64 for fp32."""
    return EFFICIENCIES["bf16" if precision in ("bf16", "fp16") else "fp32"][network]


def expected_work(config: TrainConfig) -> float:
    """What the time of a whole run is proportional to on a machine that has no runs yet: > 0.

    >>> shallow, deep = (
    ...     TrainConfig(network=network, base_channels=8, data=DataConfig(source="cifar10"))
    ...     for network in ("s-conv", "d-conv")
    ... )
    >>> expected_work(shallow) < expected_work(deep)
    True
    """
    flop = training_flop(config)
    num_steps = flop / _step_flop(config)
    return flop / efficiency(config.network, config.precision) + num_steps * _STEP_WORK


def estimate_cost(
    config: TrainConfig,
    *,
    peak: float,
    num_train: int | None = None,
    results: Iterable[RunResult] = (),
) -> RunCost:
    """Weights, operations and about how many seconds of a run.

    Args:
        config: The run.
        peak: Operations a second of matrix products here, as `measure_peak` gives it.
        num_train: Training images before the validation split; None for those that
            `expected_shape` has.
        results: Finished runs. Those of this network by the same arithmetic on this processor say
            what a step takes: so much whatever its size, and so much for each operation. The
            second is near the peak times `EFFICIENCIES` until runs of several sizes show it.

    Raises:
        ValueError: The peak is not positive.
    """
    if not peak > 0:
        raise ValueError(f"peak must be > 0 operations a second, not {peak}")
    flop = training_flop(config, num_train=num_train)
    believed = 1 / (peak * efficiency(config.network, _computed_in(config.precision)))
    per_step, per_flop = _fit_times(_measured_steps(config, results), believed)
    return RunCost(
        num_weights=_expected_spec(config).num_weights,
        flop=flop,
        seconds=flop / _step_flop(config) * per_step + flop * per_flop,
    )


def measure_peak(precision: Precision = "bf16", *, device: torch.device | None = None) -> float:
    """Operations a second of the fastest matrix product found here, with torch's threads.

    Where bf16 is emulated it is that of fp32, in which products are taken then. It takes about a
    second.
    """
    device = device or _CPU
    pace = Pace(device=device, rounds=5, budget_s=_PEAK_BUDGET_S)
    shapes = [(side, side, side) for side in _PEAK_SIDES]
    return find_peak(_DTYPES[_computed_in(precision, device)], shapes, pace).flop_per_second


def _computed_in(precision: Precision, device: torch.device = _CPU) -> Precision:
    return "fp32" if is_emulated(precision, device) else precision


def _expected_spec(config: TrainConfig) -> NetworkSpec:
    shape = expected_shape(config.data)
    return config.network_spec(
        image_size=shape.image_size, num_classes=shape.num_classes, in_channels=shape.in_channels
    )


def _step_flop(config: TrainConfig) -> int:
    return step_flop(_expected_spec(config), config.batch_size)


def _measured_steps(config: TrainConfig, results: Iterable[RunResult]) -> list[tuple[float, float]]:
    """Operations and seconds of a step, of each finished run that is like this one."""
    here = collect_versions()
    steps: list[tuple[float, float]] = []
    for result in results:
        ran = result.config
        if (ran.network, ran.precision) != (config.network, config.precision):
            continue
        like_here = all(result.versions.get(name) == here[name] for name in _PROCESSOR)
        if not like_here or result.seconds <= 0:
            continue
        flop = training_flop(ran, num_train=result.train.num_samples + ran.data.validation)
        steps.append((_step_flop(ran), result.seconds * _step_flop(ran) / flop))
    return steps


def _fit_times(steps: Iterable[tuple[float, float]], believed: float) -> tuple[float, float]:
    """Seconds of a step whatever its size, and of an operation: least squares, none below 0.

    Errors count as shares of the measured times. `believed` seconds an operation are one more
    measurement, of `_PRIOR_WEIGHT`.
    """
    rows = [(0.0, _PRIOR_WEIGHT)]
    rows += [(1 / seconds, believed * flop / seconds) for flop, seconds in steps]
    targets = np.array([_PRIOR_WEIGHT] + [1.0] * (len(rows) - 1))
    (per_step, slowness), _ = nnls(np.array(rows), targets)
    return float(per_step), float(slowness) * believed
