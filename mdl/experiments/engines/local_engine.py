"""An engine on this machine: a process for each trial, several at once, results as they come."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter, deque
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from mdl.experiments.engines.engine import Engine
from mdl.experiments.engines.trial import EXIT_BUSY
from mdl.experiments.engines.trial_progress import TrialProgress, describe_trial
from mdl.experiments.store.result_store import ResultStore
from mdl.experiments.store.run_result import run_key
from mdl.terminal.options import Device
from training.run.progress import Stop
from training.run.run_folder import MAX_METRICS_BYTES
from training.spec.config import TrainConfig
from training.system.files import read_bytes, write_text_atomically
from training.system.locks import lock_holder
from training.system.signals import STOP_SIGNALS

Ending = Literal["finished", "failed", "busy", "stopped"]

_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
_TAIL_BYTES = 1 << 16
_POLL_S = 0.2
_LOOK_AGAIN_S = 2.0
"""How long a trial that another process works on is left alone."""


class TrialProcess:
    """One `python -m mdl.experiments.engines.trial`, in a session of its own.

    A Ctrl-C of the terminal so reaches the parent alone, which asks the trials to stop. Its
    standard input is a pipe that nothing is written to. When the parent is gone, however it went,
    the pipe closes and the trial saves and stops by itself.

    Its output goes to trial.log in the folder of the run.

    Args:
        config: What to train.
        store: Where the run lies and its result goes.
        device: Where to compute.
        num_threads: Threads to compute with; None leaves it to the libraries.
    """

    def __init__(
        self, config: TrainConfig, store: ResultStore, *, device: Device, num_threads: int | None
    ) -> None:
        self.config = config
        self._folder = store.run_folder(config)
        self._folder.path.mkdir(parents=True, exist_ok=True)
        asked = self._folder.path / "trial.json"  # config.json may name an older place of the data
        write_text_atomically(asked, json.dumps({"config": config.to_dict()}, indent=1) + "\n")
        command = [
            sys.executable,
            "-m",
            "mdl.experiments.engines.trial",
            "--tied",
            "--device",
            str(device),
        ]
        command += ["--store", str(store.root), "--key", run_key(config), "--config", str(asked)]
        environment = dict(os.environ)
        if num_threads is not None:
            environment |= dict.fromkeys(_THREAD_VARIABLES, str(num_threads))
            command += ["--threads", str(num_threads)]
        self._was_asked = False
        with self._log.open("ab") as log:
            self._log_start = log.tell()
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                env=environment,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def num_epochs(self) -> int:
        """Epochs done, as far as its folder says."""
        metrics = self._folder.metrics
        return read_bytes(metrics, what="metrics", cap=MAX_METRICS_BYTES, missing=b"").count(b"\n")

    def ask_to_stop(self) -> None:
        """Send SIGTERM, once however often this is called."""
        if not self._was_asked:
            self._was_asked = True
            self._process.terminate()

    def poll(self) -> Ending | None:
        """How it ended; None while it runs."""
        code = self._process.poll()
        if code is None:
            return None
        if self._process.stdin is not None:
            self._process.stdin.close()
        if code == 0:
            return "finished"
        if code == EXIT_BUSY:
            return "busy"
        if code - 128 in STOP_SIGNALS or (self._was_asked and -code in STOP_SIGNALS):
            return "stopped"
        return "failed"

    def message(self) -> str:
        """Why it failed: the last line it wrote, or the signal that ended it."""
        code = self._process.returncode
        number = -code if code < 0 else code - 128
        if number in {each.value for each in signal.Signals}:
            name = signal.Signals(number).name
            hint = ", as the system does when memory runs out" if name == "SIGKILL" else ""
            return f"ended by {name}{hint}"
        lines = [line for line in self._own_output().splitlines() if line.strip()]
        return lines[-1].strip().removeprefix("error: ") if lines else f"exit code {code}"

    def wait(self) -> None:
        """Wait until it has ended."""
        self._process.wait()

    @property
    def _log(self) -> Path:
        return self._folder.path / "trial.log"

    def _own_output(self) -> str:
        with self._log.open("rb") as log:
            end = log.seek(0, os.SEEK_END)
            log.seek(max(self._log_start, end - _TAIL_BYTES))
            return log.read().decode("utf-8", "replace")


class LocalEngine(Engine):
    """An engine that starts processes on this machine; with `workers` None one at once."""

    def _train(
        self,
        missing: dict[str, TrainConfig],
        store: ResultStore,
        *,
        progress: TrialProgress,
        stop: Stop,
    ) -> dict[str, str]:
        batch = _Batch(self, missing.values(), store, progress)
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
        return batch.failed


class _Batch:
    """The trials of one call: waiting, running, failed."""

    def __init__(
        self,
        engine: LocalEngine,
        configs: Iterable[TrainConfig],
        store: ResultStore,
        progress: TrialProgress,
    ) -> None:
        self.failed: dict[str, str] = {}
        self._engine = engine
        self._store = store
        self._progress = progress
        self._waiting = deque(configs)
        self._running: list[TrialProcess] = []
        self._was_stopped = False
        self._num_failures: Counter[str] = Counter()
        self._look_again: dict[str, float] = {}

    @property
    def is_going_on(self) -> bool:
        return bool(self._waiting or self._running)

    def ask_to_stop(self) -> None:
        """Start nothing more, and let what runs save and end."""
        if not self._was_stopped:
            self._was_stopped = True
            self._waiting.clear()
            number = len(self._running)
            self._progress.on_note(f"Stopping: {number} running trials save their state.")
        for trial in self._running:
            trial.ask_to_stop()

    def reap(self) -> None:
        """Tell of every trial that has ended, and put back what is to be tried again."""
        still = []
        for trial in self._running:
            ending = trial.poll()
            if ending is None:
                still.append(trial)
            elif ending == "finished":
                self._tell_result(trial.config)
            elif ending == "failed":
                self._take_failure(trial)
            elif ending == "busy":
                self._leave_to_another(trial.config)
            elif not self._was_stopped:
                self._take_failure(trial)  # Somebody else stopped it.
        self._running = still
        self._progress.on_running([(trial.config, trial.num_epochs) for trial in still])

    def start(self) -> None:
        """Start trials while there is room, passing over those that other processes work on."""
        now = time.monotonic()
        for _ in range(len(self._waiting)):
            if len(self._running) >= (self._engine.workers or 1):
                return
            config = self._waiting.popleft()
            key = run_key(config)
            if self._look_again.get(key, 0) > now:
                self._waiting.append(config)
            elif self._store.find(config) is not None:
                self._tell_result(config)
            elif lock_holder(self._store.lock_path(key)) is not None:
                self._leave_to_another(config)
            else:
                self._running.append(
                    TrialProcess(
                        config,
                        self._store,
                        device=self._engine.device,
                        num_threads=self._engine.threads,
                    )
                )

    def abandon(self) -> None:
        """Let all that runs save and end, and wait for that."""
        for trial in self._running:
            trial.ask_to_stop()
        for trial in self._running:
            trial.wait()

    def _tell_result(self, config: TrainConfig) -> None:
        result = self._store.find(config)
        if result is None:
            raise OSError(f"{self._store.path}: the line of {run_key(config)} has gone")
        self._progress.on_finished(result)

    def _take_failure(self, trial: TrialProcess) -> None:
        config, key, message = trial.config, run_key(trial.config), trial.message()
        self._store.record_failure(config, message)
        self._num_failures[key] += 1
        is_last = self._num_failures[key] > self._engine.retries or self._was_stopped
        self._progress.on_failed(config, message, is_last_try=is_last)
        if is_last:
            self.failed[key] = message
        else:
            self._waiting.append(config)

    def _leave_to_another(self, config: TrainConfig) -> None:
        key = run_key(config)
        if key not in self._look_again:
            lock = self._store.lock_path(key)
            holder = f" ({lock}: {found})" if (found := lock_holder(lock)) else ""
            self._progress.on_note(
                f"{describe_trial(config)}: another process works on it{holder}."
            )
        self._look_again[key] = time.monotonic() + _LOOK_AGAIN_S
        if not self._was_stopped:
            self._waiting.append(config)
