"""Long runs that several artefacts show: of s-fc by training method, and of others by SGD."""

from collections.abc import Iterator
from dataclasses import dataclass

from mdl.experiments.reproduce.run_plan import RunPlan
from mdl.experiments.reproduce.scale import CHOSEN_NETWORK, Scale
from mdl.experiments.store.run_result import RunResult
from mdl.experiments.store.time_estimate import DataShape, expected_shape
from training.spec.architectures import NetworkSpec
from training.spec.config import Method

FULLY_CONNECTED = ("d-fc", "s-fc", "3-fc")
"""Whose widths say how large the others are, too."""
BY_SGD = ("s-conv", "s-local", "d-conv", "d-local", "d-fc", "3-fc")
_SIDES = range(8, 257)
_CHANNELS = (1, 3)


@dataclass(frozen=True, kw_only=True)
class TrainingMethod:
    """A way to train s-fc.

    Attributes:
        label: As figures have it.
        method: "sgd" or "beta-lasso".
        beta: β of β-lasso.
    """

    label: str
    method: Method
    beta: float | None = None


SGD = TrainingMethod(label="SGD", method="sgd")
BETA_LASSO = TrainingMethod(label="β-lasso, β = 50", method="beta-lasso", beta=50.0)
METHODS = (
    SGD,
    TrainingMethod(label="β-lasso, β = 0", method="beta-lasso", beta=0.0),
    TrainingMethod(label="β-lasso, β = 1", method="beta-lasso", beta=1.0),
    BETA_LASSO,
)


def method_runs(scale: Scale, runs: RunPlan, training: TrainingMethod) -> list[RunResult]:
    """Need the long runs of s-fc by one method, once its settings are chosen."""
    settings = runs.chosen(scale, CHOSEN_NETWORK, training.method, beta=training.beta)
    return runs.over_seeds(settings, epochs=scale.long_epochs, seeds=scale.long_seeds)


def network_runs(scale: Scale, runs: RunPlan, network: str) -> list[RunResult]:
    """Need the long runs of another network by SGD: Table 1's."""
    settings = runs.chosen(scale, network, "sgd")
    return runs.over_seeds(settings, epochs=scale.long_epochs, seeds=scale.long_seeds)


@dataclass(frozen=True, kw_only=True)
class ComparedNetwork:
    """A network trained by one method.

    Attributes:
        network: Its name.
        label: Network and method.
        method: "sgd" or "beta-lasso".
        results: Of the seeds that there are.
    """

    network: str
    label: str
    method: str
    results: list[RunResult]


def compared_networks(
    scale: Scale, runs: RunPlan, *, by_sgd: tuple[str, ...] = BY_SGD
) -> list[ComparedNetwork]:
    """Need s-fc by every method, with chosen settings, and others by SGD, all long.

    Args:
        scale: Its first data set counts.
        runs: Asked for the results.
        by_sgd: The others.
    """
    found = [
        ComparedNetwork(
            network=CHOSEN_NETWORK,
            label=f"{CHOSEN_NETWORK}, {training.label}",
            method=training.method,
            results=method_runs(scale, runs, training),
        )
        for training in METHODS
    ]
    found += [
        ComparedNetwork(
            network=network,
            label=f"{network}, SGD",
            method="sgd",
            results=network_runs(scale, runs, network),
        )
        for network in by_sgd
    ]
    return found


def network_of(result: RunResult) -> NetworkSpec:
    """The network that was trained, from the configuration and the counts of weights by layer.

    Raises:
        ValueError: No shape of images gives these counts.
    """
    for shape in _shapes(result):
        spec = result.config.network_spec(
            image_size=shape.image_size,
            num_classes=shape.num_classes,
            in_channels=shape.in_channels,
        )
        if {layer.name: layer.num_weights for layer in spec.layers} == result.num_weights:
            return spec
    raise ValueError(f"result {result.key}: its numbers of weights fit no {result.config.network}")


def _shapes(result: RunResult) -> Iterator[DataShape]:
    """The shape that the data set's name says, then all others."""
    expected = expected_shape(result.config.data)
    yield expected
    guess = result.config.network_spec(
        image_size=expected.image_size, num_classes=2, in_channels=expected.in_channels
    )
    last = guess.layers[-1].name
    for in_channels in _CHANNELS:
        for image_size in _SIDES:
            two_classes = result.config.network_spec(
                image_size=image_size, num_classes=2, in_channels=in_channels
            ).layers[-1]
            num_classes, rest = divmod(2 * result.num_weights.get(last, 0), two_classes.num_weights)
            if rest == 0 and num_classes >= 2:
                yield DataShape(
                    num_train=expected.num_train,
                    image_size=image_size,
                    in_channels=in_channels,
                    num_classes=num_classes,
                )
