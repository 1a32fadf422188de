"""Files written whole or not at all, files read by position, and the cache folder.

A memory map would read by position too, with two dangers: where another process cuts the file
short, or a network drive goes away, touching the map ends this process with a signal that Python
cannot catch; and mapped pages count as its memory. Reads by position meet the end of such a file as
one plain error, need only the buffer that they are given, and are no slower.
"""

import os
import re
import secrets
import stat
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from training.errors import CheckpointError


def write_atomically(path: Path | str, write: Callable[[BinaryIO], None]) -> None:
    """Replace the file at `path` by what `write` writes.

    The bytes go to a hidden file in the same folder, are forced to disk, and take the place of the
    old file in one rename. A reader, or a crash at any moment, sees the old file or the new one.
    When `write` fails, the old file stays and nothing is left behind; only a killed process
    leaves its hidden `.<name>.<random>.tmp`. A symbolic link stays and its target is replaced.

    Args:
        path: The file; its folder must exist.
        write: Called once with a binary file open for writing.

    Raises:
        OSError: The folder is missing or full or may not be written to, or `path` is a folder; it
            names the file, also where `write` made another error of it.
    """
    target = Path(os.path.realpath(path))
    if target.is_dir():
        raise IsADirectoryError(f"{path} is a folder; a file cannot take its place")
    if not target.parent.is_dir():
        raise FileNotFoundError(
            f"{target.parent} is not a folder, so {target.name} cannot go there"
        )
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(6)}.tmp")
    try:
        with temporary.open("xb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(target)
    except BaseException as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        failure = _behind(error)
        if failure is None or failure.errno is None:
            raise
        raise OSError(failure.errno, failure.strerror, os.fspath(path)) from error
    sync_folder(target.parent)


def _behind(error: BaseException) -> OSError | None:
    """The system's error behind another one, such as torch makes of it; None if there is none."""
    behind: BaseException | None = error
    while behind is not None and not isinstance(behind, OSError):
        behind = behind.__context__ if isinstance(behind, RuntimeError) else None
    return behind


def write_text_atomically(path: Path | str, text: str) -> None:
    """Replace the file at `path` by `text` in UTF-8, as `write_atomically` does.

    Line ends are written as they are.
    """
    data = text.encode()

    def write(file: BinaryIO) -> None:
        file.write(data)

    write_atomically(path, write)


def remove_leftovers(path: Path | str) -> None:
    """Delete what killed processes left of `write_atomically` to `path`; others' files stay.

    No other process may be writing to `path`.
    """
    target = Path(os.path.realpath(path))
    name = re.compile(rf"\.{re.escape(target.name)}\.[0-9a-f]{{12}}\.tmp")
    for entry in target.parent.iterdir():
        if name.fullmatch(entry.name):
            entry.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Force the rename itself to disk, where the system lets one open a folder."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def default_cache_dir() -> Path:
    """$MDL_CACHE, or ~/.cache/mdl."""
    return Path(os.environ.get("MDL_CACHE") or "~/.cache/mdl").expanduser()


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
        """`num_bytes` bytes from `start` on.

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

    def __exit__(self, *error: object) -> None:
        self.close()
