"""Lower instructions than the processor has, by the environment of a new process.

oneDNN, MKL, torch's own kernels and numba each have a limit of their own, read at start. A limit
above what the processor has changes nothing.
"""

import os
import platform
from pathlib import Path

_HASWELL = "+avx2,+fma,+f16c,+bmi,+bmi2,+lzcnt,+popcnt,+movbe"
LEVELS: dict[str, dict[str, str]] = {
    "own": {},
    "avx512-bf16": {"ONEDNN_MAX_CPU_ISA": "AVX512_CORE_BF16"},
    "avx512": {"ONEDNN_MAX_CPU_ISA": "AVX512_CORE"},
    "avx2": {
        "ONEDNN_MAX_CPU_ISA": "AVX2",
        "ATEN_CPU_CAPABILITY": "avx2",
        "MKL_ENABLE_INSTRUCTIONS": "AVX2",
        "NUMBA_CPU_NAME": "haswell",
        "NUMBA_CPU_FEATURES": _HASWELL,
    },
    "sse4": {
        "ONEDNN_MAX_CPU_ISA": "SSE41",
        "ATEN_CPU_CAPABILITY": "default",
        "MKL_ENABLE_INSTRUCTIONS": "SSE4_2",
        "NUMBA_CPU_NAME": "nehalem",
        "NUMBA_CPU_FEATURES": "+sse4.2,+popcnt",
    },
}
"""Level to its environment; "own" has none."""
_HEAP_CHECKER = "libc_malloc_debug.so.0"


def known_levels() -> list[str]:
    """The levels that this kind of processor has; numba's target must be of its kind."""
    return list(LEVELS) if platform.machine() in ("x86_64", "AMD64") else ["own"]


def level_environment(level: str) -> dict[str, str]:
    """The environment of a process at a level.

    In it glibc checks its heap where it can, and fills what it hands out with large numbers: memory
    that is read before it is written shows.

    Raises:
        KeyError: No such level.
    """
    environment = dict(os.environ) | LEVELS[level]
    if any(path.exists() for path in _checker_paths()):
        environment |= {"MALLOC_CHECK_": "3", "LD_PRELOAD": _HEAP_CHECKER}
        environment |= {"MALLOC_PERTURB_": "128"}  # bytes 0x7f: 3.4e38 in bfloat16 and float32
    return environment


def _checker_paths() -> list[Path]:
    folders = ("/lib", "/lib64", "/usr/lib", f"/lib/{platform.machine()}-linux-gnu")
    return [Path(folder, _HEAP_CHECKER) for folder in folders]
