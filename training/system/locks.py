"""One process at a time works on a run or a file: a lock that ends with the process holding it.

The lock is the system's (flock), so it is free once its holder is gone, however it went. A network
drive passes it on to other machines, unless it was mounted to keep locks to each machine, and some
file systems have none. There the file alone can tell: it names its holder, whose process can be
looked for on this machine; whether one on another machine still works cannot be known, and is said.
"""

import errno
import os
import re
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from training.errors import UserError

with suppress(ImportError):
    import fcntl

HAS_LOCKS = os.name == "posix"
"""Elsewhere nothing is locked."""
LOOK_AGAIN_S = 0.1
GIVE_UP_S = 60.0
"""How long a lock that the system cannot wait for is looked at again."""
_MOUNTS = Path("/proc/self/mounts")
_OWN_LOCKS = {"nolock", "local_lock=all", "local_lock=flock", "localflock", "nobrl"}
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)


class RunBusyError(UserError):
    """Another process works on this run."""


@dataclass(frozen=True)
class Lock:
    """A lock that this process holds."""

    path: Path
    descriptor: int

    def check(self) -> None:
        """See that the file is still there and still this one.

        Raises:
            FileNotFoundError: It is not: its folder was removed, and may be another's by now.
        """
        if HAS_LOCKS and not _is_at(self.descriptor, self.path):
            raise FileNotFoundError(f"{self.path} is gone: its folder was removed or replaced")


@contextmanager
def run_lock(path: Path, *, waits: bool = False) -> Iterator[Lock]:
    """Hold a lock; the file has the process and the machine of its holder.

    The file is removed on the way out; a killed process leaves one that nobody holds.

    Args:
        path: The file to lock; its folder is made.
        waits: Wait while another process, or thread, holds it.

    Raises:
        RunBusyError: Another process holds it, and this one does not wait; or a process of another
            machine may hold it, which this file system does not tell.
        OSError: The file cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = _take(path, waits=waits)
    lock = Lock(path, descriptor)
    try:
        with suppress(OSError):  # a full disk
            os.ftruncate(descriptor, 0)
            os.write(descriptor, f"{os.getpid()} {socket.gethostname()}\n".encode())
        yield lock
    finally:
        with suppress(OSError):
            lock.check()
            path.unlink()  # still locked: whoever waits for this file sees it gone
        os.close(descriptor)


def lock_holder(path: Path) -> str | None:
    """Who holds the lock now, or may hold it as far as can be known, in words; None for nobody."""
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    except FileNotFoundError:
        return None
    try:
        return _other_holder(descriptor, path, shared=True)
    finally:
        os.close(descriptor)


def _take(path: Path, *, waits: bool) -> int:
    """The open file, locked."""
    deadline = time.monotonic() + GIVE_UP_S
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            holder = _other_holder(descriptor, path, waits=waits)
            if holder is None and _is_at(descriptor, path):
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)  # Else its last holder removed it between our opening and locking.
        if holder is not None and (not waits or time.monotonic() > deadline):
            raise RunBusyError(f"{path}: {holder}")
        if holder is not None:
            time.sleep(LOOK_AGAIN_S)


def _other_holder(
    descriptor: int, path: Path, *, waits: bool = False, shared: bool = False
) -> str | None:
    """Lock the file if that can be; else who holds it, or may hold it, in words."""
    if not HAS_LOCKS:
        return None
    operation = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    is_busy = is_known = False
    try:
        fcntl.flock(descriptor, operation if waits else operation | fcntl.LOCK_NB)
        is_known = True
    except BlockingIOError:
        is_busy = True
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
    process, machine = _read_holder(descriptor)
    where = f" on {machine}" if machine and machine != socket.gethostname() else ""
    if is_busy or (process and not is_known and not where and _is_alive(int(process))):
        return f"process {process or 'unknown'}{where} works on it; wait for its end, or stop it"
    if process and where and not (is_known and _passes_locks_on(path)):
        return (
            f"process {process}{where} began to work on it, and this drive does not tell whether "
            f"it still does{_newest(path.parent)}; if it has ended, delete this file"
        )
    return None


def _read_holder(descriptor: int) -> tuple[str, str]:
    """Process and machine that the file names; nothing where it names none."""
    text = os.pread(descriptor, 300, 0).decode(errors="replace").strip()
    process, _, machine = text.partition(" ")
    return (process, machine) if re.fullmatch("[0-9]{1,10}", process) else ("", "")


def _newest(folder: Path) -> str:
    """When something there was last written, in words: the one sign of life that others leave."""
    with suppress(OSError):
        age = time.time() - max(entry.stat().st_mtime for entry in folder.iterdir())
        return f" (a file there was last written {age:,.0f} s ago)"
    return ""


def _is_alive(process: int) -> bool:
    """Whether it is a process of this machine, other than this one."""
    if process == os.getpid():
        return False
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # another user's
        return True
    return True


def _passes_locks_on(path: Path) -> bool:
    """Whether other machines see the lock: not on a network drive that was mounted without that."""
    try:
        mounts = [line.split() for line in _MOUNTS.read_text(encoding="utf-8").splitlines()]
    except OSError:  # a system that does not tell
        return True
    place = os.path.realpath(path)
    over = [
        fields
        for fields in mounts
        if place.startswith(fields[1].encode().decode("unicode_escape").rstrip("/") + "/")
    ]
    kind, options = max(over, key=lambda fields: len(fields[1]))[2:4] if over else ("", "")
    return kind != "fuse.sshfs" and _OWN_LOCKS.isdisjoint(options.split(","))


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except OSError:
        return False
