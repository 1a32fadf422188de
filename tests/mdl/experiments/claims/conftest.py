"""Made-up results: a world in which the accuracy of every configuration is known."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from analysis.bounds.bounds import ErrorCount
from mdl.experiments.store.result_store import Results
from mdl.experiments.store.run_result import Description, FilterLocality, RunResult, run_key
from tests.mdl.experiments.answers import answers_with
from training.spec.config import TrainConfig

NUM_TEST = 10_000


def paper_like(config: TrainConfig) -> float:
    """Test accuracies that have every order of the paper, further apart than in the paper."""
    long = config.epochs > 40
    if config.network == "resnet18":
        kernel = config.kernel_size or 3
        gain = 0.01 * (kernel - 1) if config.method == "beta-lasso" else 0.0
        return 0.94 - 0.01 * kernel + gain + 0.01 * (config.base_channels or 0)
    if config.network == "3-fc":
        return 0.6 + 0.03 * ((config.hidden_units or 0) > 500) + (0.06 if long else 0.0)
    if config.network == "s-fc" and config.method == "beta-lasso":
        lost = 0.0 if config.l1_conv > config.l1_fc or config.beta < 50 else 0.03
        return {0.0: 0.79, 1.0: 0.81, 50.0: 0.83}[config.beta] - lost - (0.0 if long else 0.06)
    short_accuracy = {
        "d-conv": 0.90,
        "d-local": 0.82,
        "d-fc": 0.62,
        "s-conv": 0.84,
        "s-local": 0.81,
        "s-fc": 0.70,
    }[config.network]
    gained = (0.05 if config.network.startswith("s") else 0.01) if long else 0.0
    lost = 0.2 if config.data.permute_pixels is not None else 0.0
    return short_accuracy + gained - lost


@dataclass
class World:
    """Answers for every configuration, as a store would."""

    accuracy: Callable[[TrainConfig], float] = paper_like
    spread: float = 0.002
    num_test: int = NUM_TEST
    is_there: Callable[[TrainConfig], bool] = lambda config: True
    train_accuracy: float = 0.9
    asked: list[TrainConfig] = field(default_factory=list)

    def find(self, config: TrainConfig) -> RunResult | None:
        self.asked.append(config)
        if not self.is_there(config):
            return None
        key = run_key(config)
        noise = int(hashlib.sha256(key.encode()).hexdigest()[:8], 16) / 16**8 - 0.5
        right = self.accuracy(config) + 2 * self.spread * noise
        spec = config.network_spec(image_size=32, num_classes=10, in_channels=3)
        weights = {layer.name: layer.num_weights for layer in spec.layers}
        nonzeros = dict(weights)
        if config.network == "s-fc" and config.method == "beta-lasso":
            kept = {"conv1": 0.004, "fc1": 0.1, "fc2": 0.7}
            nonzeros = {name: int(kept[name] * n * (1 + noise / 10)) for name, n in weights.items()}
        held_out = config.data.validation
        ratio = 0.5 if config.method == "beta-lasso" else 0.95
        test = _count(right, self.num_test)
        bits = int(1e6 * (1 - right))
        return RunResult(
            key=key,
            config=config,
            data_name="CIFAR-10",
            fingerprint="f",
            num_weights=weights,
            num_nonzeros=nonzeros,
            train=_count(self.train_accuracy, 50_000),
            validation=_count(right, held_out) if held_out else None,
            test=test,
            test_answers=answers_with(test, seed=int(key, 16)),
            history=(),
            seconds=1.0,
            description=Description(
                bits_per_number=16, num_bits=bits, code="context", lengths={}, bound=0.9, delta=0.05
            ),
            locality=FilterLocality(
                num_filters=100,
                radius=12.0 * ratio * (1 + noise / 20),
                chance_radius=12.0,
                ratio=ratio * (1 + noise / 20),
                ratio_interval=(ratio * 0.95, ratio * 1.05),
                local_share=0.9,
            ),
            versions={},
        )

    @property
    def results(self) -> Results:
        return Results(self)


def _count(accuracy: float, num_samples: int) -> ErrorCount:
    return ErrorCount(
        num_errors=round((1 - min(accuracy, 1.0)) * num_samples), num_samples=num_samples
    )


@pytest.fixture
def world() -> type[World]:
    """Makes worlds."""
    return World
