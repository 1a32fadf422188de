"""How much memory this machine has. No torch."""

import os


def physical_memory() -> int | None:
    """Bytes of physical memory, where the system tells; else None."""
    if not hasattr(os, "sysconf"):
        return None
    return page_size() * os.sysconf("SC_PHYS_PAGES")


def page_size() -> int:
    """Bytes of a page of memory, on systems with sysconf."""
    return os.sysconf("SC_PAGE_SIZE")
