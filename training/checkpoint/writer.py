"""Writes checkpoints beside the training: the loop loses the time of one copy, not of the file.

The copy is a `Snapshot`, which stays as it is while training goes on.
"""

import time
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

import torch
from torch import Tensor

from training.checkpoint.checkpoint import Checkpoint, save_checkpoint
from training.errors import TrainingError

_PARTS = ("state", "config", "metrics", "num_nonzeros", "versions", "training")


class SaveError(TrainingError):
    """A checkpoint could not be written; what went wrong is its cause."""


class Snapshot:
    """Buffers for the tensors of one checkpoint, made once and filled again and again.

    On the CPU a tensor is copied into its buffer. On CUDA it is copied twice: to another place on
    the device, among the training's own work and at the speed of the device's memory, and from
    there into pinned memory by a stream of its own, which only `read` waits for. So the next step
    may change every tensor as soon as `take` returns, and neither the loop nor the device waits
    for the slow way to the host. It costs the device's memory for one more copy.
    """

    def __init__(self) -> None:
        self._checkpoint: Checkpoint | None = None
        self._buffers: dict[str, Tensor] = {}
        self._staged: dict[str, Tensor] = {}
        self._stream: torch.cuda.Stream | None = None
        self._arrived: torch.cuda.Event | None = None

    @property
    def has_any(self) -> bool:
        """Whether a checkpoint has been taken."""
        return self._checkpoint is not None

    def take(self, checkpoint: Checkpoint) -> None:
        """Copy a checkpoint whose tensors all belong to one step.

        A tensor is known by its place in the checkpoint; a new shape or type gets a new buffer.
        """
        on_device: dict[str, Tensor] = {}
        copied = {name: self._copy(getattr(checkpoint, name), name, on_device) for name in _PARTS}
        self._checkpoint = replace(checkpoint, **copied)
        if on_device:
            self._fetch(on_device)

    def read(self) -> Checkpoint:
        """The copy, once all of it is in the host's memory; good until the next `take`.

        Raises:
            ValueError: Nothing has been taken.
        """
        if self._checkpoint is None:
            raise ValueError("nothing has been taken yet; call take first")
        if self._arrived is not None:
            self._arrived.synchronize()
        return self._checkpoint

    def _copy(self, value: Any, place: str, on_device: dict[str, Tensor]) -> Any:
        """Plain containers anew, and tensors in their buffers; `on_device` gets those to fetch.

        Anything else stays as it is: `save_checkpoint` refuses what may not be there.
        """
        if isinstance(value, dict):
            return {
                key: self._copy(part, f"{place}/{key}", on_device) for key, part in value.items()
            }
        if isinstance(value, list | tuple):
            parts = [self._copy(part, f"{place}/{i}", on_device) for i, part in enumerate(value)]
            return parts if isinstance(value, list) else tuple(parts)
        if not isinstance(value, Tensor) or value.layout != torch.strided:
            return value
        tensor = value.detach()
        buffer = self._buffers.get(place)
        if buffer is None or buffer.shape != tensor.shape or buffer.dtype != tensor.dtype:
            buffer = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=tensor.is_cuda)
            self._buffers[place] = buffer
            self._staged.pop(place, None)
        if tensor.is_cuda:
            on_device[place] = tensor
        else:
            buffer.copy_(tensor)
        return buffer

    def _fetch(self, tensors: dict[str, Tensor]) -> None:
        """Bring tensors from the device to their buffers, without waiting."""
        current = torch.cuda.current_stream(next(iter(tensors.values())).device)
        if self._stream is None or self._arrived is None:
            self._stream = torch.cuda.Stream(current.device)  # type: ignore[no-untyped-call]
            # Waiting for it takes no processor.
            self._arrived = torch.cuda.Event(blocking=True)  # type: ignore[no-untyped-call]
        else:
            current.wait_event(self._arrived)  # what was staged last has left
        for place, tensor in tensors.items():
            if place not in self._staged:
                self._staged[place] = torch.empty_like(
                    tensor, memory_format=torch.contiguous_format
                )
            self._staged[place].copy_(tensor)
        self._stream.wait_stream(current)
        with torch.cuda.stream(self._stream):
            for place in tensors:
                self._buffers[place].copy_(self._staged[place], non_blocking=True)
            self._arrived.record()


class CheckpointWriter:
    """One file, written over and over by a thread of its own; a context manager.

    At most one write is under way. Who finds the writer busy comes back later, with a newer state:
    so the newest one wins, and there is one copy of the state and no queue. Each write goes through
    `save_checkpoint`: whenever the process is killed, the file is the old one or the new one,
    whole. A write that failed raises one `SaveError` at the next call of any method but
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
            SaveError: The last write failed.
        """
        if self._writing is not None and not self._writing.done():
            return True
        self.finish()
        return False

    def submit(self, checkpoint: Checkpoint) -> None:
        """Copy a checkpoint and let it be written; its tensors may change once this returns.

        Waits for a write that is still under way.

        Raises:
            SaveError: The last write failed; this checkpoint has not been taken.
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

    @property
    def taken(self) -> Checkpoint | None:
        """What was submitted last; good until the next."""
        return self._snapshot.read() if self._snapshot.has_any else None

    def finish(self) -> None:
        """Wait until nothing is being written.

        Raises:
            SaveError: The last write failed.
        """
        writing, self._writing = self._writing, None
        if writing is None:
            return
        try:
            processor, elapsed = writing.result()
        except Exception as error:  # Whatever went wrong in the thread is told in the loop's.
            reason = error.strerror if isinstance(error, OSError) else None
            raise SaveError.naming(
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
