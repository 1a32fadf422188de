"""Trials on this machine: a process each, several at once, results as they come."""

import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from mdl.experiments.engines.engine import Outcome, check_counts
from mdl.experiments.engines.trial_process import TrialProcess
from mdl.experiments.engines.trial_progress import TrialProgress, describe_trial
from mdl.experiments.store.failures import record_failure
from mdl.experiments.store.result_store import ResultStore
from mdl.experiments.store.run_key import run_key
from mdl.experiments.store.run_lock import is_locked
from mdl.terminal.options import Device
from training.run.progress import Stop
from training.spec.config import TrainConfig

_POLL_S = 0.2
_LOOK_AGAIN_S = 2.0
"""How long a trial that another process works on is left alone."""


@dataclass(frozen=True, kw_only=True)
class LocalEngine:
    """An engine (`mdl.experiments.engines.engine.Engine`) that starts processes on this machine.

    Attributes:
        workers: Trials at once, >= 1.
        threads: Threads of each trial, >= 1; None leaves it to the libraries.
        retries: How often a trial that failed is tried again in one call, >= 0.
        device: Where the trials compute.

    Raises:
        ValueError: A number outside its range.
    """

    workers: int = 1
    threads: int | None = None
    retries: int = 1
    device: Device = "auto"

    def __post_init__(self) -> None:
        check_counts(workers=self.workers, threads=self.threads, retries=self.retries)

    def run(
        self,
        configs: Sequence[TrainConfig],
        store: ResultStore,
        *,
        progress: TrialProgress,
        stop: Stop,
    ) -> Outcome:
        """Train and measure what the store does not have yet; see `Engine.run`."""
        asked = list({run_key(config): config for config in configs}.values())
        missing = [config for config in asked if store.find(config) is None]
        progress.begin(missing)
        batch = _Batch(engine=self, store=store, progress=progress, waiting=deque(missing))
        try:
            while batch.is_going_on:
                if stop.requested:
                    batch.ask_to_stop()
                batch.reap()
                batch.start()
                if batch.is_going_on:
                    time.sleep(_POLL_S)
        except BaseException:
            batch.abandon()
            raise
        found = (store.find(config) for config in asked)
        return Outcome(
            finished=tuple(result for result in found if result is not None),
            failed=batch.failed,
            stopped=batch.was_stopped,
        )


@dataclass(kw_only=True)
class _Batch:
    """The trials of one call: waiting, running, failed."""

    engine: LocalEngine
    store: ResultStore
    progress: TrialProgress
    waiting: deque[TrainConfig]
    running: list[TrialProcess] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    was_stopped: bool = False
    num_failures: dict[str, int] = field(default_factory=dict)
    look_again: dict[str, float] = field(default_factory=dict)

    @property
    def is_going_on(self) -> bool:
        return bool(self.waiting or self.running)

    def ask_to_stop(self) -> None:
        """Start nothing more, and let what runs save and end."""
        if not self.was_stopped:
            self.was_stopped = True
            self.waiting.clear()
            self.progress.on_note(f"Stopping: {len(self.running)} running trials save their state.")
        for trial in self.running:
            trial.ask_to_stop()

    def reap(self) -> None:
        """Tell of every trial that has ended, and put back what is to be tried again."""
        still = []
        for trial in self.running:
            ending = trial.poll()
            if ending is None:
                still.append(trial)
            elif ending == "finished":
                self._tell_result(trial.config)
            elif ending == "failed":
                self._take_failure(trial)
            elif ending == "busy":
                self._leave_to_another(trial.config)
            elif not self.was_stopped:
                self._take_failure(trial)  # Somebody else stopped it.
        self.running = still
        self.progress.on_running([(trial.config, trial.num_epochs) for trial in still])

    def start(self) -> None:
        """Start trials while there is room, passing over those that other processes work on."""
        now = time.monotonic()
        for _ in range(len(self.waiting)):
            if len(self.running) >= self.engine.workers:
                return
            config = self.waiting.popleft()
            key = run_key(config)
            if self.look_again.get(key, 0) > now:
                self.waiting.append(config)
            elif self.store.find(config) is not None:
                self._tell_result(config)
            elif is_locked(self.store.lock_path(key)):
                self._leave_to_another(config)
            else:
                self.running.append(
                    TrialProcess(
                        config,
                        self.store,
                        device=self.engine.device,
                        num_threads=self.engine.threads,
                    )
                )

    def abandon(self) -> None:
        """Let all that runs save and end, and wait for that."""
        for trial in self.running:
            trial.ask_to_stop()
        for trial in self.running:
            trial.wait()

    def _tell_result(self, config: TrainConfig) -> None:
        result = self.store.find(config)
        if result is None:
            raise OSError(f"{self.store.result_path(run_key(config))} has gone")
        self.progress.on_finished(result)

    def _take_failure(self, trial: TrialProcess) -> None:
        config, key, message = trial.config, run_key(trial.config), trial.message()
        record_failure(config, self.store, message)
        self.num_failures[key] = self.num_failures.get(key, 0) + 1
        is_last = self.num_failures[key] > self.engine.retries or self.was_stopped
        self.progress.on_failed(config, message, is_last_try=is_last)
        if is_last:
            self.failed[key] = message
        else:
            self.waiting.append(config)

    def _leave_to_another(self, config: TrainConfig) -> None:
        key = run_key(config)
        if key not in self.look_again:
            self.progress.on_note(f"{describe_trial(config)}: another process works on it.")
        self.look_again[key] = time.monotonic() + _LOOK_AGAIN_S
        if not self.was_stopped:
            self.waiting.append(config)
