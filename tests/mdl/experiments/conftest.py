"""Results of runs that nobody trained, for tests of tables and figures."""

from pathlib import Path

import numpy as np
import pytest

from analysis.bounds.bounds import ErrorCount
from figures.style import look as style
from mdl.experiments.store.run_result import (
    Description,
    EpochPoint,
    FilterLocality,
    RunResult,
    run_key,
)
from mdl.experiments.store.time_estimate import expected_shape
from tests.mdl.experiments.answers import answers_with
from training.run.run_folder import RunFolder
from training.spec.shrinkage import fill_penalties

ACCURACY = {
    "resnet18": 0.92,
    "d-conv": 0.85,
    "d-local": 0.8,
    "d-fc": 0.55,
    "s-conv": 0.78,
    "s-local": 0.74,
    "s-fc": 0.56,
    "3-fc": 0.52,
}
NAMES = {"cifar10": "CIFAR-10 (JPEG)", "cifar100": "CIFAR-100", "svhn": "SVHN", "glyphs": "glyphs"}


def made_up_result(config, *, fingerprint="made-up"):
    """A result that looks like one: better with more weights, β and epochs, and by the seed."""
    shape = expected_shape(config.data)
    spec = config.network_spec(
        image_size=shape.image_size, num_classes=shape.num_classes, in_channels=shape.in_channels
    )
    weights = {layer.name: layer.num_weights for layer in spec.layers}
    config = fill_penalties(config, spec, 50_000)
    is_lasso = config.method == "beta-lasso"
    share = 1 / (1 + config.beta / 2) if is_lasso else 1.0
    nonzeros = {
        name: max(1, int(number * (share if name != spec.layers[-1].name else 0.7)))
        for name, number in weights.items()
    }
    accuracy = ACCURACY[config.network] - 0.15 / np.log10(sum(weights.values()))
    accuracy += 0.04 * is_lasso + 0.0006 * config.beta * is_lasso + 0.01 * np.log(config.epochs)
    accuracy += (
        0.004 * config.seed
        - 0.01 * (config.kernel_size or 3)
        - 300 * (config.l1_conv + config.l1_fc)
    )
    accuracy = min(accuracy, 0.98)
    test = ErrorCount(num_errors=round(1000 * (1 - accuracy)), num_samples=1000)
    held_out = config.data.validation
    total = sum(nonzeros.values())
    has_place = config.network.startswith("s-") or config.network.endswith("-fc")
    ratio = 0.3 if is_lasso and config.beta > 1 else 0.4 if config.network == "s-local" else 0.95
    return RunResult(
        key=run_key(config),
        config=config,
        data_name=NAMES[config.data.source],
        fingerprint=f"{fingerprint} {config.data.source} {config.data.num_train}",
        num_weights=weights,
        num_nonzeros=nonzeros,
        train=ErrorCount(
            num_errors=round(1000 * (1 - min(0.99, accuracy + 0.1))), num_samples=1000
        ),
        validation=ErrorCount(num_errors=test.num_errors + 3, num_samples=1000)
        if held_out
        else None,
        test=test,
        test_answers=answers_with(test, seed=config.seed),
        history=tuple(
            EpochPoint(
                epoch=epoch,
                seconds=float(epoch),
                train_loss=1.0,
                train_accuracy=accuracy,
                validation_accuracy=None,
                test_accuracy=None,
                num_nonzeros={
                    name: int(number + (weights[name] - number) / epoch)
                    for name, number in nonzeros.items()
                },
                screened={
                    name: min(1.0, 0.2 * epoch + 1e4 * config.l1_conv * is_lasso)
                    for name, number in weights.items()
                    if is_lasso and config.network == "s-fc" and number >= 2**20
                },
            )
            for epoch in range(1, config.epochs + 1)
        ),
        seconds=float(config.epochs),
        description=Description(
            bits_per_number=16,
            num_bits=16 * total + 100,
            code="context",
            lengths={"plain": 16.0 * sum(weights.values())},
            bound=min(1.0, 1 - accuracy + total / 2e6),
            delta=0.05,
        ),
        locality=FilterLocality(
            num_filters=100,
            radius=11 * ratio,
            chance_radius=11.0,
            ratio=ratio,
            ratio_interval=(ratio - 0.03, ratio + 0.04),
            local_share=0.9 if ratio < 0.5 else 0.06,
        )
        if has_place
        else None,
        versions={"cpu": "none"},
    )


class MadeUpStore:
    """A store that knows every run but those left out.

    Args:
        folder: Where run folders would lie.
        lacks: Says of a configuration whether it is left out.
    """

    def __init__(self, folder=Path("nowhere"), *, lacks=lambda config: False):
        self.folder, self.lacks, self.asked, self.ledgers = folder, lacks, [], {}

    def find(self, config):
        self.asked.append(config)
        return None if self.lacks(config) else made_up_result(config)

    def run_folder(self, config):
        return RunFolder(self.folder / run_key(config))

    def ledger(self, config):
        return self.ledgers.get(config)

    def put_ledger(self, config, entries):
        self.ledgers[config] = entries

    def filters(self, config):
        if self.lacks(config) or not config.network.startswith("s-"):
            return None
        random = np.random.default_rng(config.seed)
        filters = random.normal(size=(24, 3, 32, 32))
        rows, columns = np.mgrid[:32, :32]
        for index in range(24):
            y, x = random.integers(6, 26, 2)
            near = np.exp(-((rows - y) ** 2 + (columns - x) ** 2) / 18)
            if config.method == "beta-lasso" or config.network == "s-local":
                filters[index] *= near * (random.random((32, 32)) < 0.4)
        return filters.astype(np.float16)


@pytest.fixture(autouse=True)
def coarse_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fewer dots to an inch: what is drawn is looked at in the tests of `figures`."""
    monkeypatch.setitem(style._SETTINGS, "savefig.dpi", 40)


@pytest.fixture
def made_up():
    """Make up the result of a configuration."""
    return made_up_result


@pytest.fixture
def made_up_store():
    """The class of made-up stores."""
    return MadeUpStore
