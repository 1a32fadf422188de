"""What trains many configurations: what engines share."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

from mdl.experiments.engines.trial_progress import TrialProgress
from mdl.experiments.store.result_store import ResultStore
from mdl.experiments.store.run_result import RunResult, run_key
from mdl.terminal.options import Device
from training.run.progress import Stop
from training.spec.config import TrainConfig


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a batch of trials ended.

    Attributes:
        finished: Results of the configurations asked for that are in the store now, in the order
            asked for, those found there before among them.
        failed: Key of a trial that failed to why, in one line.
        stopped: Whether it was asked to stop before all were done; what was begun is saved.
    """

    finished: tuple[RunResult, ...]
    failed: dict[str, str]
    stopped: bool


@dataclass(frozen=True, kw_only=True)
class Engine(ABC):
    """Trains configurations, each at most once in one store.

    Attributes:
        workers: Trials at once, >= 1; None for as many as there is room for.
        threads: Threads of each trial, >= 1; None leaves it to the libraries.
        retries: How often a trial that failed is tried again in one call, >= 0.
        device: Where the trials compute.

    Raises:
        ValueError: A number outside its range.
    """

    workers: int | None = 1
    threads: int | None = None
    retries: int = 1
    device: Device = "auto"

    def __post_init__(self) -> None:
        for name, least in (("workers", 1), ("threads", 1), ("retries", 0)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise ValueError(f"--{name} must be >= {least}, not {value}")

    def run(
        self,
        configs: Sequence[TrainConfig],
        store: ResultStore,
        *,
        progress: TrialProgress,
        stop: Stop,
    ) -> Outcome:
        """Train and measure what the store does not have yet.

        A trial that fails does not end the others; its message is in the outcome and in the
        store's `failed/`. A trial that was begun before, here or in a process that is gone,
        continues from its checkpoint.

        Args:
            configs: What to train; one that is named twice is trained once.
            store: Where results are looked for and put.
            progress: Told of every trial that ends; entered by the caller.
            stop: Asked at least once a second; `training.system.signals.StopRequest` is one.

        Raises:
            StoreError: A result in the store is damaged.
            OSError: The store cannot be written to.
        """
        asked = {run_key(config): config for config in configs}
        missing = {key: config for key, config in asked.items() if store.find(config) is None}
        progress.begin(list(missing.values()))
        failed = self._train(missing, store, progress=progress, stop=stop) if missing else {}
        found = [result for each in asked.values() if (result := store.find(each)) is not None]
        return Outcome(
            finished=tuple(found), failed=failed, stopped=len(found) + len(failed) < len(asked)
        )

    @abstractmethod
    def _train(
        self,
        missing: dict[str, TrainConfig],
        store: ResultStore,
        *,
        progress: TrialProgress,
        stop: Stop,
    ) -> dict[str, str]:
        """Train configurations by key, and give the key of each that failed and why."""
