"""One process at a time works on a run or a file: a lock that ends with the process holding it."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class RunBusyError(Exception):
    """Another process works on this run."""


@contextmanager
def run_lock(path: Path, *, waits: bool = False) -> Iterator[None]:
    """Hold a lock; the file has the process id of its holder.

    The system frees it with the process, however that ends. The file is removed on the way out; a
    killed process leaves one that nobody holds.

    Args:
        path: The file to lock; its folder is made.
        waits: Wait while another process, or thread, holds it.

    Raises:
        RunBusyError: Another process holds it, and this one does not wait.
        OSError: The file cannot be written, or its file system has no locks.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = _lock(path, fcntl.LOCK_EX if waits else fcntl.LOCK_EX | fcntl.LOCK_NB)
    try:
        os.truncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()}\n".encode())
        yield
    finally:
        path.unlink(missing_ok=True)  # still locked: whoever waits for this file sees it gone
        os.close(descriptor)


def is_locked(path: Path) -> bool:
    """Whether some process holds the lock now."""
    try:
        descriptor = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _lock(path: Path, operation: int) -> int:
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(descriptor, operation)
            if _is_at(descriptor, path):
                return descriptor
        except BlockingIOError:
            holder = os.pread(descriptor, 32, 0).decode().strip()
            os.close(descriptor)
            raise RunBusyError(
                f"{path}: process {holder or 'unknown'} works on this run; wait for it"
            ) from None
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)  # Its last holder removed it between our opening and our locking.


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False
