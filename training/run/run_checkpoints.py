"""The checkpoints of one run: beside the training while it goes on, on the spot when it ends."""

import time
from collections.abc import Callable
from types import TracebackType
from typing import Any

from training.checkpoint.checkpoint import Checkpoint
from training.checkpoint.record import DataRecord
from training.checkpoint.writer import CheckpointWriter
from training.run.provenance import collect_versions
from training.run.run_folder import RunFolder
from training.run.save_schedule import MAX_SHARE, SaveInterval, SaveSchedule
from training.run.state import TrainingState
from training.spec.normalization import Normalization
from training.system.files import remove_leftovers


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
        self._state = state
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

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._writer.__exit__(kind, error, traceback)

    def is_due(self) -> bool:
        """Whether to save the state after the last step; asked after every step.

        One that is due is left out while the one before it is still being written, and where
        saving would take more than `MAX_SHARE` of the time.

        Raises:
            TrainingError: The last write failed.
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
            TrainingError: The last write failed.
        """
        start = time.perf_counter()
        checkpoint = self._collect(metrics, final=False)
        if self._state.ranks.is_first:
            self._writer.submit(checkpoint)
        self._loop_seconds += time.perf_counter() - start

    def save_now(self, metrics: dict[str, Any], *, final: bool = False) -> Checkpoint:
        """Save the state before this returns. A final checkpoint cannot be resumed.

        Raises:
            OSError: The file cannot be written; the one before it is still there.
        """
        checkpoint = self._collect(metrics, final=final)
        if self._state.ranks.is_first:
            self._writer.write_now(checkpoint)
        return checkpoint

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
