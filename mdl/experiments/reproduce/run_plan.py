"""The runs that something needs, gathered while it looks up what is there already. No torch."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from mdl.experiments.reproduce.scale import Scale
from mdl.experiments.store.results import Results
from mdl.experiments.store.run_result import RunResult
from mdl.experiments.sweep.selection import best_by_validation, retrain_config
from training.spec.config import Method, TrainConfig


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

    def need(self, configs: Iterable[TrainConfig]) -> list[RunResult]:
        """Add runs to the list, and give the results of those that are there, in order."""
        wanted = list(configs)
        self._configs |= dict.fromkeys(wanted)
        return self._found.of(wanted)

    def chosen(
        self, scale: Scale, network: str, method: Method, *, beta: float | None = None
    ) -> TrainConfig | None:
        """The settings that validation chooses from the grid; None while trials are missing.

        A grid of one setting leaves nothing to choose and needs no trial. The configuration
        returned holds out no images and has seed 0 and the short number of epochs.
        """
        trials = scale.trials(network, method, beta=beta)
        if len(trials) == 1:
            return retrain_config(trials[0], seed=0)
        results = self.need(trials)
        if len(results) == len(trials):
            return retrain_config(best_by_validation(results).config, seed=0)
        return retrain_config(trials[0], seed=0) if self._assumes else None

    def settings(self, scale: Scale, network: str, method: Method) -> TrainConfig | None:
        """Chosen settings at a scale that tunes every network, else those of the recipe."""
        if scale.tunes_all:
            return self.chosen(scale, network, method)
        return scale.config(network, method=method)

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
