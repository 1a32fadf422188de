"""Bytes of a file by position, so that a large file is worked through in little memory.

A memory map would do the same with two dangers: where another process cuts the file short, or a
network drive goes away, touching the map ends this process with a signal that Python cannot catch;
and mapped pages count as its memory. Reads by position meet the end of such a file as one plain
error, need only the buffer that they are given, and are no slower (cold, they are faster: the
system reads ahead of them).
"""

import os
import stat
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from training.errors import CheckpointError


class FileBytes:
    """A file that is open for reads by position, from any thread; a context manager.

    Attributes:
        path: Where it lies.
        num_bytes: Its size when it was opened.
        file: The open file, for readers that want one; not to be used beside other threads.

    Raises:
        CheckpointError: It is not a regular file, or cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = Lock()
        try:
            if path.is_dir():
                raise CheckpointError(f"{path}: a folder; give a file")
            if path.exists() and not path.is_file():
                raise CheckpointError(f"{path}: not a regular file; give a checkpoint")
            self.file: BinaryIO = path.open("rb", buffering=0)
            status = os.fstat(self.file.fileno())
        except FileNotFoundError as error:
            raise CheckpointError(f"{path}: no such file; give a checkpoint") from error
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise CheckpointError(f"{path}: cannot be read ({reason})") from error
        if not stat.S_ISREG(status.st_mode):
            self.file.close()
            raise CheckpointError(f"{path}: not a regular file; give a checkpoint")
        self.num_bytes = status.st_size

    def read(self, start: int, num_bytes: int) -> bytes:
        """So many bytes from `start` on.

        Raises:
            CheckpointError: The file has no such bytes any more, or cannot be read.
        """
        buffer = np.empty(num_bytes, dtype=np.uint8)
        self.read_into(start, buffer)
        return buffer.tobytes()

    def read_into(self, start: int, buffer: NDArray[Any]) -> None:
        """Fill a contiguous array with the bytes from `start` on.

        Raises:
            CheckpointError: The file has no such bytes any more, or cannot be read.
        """
        view = memoryview(buffer.reshape(-1).view(np.uint8))  # type: ignore[arg-type]
        done = 0
        try:
            with self._lock:
                self.file.seek(start)
                while done < len(view):
                    count = self.file.readinto(view[done:])  # type: ignore[attr-defined]
                    if not count:
                        break
                    done += count
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise CheckpointError(f"{self.path}: cannot be read ({reason})") from error
        if done < len(view):
            raise CheckpointError(
                f"{self.path}: ended while it was read; another program cut it short, copy it again"
            )

    def close(self) -> None:
        """Close the file; its tensors cannot be read any more."""
        self.file.close()

    def __enter__(self) -> "FileBytes":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
