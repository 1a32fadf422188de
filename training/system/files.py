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
from io import FileIO
from pathlib import Path
from threading import Lock
from typing import Any, BinaryIO, TypeVar

import numpy as np
from numpy.typing import NDArray

from training.errors import CheckpointError
from training.system.memory import check_memory, format_bytes

MAX_TENSOR_FILE_BYTES = 1 << 36
"""64 GiB: most of a checkpoint or a file of tensors; larger networks come in shards."""
MAX_JSON_BYTES = 1 << 25
"""32 MiB: most of a file of settings, a policy, an index, a certificate's numbers."""
_Reached = TypeVar("_Reached")


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
    """A regular file that is open for reads by position, from any thread; a context manager.

    Every input is opened here, once, and never waited for: a FIFO, a device, a socket or a link to
    one of them is refused before a byte is read, and so is a file larger than its kind can be.

    Args:
        path: Where it lies.
        what: The kind of file, with its article, as "give ..." has it in messages.
        cap: Most bytes that a file of that kind may have.
        error: What is raised, here and by later reads.

    Attributes:
        path: Where it lies.
        num_bytes: Its size when it was opened.
        file: The open file, for readers that want one; not to be used beside other threads.

    Raises:
        CheckpointError: It is not a regular file, too large, or cannot be read; or `error`.
    """

    def __init__(
        self,
        path: Path | str,
        *,
        what: str = "a checkpoint",
        cap: int = MAX_TENSOR_FILE_BYTES,
        error: Callable[[str], Exception] = CheckpointError,
    ) -> None:
        self.path = Path(path)
        self._what, self._error = what, error
        self._lock = Lock()
        self._check_kind(self._reach(self.path.stat))  # to open a device may be to act on it
        self.file: FileIO = self._reach(self._open)
        try:
            status = os.fstat(self.file.fileno())
            self._check_kind(status)
            if status.st_size > cap:
                raise error(
                    f"{path}: {format_bytes(status.st_size)}, but {what} has at most "
                    f"{format_bytes(cap)}; give another file"
                )
        except BaseException:
            self.file.close()
            raise
        self.num_bytes = status.st_size

    def _open(self) -> FileIO:
        """Open without waiting for the other end of a FIFO, and without taking a terminal."""
        extra = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0)
        return FileIO(self.path, opener=lambda path, flags: os.open(path, flags | extra))

    def _reach(self, do: Callable[[], _Reached]) -> _Reached:
        try:
            return do()
        except FileNotFoundError as reason:
            raise self._error(f"{self.path}: no such file; give {self._what}") from reason
        except (OSError, ValueError) as reason:
            raise self._unreadable(reason) from reason

    def _check_kind(self, status: os.stat_result) -> None:
        if stat.S_ISDIR(status.st_mode):
            raise self._error(f"{self.path}: a folder; give {self._what}")
        if not stat.S_ISREG(status.st_mode):
            raise self._error(f"{self.path}: not a regular file; give {self._what}")

    def _unreadable(self, reason: Exception) -> Exception:
        words = getattr(reason, "strerror", None) or str(reason)
        return self._error(f"{self.path}: cannot be read ({words})")

    def read(self, start: int, num_bytes: int) -> bytes:
        """`num_bytes` bytes from `start` on.

        Raises:
            CheckpointError: The file has no such bytes any more, or cannot be read; or `error`.
        """
        buffer = np.empty(num_bytes, dtype=np.uint8)
        self.read_into(start, buffer)
        return buffer.tobytes()

    def read_into(self, start: int, buffer: NDArray[Any]) -> None:
        """Fill a contiguous array with the bytes from `start` on.

        Raises:
            CheckpointError: The file has no such bytes any more, or cannot be read; or `error`.
        """
        view = memoryview(buffer.reshape(-1).view(np.uint8))  # type: ignore[arg-type]
        done = 0
        try:
            with self._lock:
                self.file.seek(start)
                while done < len(view):
                    count = self.file.readinto(view[done:])
                    if not count:
                        break
                    done += count
        except (OSError, ValueError) as reason:
            raise self._unreadable(reason) from reason
        if done < len(view):
            raise self._error(
                f"{self.path}: ended while it was read; another program cut it short, copy it again"
            )

    def close(self) -> None:
        """Close the file; its tensors cannot be read any more."""
        self.file.close()

    def __enter__(self) -> "FileBytes":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def read_bytes(
    path: Path | str,
    *,
    what: str,
    cap: int,
    error: Callable[[str], Exception] = CheckpointError,
    missing: bytes | None = None,
) -> bytes:
    """The whole content of a regular file.

    Args:
        path: Where it lies.
        what: As `FileBytes` has it.
        cap: Likewise, in bytes.
        error: Likewise.
        missing: What to give where there is no such file; None: that is an error.

    Raises:
        CheckpointError: It is not a regular file, too large, or cannot be read; or `error`.
        OutOfMemoryError: There is no memory for it.
    """
    try:
        source = FileBytes(path, what=what, cap=cap, error=error)
    except Exception as reason:
        if missing is not None and isinstance(reason.__cause__, FileNotFoundError):
            return missing
        raise
    with source:
        check_memory(source.num_bytes, f"{path}: its content")
        return source.read(0, source.num_bytes)


def read_text(
    path: Path | str,
    *,
    what: str,
    cap: int = MAX_JSON_BYTES,
    error: Callable[[str], Exception] = CheckpointError,
    missing: str | None = None,
) -> str:
    """The whole content of a regular file of text in UTF-8, as `read_bytes` reads it.

    Line ends stay as they are.

    Raises:
        CheckpointError: As `read_bytes`, or it is not UTF-8; or `error`.
    """
    absent = None if missing is None else missing.encode()
    data = read_bytes(path, what=what, cap=cap, error=error, missing=absent)
    try:
        return data.decode()
    except UnicodeDecodeError as reason:
        raise error(f"{path}: not text in UTF-8; give {what}") from reason
