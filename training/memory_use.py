"""How much memory this process uses, and giving back what it does not."""

import ctypes
import os
from pathlib import Path

import torch

from training.memory import page_size

_C_LIBRARY = ctypes.CDLL(None) if os.name == "posix" else None
_STATUS = Path("/proc/self/statm")


def used_memory(device: torch.device) -> int | None:
    """Bytes resident on a CPU, allocated by torch on CUDA; None where the system does not tell."""
    if device.type == "cuda":
        return torch.cuda.memory_allocated(device)
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
