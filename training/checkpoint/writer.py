"""Writes checkpoints beside the training: the loop loses the time of one copy, not of the file."""

import time
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from training.checkpoint.checkpoint import Checkpoint, save_checkpoint
from training.checkpoint.snapshot import Snapshot
from training.errors import TrainingError


class CheckpointWriter:
    """One file, written over and over by a thread of its own; a context manager.

    At most one write is under way. Who finds the writer busy comes back later, with a newer state:
    so the newest one wins, and there is one copy of the state and no queue. Each write goes through
    `save_checkpoint`: whenever the process is killed, the file is the old one or the new one,
    whole. A write that failed raises one `TrainingError` at the next call of any method but
    `write_now`, or in the end; the older file is still there then.

    Leaving the context waits for the last write. When an exception leaves it, that exception stays
    the one that is seen.

    Args:
        path: The file; its folder must exist.

    Attributes:
        num_written: Writes that have ended well.
        processor_seconds: Processor time of their thread, which is the most that they can have
            taken from the training. Waiting for a disk takes none.
        elapsed_seconds: Their time by the clock.
    """

    def __init__(self, path: Path) -> None:
        self.num_written = 0
        self.processor_seconds = self.elapsed_seconds = 0.0
        self._path = path
        self._snapshot = Snapshot()
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="checkpoint")
        self._writing: Future[tuple[float, float]] | None = None

    def is_busy(self) -> bool:
        """Whether a write is under way.

        Raises:
            TrainingError: The last write failed.
        """
        if self._writing is not None and not self._writing.done():
            return True
        self.finish()
        return False

    def submit(self, checkpoint: Checkpoint) -> None:
        """Copy a checkpoint and let it be written; its tensors may change once this returns.

        Waits for a write that is still under way.

        Raises:
            TrainingError: The last write failed; this checkpoint has not been taken.
        """
        self.finish()
        self._snapshot.take(checkpoint)
        self._writing = self._pool.submit(self._write)

    def write_now(self, checkpoint: Checkpoint) -> None:
        """Write a checkpoint before this returns, after any write that is under way.

        Whether an older one could be written does not matter any more.

        Raises:
            ValueError, OSError: As `save_checkpoint`.
        """
        with suppress(TrainingError):
            self.finish()
        save_checkpoint(checkpoint, self._path)

    def finish(self) -> None:
        """Wait until nothing is being written.

        Raises:
            TrainingError: The last write failed.
        """
        writing, self._writing = self._writing, None
        if writing is None:
            return
        try:
            processor, elapsed = writing.result()
        except Exception as error:  # Whatever went wrong in the thread is told in the loop's.
            reason = error.strerror if isinstance(error, OSError) else None
            raise TrainingError.naming(
                "{}: a checkpoint could not be written ({}); the one before it is still there; "
                "when there is room for it, resume the run ({resume_from} {})",
                self._path,
                reason or error,
                self._path.parent,
            ) from error
        self.num_written += 1
        self.processor_seconds += processor
        self.elapsed_seconds += elapsed

    def __enter__(self) -> "CheckpointWriter":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            if error is None:
                self.finish()
        finally:
            self._pool.shutdown(wait=True)

    def _write(self) -> tuple[float, float]:
        """Write the snapshot; the thread's seconds of processor time and of the clock."""
        processor, start = time.thread_time(), time.perf_counter()
        save_checkpoint(self._snapshot.read(), self._path)
        return time.thread_time() - processor, time.perf_counter() - start
