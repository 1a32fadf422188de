"""Long runs of s-fc by training method, with chosen settings: Table 2's, which others show too."""

from dataclasses import dataclass

from mdl.experiments.reproduce.run_plan import RunPlan
from mdl.experiments.reproduce.scale import Scale
from mdl.experiments.store.run_result import RunResult
from training.spec.config import Method

CHOSEN_NETWORK = "s-fc"
"""Whose settings validation chooses at every scale: the training methods are compared on it."""


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
    settings = runs.settings(scale, network, "sgd")
    return runs.over_seeds(settings, epochs=scale.long_epochs, seeds=scale.long_seeds)
