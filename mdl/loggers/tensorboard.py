"""`--log-to tensorboard`: event files in the run folder, read by `tensorboard --logdir`."""

import importlib
import json
import os
import time
from pathlib import Path
from typing import Any

from mdl.loggers.logger import LoggedRun
from training.run.progress import EpochMetrics


class TensorBoardLogger:
    """Scalars by epoch and the configuration as text, in RUN/tensorboard.

    A run that is resumed writes its earlier epochs anew and tells readers to drop what older files
    hold. So every epoch shows once, also where the log is younger than the run, or older than the
    checkpoint.

    Raises:
        OSError: The folder cannot be written.
    """

    def __init__(self, run: LoggedRun) -> None:
        folder = log_folder(run.folder)
        has_log = folder.is_dir()
        # Only now: the package is large, and need not be installed.
        module: Any = importlib.import_module("torch.utils.tensorboard")
        _wait_for_a_later_name(folder)
        self._run = run
        self._writer = module.SummaryWriter(str(folder), purge_step=1 if has_log else None)
        # Old epochs get the times that they would have had without a break.
        start = time.time() - max((metrics.seconds for metrics in run.history), default=0.0)
        if not has_log:
            text = json.dumps(run.config, indent=2, sort_keys=True, ensure_ascii=False)
            self._writer.add_text("config", _as_code(text), global_step=0, walltime=start)
        for metrics in run.history:
            self._write(metrics, start + metrics.seconds)
        self._writer.flush()

    def on_epoch(self, metrics: EpochMetrics) -> None:
        """Write the scalars of an epoch, and have them on disk when this returns."""
        self._write(metrics, time.time())
        self._writer.flush()

    def close(self, *, finished: bool) -> None:
        """Close the file; TensorBoard does not tell finished runs from others."""
        del finished
        self._writer.close()

    def _write(self, metrics: EpochMetrics, when: float) -> None:
        for name, value in self._run.values(metrics).items():
            self._writer.add_scalar(name, value, global_step=metrics.epoch, walltime=when)


def log_folder(run: Path) -> Path:
    """Where the event files of a run folder lie.

    >>> print(log_folder(Path("runs/0001-s-fc")).as_posix())
    runs/0001-s-fc/tensorboard
    """
    return run / "tensorboard"


def _wait_for_a_later_name(folder: Path) -> None:
    """Let a second pass where a new file could be read before those of another process.

    Readers take the files of a folder by name, events.out.tfevents.SECOND.HOST.PID.NUMBER.
    """
    fields = [path.name.split(".") for path in folder.glob("events.out.tfevents.*")]
    others = [int(each[3]) for each in fields if str(os.getpid()) not in each]
    time.sleep(max(0.0, min(1.0, max(others, default=0) + 1 - time.time())))


def _as_code(text: str) -> str:
    r"""Markdown that shows the text as it is.

    >>> _as_code("a\n  b")
    '    a\n      b'
    """
    return "\n".join(f"    {line}" for line in text.splitlines())
