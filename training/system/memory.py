"""How much memory is available to this process, what it uses, and giving some back."""

import ctypes
import errno
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from training.errors import OutOfMemoryError, UserError

_C_LIBRARY = ctypes.CDLL(None) if os.name == "posix" else None
_PROC = Path("/proc")
_CGROUPS = Path("/sys/fs/cgroup")
_VERSION_1 = "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"
_VERSION_2 = "memory.max", "memory.current", "inactive_file"
_REFUSED = re.compile(
    "not enough memory|can't allocate memory|cannot allocate memory|out of memory|bad_alloc", re.I
)
_ASKED = re.compile(r"(?:allocate|of size|mmap) (\d[\d.]*)(?: (bytes|[KMGTPE]iB))?\b", re.I)
_FREE = re.compile(r"of which ([\d.]+) (bytes|[KMGTPE]iB) is free", re.I)
_UNITS: dict[str, int] = {"bytes": 1} | {
    f"{unit}ib": 1024**power for power, unit in enumerate("kmgtpe", 1)
}
WAY_OUT = "free some, raise the limit of this process, or use a larger machine"


def available_memory() -> int | None:
    """Bytes that this process can still take without swapping or being refused.

    The least of what the system calls available, and of what the limits of its control groups
    (versions 1 and 2) and of the process itself (address space, data) leave. Where the system has
    no /proc, all physical memory; None where it does not tell that either.
    """
    left = [*_system_left(), *_cgroups_left(), *_limits_left()]
    return max(min(left), 0) if left else None


def check_memory(num_bytes: int, what: str, way_out: str = WAY_OUT) -> None:
    """Refuse to take more memory than is available, before it is taken.

    Args:
        num_bytes: What is about to be taken.
        what: What needs it, the start of the message: "net.mdl: its network".
        way_out: What to do about it, the end of the message.

    Raises:
        OutOfMemoryError: It is more than `available_memory`; names both sizes.
    """
    available = available_memory()
    if available is not None and num_bytes > available:
        raise OutOfMemoryError(
            f"{what} needs about {format_bytes(num_bytes)} of memory, and "
            f"{format_bytes(available)} is available; {way_out}"
        )


def as_memory_error(error: BaseException) -> OutOfMemoryError | None:
    """What to say of an allocation that failed, wherever it was; None for any other error.

    Python, NumPy and pyarrow raise MemoryError, the system OSError, torch RuntimeError, on a CPU
    and on CUDA.

    >>> error = RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total "
    ...     "capacity of 8.00 GiB of which 1.00 GiB is free.")
    >>> str(as_memory_error(error)).partition(";")[0]
    'out of memory: 2.1 GB more was asked for, and 1.1 GB is available'
    """
    text = str(error)
    is_torch = isinstance(error, RuntimeError) and bool(_REFUSED.search(text))
    is_system = isinstance(error, OSError) and error.errno == errno.ENOMEM
    if isinstance(error, UserError) or not (
        isinstance(error, MemoryError) or is_torch or is_system
    ):
        return None
    asked, free = _ASKED.search(text), _FREE.search(text)
    available = available_memory() if free is None else _size(free)
    line = "out of memory: " + ("" if asked is None else f"{format_bytes(_size(asked))} ")
    line += "more was asked for"
    if available is not None:
        line += f", and {format_bytes(available)} is available"
    return OutOfMemoryError(f"{line}; {WAY_OUT}")


def format_bytes(num_bytes: float) -> str:
    """A size for people, in powers of 1000.

    >>> format_bytes(999), format_bytes(13_400), format_bytes(2.449e9), format_bytes(2e14)
    ('999 bytes', '13.4 kB', '2.4 GB', '200,000.0 GB')
    """
    for unit, name in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if num_bytes >= unit:
            return f"{num_bytes / unit:,.1f} {name}"
    return f"{num_bytes:.0f} bytes"


def page_size() -> int:
    """Bytes of a page of memory, on systems with sysconf."""
    return os.sysconf("SC_PAGE_SIZE")


def resident_memory() -> int | None:
    """Bytes of memory that hold this process; None where the system does not tell."""
    pages = _used_pages()
    return pages[1] * page_size() if pages else None


def give_back_memory() -> None:
    """Let the system have what the C library keeps free; nothing where it is not GNU's.

    Tensors whose sizes change from step to step leave holes that would add up over a run.
    """
    trim = getattr(_C_LIBRARY, "malloc_trim", None)
    if trim is not None:
        trim(0)


def _size(found: re.Match[str]) -> float:
    return float(found[1]) * _UNITS[(found[2] or "bytes").lower()]


def _system_left() -> Iterator[int]:
    for line in _read(_PROC / "meminfo").splitlines():
        name, _, value = line.partition(":")
        if name == "MemAvailable":
            yield int(value.split()[0]) * 1024
            return
    if hasattr(os, "sysconf") and os.sysconf("SC_PHYS_PAGES") > 0:
        yield page_size() * os.sysconf("SC_PHYS_PAGES")


def _cgroups_left() -> Iterator[int]:
    """What each control group leaves, from this process's own up to the root."""
    for line in _read(_PROC / "self" / "cgroup").splitlines():
        number, controllers, path = line.split(":", 2)
        if number == "0":
            roots, names = [_CGROUPS, _CGROUPS / "unified"], _VERSION_2
        elif "memory" in controllers.split(","):
            roots, names = [_CGROUPS / "memory"], _VERSION_1
        else:
            continue
        inside = Path(path.lstrip("/"))
        for root in roots:
            for part in (inside, *inside.parents):
                yield from _cgroup_left(root / part, *names)


def _cgroup_left(folder: Path, limit: str, usage: str, reclaimable: str) -> Iterator[int]:
    """What one group leaves; its cache of files is given up when memory is needed."""
    most, used = _read(folder / limit).strip(), _read(folder / usage).strip()
    if most.isdecimal() and used.isdecimal():
        pairs = (line.split() for line in _read(folder / "memory.stat").splitlines())
        cached = next((int(pair[1]) for pair in pairs if pair[0] == reclaimable), 0)
        yield int(most) - max(int(used) - cached, 0)


def _limits_left() -> Iterator[int]:
    if sys.platform == "win32":
        return
    import resource  # noqa: PLC0415  # not on Windows

    pages = _used_pages() or [0] * 6
    for limit, used in ((resource.RLIMIT_AS, pages[0]), (resource.RLIMIT_DATA, pages[5])):
        most = resource.getrlimit(limit)[0]
        if most != resource.RLIM_INFINITY:
            yield most - used * page_size()


def _used_pages() -> list[int]:
    """Pages of this process: all, in memory, ..., the sixth those of its data; [] if unknown."""
    return [int(number) for number in _read(_PROC / "self" / "statm").split()]


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""
