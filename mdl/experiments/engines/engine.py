"""What trains many configurations: the interface that engines share."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from mdl.experiments.engines.trial_progress import TrialProgress
from mdl.experiments.store.result_store import ResultStore
from mdl.experiments.store.run_result import RunResult
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


class Engine(Protocol):
    """Trains configurations, each at most once in one store."""

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
        store's `failed/`. A trial that was begun before, here or in a process that is gone, goes
        on from its checkpoint.

        Args:
            configs: What to train; one that is named twice is trained once.
            store: Where results are looked for and put.
            progress: Told of every trial that ends; entered by the caller.
            stop: Asked at least once a second; `training.system.signals.StopRequest` is one.

        Raises:
            StoreError: A result in the store is damaged.
            OSError: The store cannot be written to.
        """


def check_counts(*, workers: int | None, threads: int | None, retries: int) -> None:
    """See that an engine can run so many trials, threads and tries; None is left to the engine.

    Raises:
        ValueError: A number outside its range.
    """
    for name, value, least in (
        ("workers", workers, 1),
        ("threads", threads, 1),
        ("retries", retries, 0),
    ):
        if value is not None and value < least:
            raise ValueError(f"--{name} must be >= {least}, not {value}")
