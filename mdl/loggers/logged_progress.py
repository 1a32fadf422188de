"""A run's progress that goes to its logs too, and the choice of logs."""

import importlib.util
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, Self

from mdl.loggers.logger import LoggedRun, Logger
from mdl.loggers.tensorboard import TensorBoardLogger
from mdl.loggers.wandb import WandbLogger, check_login
from mdl.terminal.errors import OptionError
from training.run.progress import EpochMetrics, Progress


class OpenLog(Protocol):
    """Opens one log of a run; `tell` takes a line for the user."""

    def __call__(self, run: LoggedRun, tell: Callable[[str], None]) -> Logger:
        """Raises whatever it likes where the log cannot be opened."""


def _open_tensorboard(run: LoggedRun, tell: Callable[[str], None]) -> Logger:
    del tell
    return TensorBoardLogger(run)


LOGS: Mapping[str, OpenLog] = {"tensorboard": _open_tensorboard, "wandb": WandbLogger}
"""By the word that `--log-to` takes, which is also the name of the package and of our extra."""


def check_logs(names: Sequence[str]) -> None:
    """See, before a run begins, that its logs can be opened.

    Raises:
        OptionError: A package is not installed, or W&B does not know the user.
    """
    for name in names:
        found = importlib.util.find_spec(name)
        if found is None or found.origin is None:  # A mere folder of that name, as W&B makes them.
            raise OptionError(
                f"--log-to {name} needs the package {name}, which is not installed: "
                f"pip install {name}"
            )
    if "wandb" in names:
        try:
            check_login()
        except ValueError as error:
            raise OptionError(f"--log-to wandb: {error}") from error


class LoggedProgress(Progress):
    """Passes all on to what shows the progress, and every epoch to the logs. A context manager.

    A log that fails is left out from there on, with a note: no run is lost to its logs.

    Args:
        shown: Shows the progress and the notes.
        names: Which of the logs to open.
        run: The run.
        logs: All logs by name.
    """

    def __init__(
        self,
        shown: Progress,
        names: Sequence[str],
        run: LoggedRun,
        *,
        logs: Mapping[str, OpenLog] = LOGS,
    ) -> None:
        self._shown, self._run = shown, run
        self._last_epoch = 0
        self._loggers: dict[str, Logger] = {}
        for name in dict.fromkeys(names):
            try:
                self._loggers[name] = logs[name](run, shown.on_note)
            except Exception as error:
                self._leave_out(name, error)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        finished = kind is None and self._last_epoch == self._run.num_epochs
        for name, logger in self._loggers.items():
            try:
                logger.close(finished=finished)
            except Exception as failure:
                self._tell(name, failure, "its last epochs may be missing")

    def on_step(self, step: int, num_steps: int) -> None:
        """Logs have no interest in steps."""
        self._shown.on_step(step, num_steps)

    def on_epoch(self, metrics: EpochMetrics) -> None:
        """Show the epoch, then log it."""
        self._last_epoch = metrics.epoch
        self._shown.on_epoch(metrics)
        for name, logger in list(self._loggers.items()):
            try:
                logger.on_epoch(metrics)
            except Exception as error:
                self._leave_out(name, error)

    def on_note(self, line: str) -> None:
        """Show it."""
        self._shown.on_note(line)

    def _leave_out(self, name: str, error: Exception) -> None:
        self._loggers.pop(name, None)
        self._tell(name, error, "training continues without this log")

    def _tell(self, name: str, error: Exception, consequence: str) -> None:
        reason = " ".join(str(error).split()) or type(error).__name__
        self._shown.on_note(f"--log-to {name} failed ({reason}); {consequence}.")
