"""A trial in a process of its own: started, watched, asked to stop, its end told."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Literal

from mdl.experiments.engines.trial import EXIT_BUSY
from mdl.experiments.store.result_store import ResultStore
from mdl.experiments.store.run_key import run_key
from mdl.terminal.options import Device
from training.spec.config import TrainConfig
from training.system.files import write_text_atomically

Ending = Literal["finished", "failed", "busy", "stopped"]

_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
_TAIL_BYTES = 1 << 16


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
        try:
            return self._folder.metrics.read_bytes().count(b"\n")
        except FileNotFoundError:
            return 0

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
        stops = (signal.SIGTERM, signal.SIGINT)
        if code in {128 + number for number in stops} or (self._was_asked and -code in stops):
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
