"""The checkpoints of one run: when they are due, beside the training, and at its end at once."""

import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from training.checkpoint.checkpoint import Checkpoint, save_checkpoint
from training.checkpoint.record import DataRecord
from training.checkpoint.writer import CheckpointWriter, SaveError
from training.errors import TrainingError
from training.run.provenance import collect_versions
from training.run.run_folder import RunFolder
from training.run.state import TrainingState
from training.spec.config import SaveInterval
from training.spec.normalization import Normalization
from training.system.files import remove_leftovers

MAX_SHARE = 0.02
"""Share of a run's time that saving may take."""


class RunCheckpoints:
    """Saves a run's state to its folder; a context manager, which ends no write halfway.

    Of several ranks the first one writes, and says when a save is due; all must take part in it.

    Args:
        state: The run.
        folder: Where `checkpoint.pt` goes. What killed processes have left there is removed.
        data: Goes into every checkpoint.
        normalization: Likewise.
        interval: How often to save.
        tell: Called once with a line to show if checkpoints come less often than that.

    Attributes:
        path: The file: the last state that was saved.
    """

    def __init__(
        self,
        *,
        state: TrainingState,
        folder: RunFolder,
        data: DataRecord,
        normalization: Normalization,
        interval: SaveInterval,
        tell: Callable[[str], None],
    ) -> None:
        self.path = folder.checkpoint
        self._folder, self._state, self._first_step = folder, state, state.step
        self._data, self._normalization = data, normalization
        self._versions = collect_versions()  # once: it starts a process
        self._interval, self._tell = interval, tell
        self._schedule = SaveSchedule(interval, steps_per_epoch=state.steps_per_epoch)
        self._writer = CheckpointWriter(self.path)
        self._loop_seconds = 0.0
        self._was_left_out = self._was_told = False
        if state.ranks.is_first:
            remove_leftovers(self.path)

    def __enter__(self) -> "RunCheckpoints":
        return self

    def __exit__(self, *error: Any) -> None:
        self._writer.__exit__(*error)

    def is_due(self) -> bool:
        """Whether to save the state after the last step; asked after every step.

        One that is due is left out while the one before it is still being written, and where
        saving would take more than `MAX_SHARE` of the time.

        Raises:
            SaveError: The last write failed.
        """
        is_busy = self._writer.is_busy()  # after every step, so that a failure is told at once
        if not (self._state.ranks.is_first and self._schedule.is_due(self._state.step)):
            return False
        allowed = not is_busy and self._schedule.begin_save(self._cost)
        self._was_left_out |= not allowed
        if allowed and self._was_left_out and not self._was_told:
            self._was_told = True
            self._tell(self._note())
        return allowed

    def save(self, metrics: dict[str, Any]) -> None:
        """Save the state beside the training, which may continue once this returns.

        Raises:
            SaveError: The last write failed.
        """
        start = time.perf_counter()
        checkpoint = self._collect(metrics, final=False)
        if self._state.ranks.is_first:
            with _as_save_error():
                self._folder.check()
            self._writer.submit(checkpoint)
        self._loop_seconds += time.perf_counter() - start

    def save_now(self, metrics: dict[str, Any], *, final: bool = False) -> Checkpoint:
        """Save the state before this returns. A final checkpoint cannot be resumed.

        Raises:
            SaveError: The file cannot be written; the one before it is still there.
        """
        checkpoint = self._collect(metrics, final=final)
        if self._state.ranks.is_first:
            with _as_save_error():
                self._folder.check()
                self._writer.write_now(checkpoint)
        return checkpoint

    def log(self, metrics: dict[str, Any]) -> None:
        """Add an epoch's line to metrics.jsonl, on the first rank.

        Raises:
            SaveError: It cannot be written.
        """
        if self._state.ranks.is_first:
            with _as_save_error():
                self._folder.append_metrics(metrics)

    def rescue(self, error: SaveError, metrics: dict[str, Any]) -> TrainingError:
        """Save the state once more, where that can be, after a file could not be written.

        That is the run's own folder, if it can be written again, else a new one for temporary
        files, which then holds the run and can be resumed. Of several ranks the last state that
        was taken is saved, for a newer one they would have to give together.

        Args:
            error: What went wrong.
            metrics: Those of the last line of metrics.jsonl.

        Returns:
            What to raise: it says what could not be written and why, and where the state is now.
        """
        cause = error.__cause__ or error
        reason, file = getattr(cause, "strerror", None), getattr(cause, "filename", None)
        why = f"{file or self.path}: {reason}" if reason else str(cause)
        if self._state.step == self._first_step:
            return TrainingError(f"{why}; nothing is lost yet: begin where it can be written")
        alone = self._state.ranks.size == 1
        checkpoint = self._collect(metrics, final=False) if alone else self._writer.taken
        folder = None if checkpoint is None else self._save_anywhere(checkpoint)
        if checkpoint is None or folder is None:
            lost = (
                "{}; the state is lost, for it could not be saved in a folder for temporary files "
                "($TMPDIR) either; "
            )
            if not self.path.exists():
                return TrainingError.naming(f"{lost}no checkpoint is left", why)
            return TrainingError.naming(
                f"{lost}{{}} holds the last checkpoint: when there is room, {{resume_from}} {{}}",
                why,
                self.path,
                self._folder.path,
            )
        step = checkpoint.training and checkpoint.training["step"]
        told = "{}; the state after step {:,} is saved in {}"
        if folder == self._folder.path:
            return TrainingError.naming(f"{told}: {{resume_from}} it", why, step, folder)
        return TrainingError.naming(
            f"{told}; put its files back when that can be done, or {{resume_from}} it there",
            why,
            step,
            folder,
        )

    def _save_anywhere(self, checkpoint: Checkpoint) -> Path | None:
        """The folder that took it, with the run's other files; None where none did."""
        with suppress(OSError, ValueError):
            self._folder.check()
            self._writer.write_now(checkpoint)  # after one that is under way
            return self._folder.path
        with suppress(OSError, ValueError):
            folder = Path(tempfile.mkdtemp(prefix=f"mdl-{self._folder.path.name}-"))
            try:
                save_checkpoint(checkpoint, folder / self.path.name)
            except BaseException:
                shutil.rmtree(folder, ignore_errors=True)
                raise
            for each in (self._folder.config, self._folder.metrics):
                with suppress(OSError):
                    shutil.copy(each, folder)
            return folder
        return None

    @property
    def _cost(self) -> float:
        return self._loop_seconds + self._writer.processor_seconds

    def _collect(self, metrics: dict[str, Any], *, final: bool) -> Checkpoint:
        """The state as it is now; its tensors are the run's own and change with the next step."""
        return Checkpoint(
            network=self._state.network.spec,
            state=self._state.weights.whole_state(),
            data=self._data,
            normalization=self._normalization,
            config=self._state.config.to_dict(),
            metrics=metrics,
            versions=self._versions,
            training=None if final else self._state.resume_dict(),
        )

    def _note(self) -> str:
        num_saves = self._writer.num_written
        return (
            f"Checkpoints come less often than {self._interval}: one takes "
            f"{self._writer.elapsed_seconds / num_saves:.2g} s to write and "
            f"{self._cost / num_saves:.2g} s from the training, and saving keeps to "
            f"{MAX_SHARE:.0%} of the time."
        )


