"""The runs that something needs, gathered while it looks up what is there already. No torch.

Figures 2, 5 and 6 and the claims about them take their runs by size and by kernel size from here,
so that all ask for the same.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from mdl.experiments.reproduce.scale import Scale
from mdl.experiments.store.result_store import Results
from mdl.experiments.store.run_result import RunResult
from mdl.experiments.sweep.selection import best_by_validation
from training.spec.config import Method, TrainConfig

KERNEL_METHODS: tuple[Method, ...] = ("sgd", "beta-lasso")


class RunPlan:
    """A list of runs that grows as it is asked for results, each run once, in order.

    Settings are chosen in stages: `chosen` first needs the trials of the grid, and knows the
    settings once all of them are there.

    Args:
        found: What is there.
        assumes: Take the first trial's settings where a choice cannot be made yet, so that the
            list shows the size of what is to come.
    """

    def __init__(self, found: Results, *, assumes: bool = False) -> None:
        self._found = found
        self._assumes = assumes
        self._configs: dict[TrainConfig, None] = {}

    @property
    def configs(self) -> list[TrainConfig]:
        """The runs needed so far, found or not."""
        return list(self._configs)

    @property
    def missing(self) -> list[TrainConfig]:
        """Those that have no result."""
        return self._found.missing(self._configs)

    @property
    def results(self) -> list[RunResult]:
        """Results of those that have one, in order."""
        return self._found.of(self._configs)

    def need(self, configs: Iterable[TrainConfig]) -> list[RunResult]:
        """Add runs to the list, and give the results of those that are there, in order."""
        wanted = list(configs)
        self._configs |= dict.fromkeys(wanted)
        return self._found.of(wanted)

    def assume(self, configs: Iterable[TrainConfig]) -> None:
        """Add runs in the place of those that cannot be named yet, in a preview alone."""
        if self._assumes:
            self.need(configs)

    def best(self, trials: Sequence[TrainConfig]) -> RunResult | None:
        """Need some runs; the one that validation chooses once all are there."""
        results = self.need(trials)
        return best_by_validation(results) if len(results) == len(trials) else None

    def chosen(
        self, scale: Scale, network: str, method: Method, *, beta: float | None = None
    ) -> TrainConfig | None:
        """The settings that validation chooses from the grid; None while trials are missing.

        A grid of one setting leaves nothing to choose and needs no trial. The configuration
        returned holds out no images and has seed 0 and the short number of epochs.
        """
        trials = scale.trials(network, method, beta=beta)
        if len(trials) == 1:
            return scale.final(trials[0])
        best = self.best(trials)
        if best is not None:
            return scale.final(best.config)
        return scale.final(trials[0]) if self._assumes else None

    def over_seeds(
        self, settings: TrainConfig | None, *, epochs: int, seeds: Sequence[int], **changes: Any
    ) -> list[RunResult]:
        """Need a run of the settings with each seed; nothing while there are no settings.

        Args:
            settings: What to train.
            epochs: For how long.
            seeds: A run each.
            **changes: Fields of `TrainConfig` over the settings.
        """
        if settings is None:
            return []
        return self.need(replace(settings, epochs=epochs, seed=seed, **changes) for seed in seeds)


@dataclass(frozen=True, kw_only=True)
class SizeStep:
    """One size of one network, trained by SGD.

    Attributes:
        network: Its name.
        width: α, or h of 3-fc.
        results: Of the seeds that there are.
    """

    network: str
    width: int
    results: list[RunResult]

    @property
    def num_weights(self) -> int | None:
        """Without biases and BatchNorm; None without a result."""
        return self.results[0].total_weights if self.results else None


@dataclass(frozen=True, kw_only=True)
class KernelStep:
    """ResNet18 with one kernel size by one method.

    Attributes:
        kernel_size: Odd.
        method: "sgd" or "beta-lasso".
        results: Of the seeds that there are.
    """

    kernel_size: int
    method: Method
    results: list[RunResult]


def size_steps(scale: Scale, runs: RunPlan) -> list[SizeStep]:
    """Need every size of every family of Figure 2, on the scale's first data set."""
    steps = []
    for network, widths in scale.ladders.items():
        settings = runs.chosen(scale, network, "sgd")
        field = "hidden_units" if network == "3-fc" else "base_channels"
        kernel_size = scale.kernel_sizes[0] if network == "resnet18" else None
        for width in widths:
            results = runs.over_seeds(
                settings,
                epochs=scale.ladder_epochs,
                seeds=scale.ladder_seeds,
                kernel_size=kernel_size,
                **{field: width},
            )
            steps.append(SizeStep(network=network, width=width, results=results))
    return steps


def kernel_steps(scale: Scale, runs: RunPlan) -> list[KernelStep]:
    """Need ResNet18 by both methods with every kernel size, on the scale's first data set."""
    steps = []
    for method in KERNEL_METHODS:
        settings = runs.chosen(scale, "resnet18", method)
        for kernel_size in scale.kernel_sizes:
            results = runs.over_seeds(
                settings,
                epochs=scale.ladder_epochs,
                seeds=scale.ladder_seeds,
                kernel_size=kernel_size,
            )
            steps.append(KernelStep(kernel_size=kernel_size, method=method, results=results))
    return steps
