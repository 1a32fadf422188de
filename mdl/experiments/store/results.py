"""What has been measured so far, asked for by configuration. One data set has one fingerprint."""

from collections.abc import Iterable
from pathlib import PurePath
from typing import Any, Protocol

from mdl.experiments.store.run_result import RunResult
from training.spec.config import DataConfig, TrainConfig


class FindsResults(Protocol):
    """A store, or anything else that knows results by configuration."""

    def find(self, config: TrainConfig) -> RunResult | None:
        """The result of a run, or None."""


class Results:
    """Results of a store, checked: the same images wherever the same images were asked for.

    Args:
        store: Where they come from. A result that was found is kept, one that was not is looked
            for again.
    """

    def __init__(self, store: FindsResults) -> None:
        self._store = store
        self._by_config: dict[TrainConfig, RunResult] = {}
        self._first_of: dict[tuple[Any, ...], RunResult] = {}

    def get(self, config: TrainConfig) -> RunResult | None:
        """The result of a run, or None if there is none yet.

        Raises:
            ValueError: It was made with other images than an earlier result of the same data set.
        """
        if config in self._by_config:
            return self._by_config[config]
        result = self._store.find(config)
        if result is None:
            return None
        first = self._first_of.setdefault(images_of(config.data), result)
        if first.fingerprint != result.fingerprint:
            raise ValueError(
                f"results {first.key} ({first.data_name}) and {result.key} ({result.data_name}) "
                "are of different images under the same name, so they cannot share a table; move "
                "one of the two out of the store's folder results"
            )
        self._by_config[config] = result
        return result

    def of(self, configs: Iterable[TrainConfig]) -> list[RunResult]:
        """The results that there are, in order."""
        return [result for result in map(self.get, configs) if result is not None]

    def sample_of(self, data: DataConfig) -> RunResult | None:
        """A result, of those asked for so far, whose fingerprint is that of these images."""
        return self._first_of.get(images_of(data))

    def missing(self, configs: Iterable[TrainConfig]) -> list[TrainConfig]:
        """The runs that have no result yet, in order, each once."""
        return [config for config in dict.fromkeys(configs) if self.get(config) is None]


def images_of(data: DataConfig) -> tuple[Any, ...]:
    """What decides the fingerprint, apart from where the images lie: equal for equal images."""
    seed = data.seed if data.is_generated else None
    name = PurePath(data.source).name
    return name, data.is_generated, data.image_size, data.num_train, data.num_test, seed