@contextmanager
def _as_save_error() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise SaveError(str(error)) from error


class SaveSchedule:
    """Says when a checkpoint is due, and which of those that are have to be left out.

    A save costs the loop its own time and, at worst, the processor time of the thread that writes.
    One is left out if the cost of all, this one being as dear as the mean of the others, would
    come above `MAX_SHARE` of the time since the start. The first is never left out. So a run that
    is killed loses the work of one interval or of about 50 times the cost of a save.

    Args:
        interval: What was asked for.
        steps_per_epoch: Steps of one epoch.
        clock: Gives seconds that only grow.
    """

    def __init__(
        self,
        interval: SaveInterval,
        *,
        steps_per_epoch: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._interval, self._clock = interval, clock
        self._num_steps = interval.count * (steps_per_epoch if interval.unit == "epochs" else 1)
        self._start = self._last_save = clock()
        self._num_saves = 0

    def is_due(self, step: int) -> bool:
        """Whether a checkpoint was asked for after `step` steps, or at this time."""
        if self._interval.unit == "seconds":
            return self._clock() - self._last_save >= self._interval.count
        return step % self._num_steps == 0

    def begin_save(self, cost: float) -> bool:
        """Whether a save that is due may be made; if so, it is taken to begin.

        Args:
            cost: Seconds that all saves before it have cost.
        """
        now = self._clock()
        if self._num_saves > 0:
            expected = cost * (self._num_saves + 1) / self._num_saves
            if expected > MAX_SHARE * (now - self._start):
                return False
        self._num_saves += 1
        self._last_save = now
        return True
