"""How much memory this machine has, how much this process uses, and giving some back."""

import ctypes
import os
from pathlib import Path

_C_LIBRARY = ctypes.CDLL(None) if os.name == "posix" else None
_STATUS = Path("/proc/self/statm")


def physical_memory() -> int | None:
    """Bytes of physical memory, where the system tells; else None."""
    if not hasattr(os, "sysconf"):
        return None
    return page_size() * os.sysconf("SC_PHYS_PAGES")


def page_size() -> int:
    """Bytes of a page of memory, on systems with sysconf."""
    return os.sysconf("SC_PAGE_SIZE")


def resident_memory() -> int | None:
    """Bytes of memory that hold this process; None where the system does not tell."""
    try:
        pages = int(_STATUS.read_text(encoding="ascii").split()[1])
    except (OSError, ValueError, IndexError):
        return None
    return pages * page_size()


def give_back_memory() -> None:
    """Let the system have what the C library keeps free; nothing where it is not GNU's.

    Tensors whose sizes change from step to step leave holes that would add up over a run.
    """
    trim = getattr(_C_LIBRARY, "malloc_trim", None)
    if trim is not None:
        trim(0)
