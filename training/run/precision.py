"""Which arithmetic a device's matrix products run fastest in: bfloat16 only where it has it."""

import os
import platform
from pathlib import Path

import torch

from training.spec.config import Precision

LIMITS = (
    "ONEDNN_MAX_CPU_ISA",
    "DNNL_MAX_CPU_ISA",
    "ATEN_CPU_CAPABILITY",
    "MKL_ENABLE_INSTRUCTIONS",
    "NUMBA_CPU_NAME",
    "NUMBA_CPU_FEATURES",
)
"""Environment variables that keep libraries from some of the processor's instructions."""

_CPU_INFO = Path("/proc/cpuinfo")
_AMPERE = (8, 0)
_ONEDNN_LIMITS = LIMITS[:2]
# The names that oneDNN knows, each with all the instructions of those before it.
_ONEDNN_ORDER = (
    "SSE41",
    "AVX",
    "AVX2",
    "AVX2_VNNI",
    "AVX2_VNNI_2",
    "AVX512_CORE",
    "AVX512_CORE_VNNI",
    "AVX512_CORE_BF16",
    "AVX512_CORE_FP16",
    "AVX512_CORE_AMX",
)
_NARROW = ("DEFAULT", "NO AVX", "AVX2")  # What torch calls an x86 processor without AVX-512.
_X86 = ("x86_64", "AMD64", "i386", "i686")


def choose_precision(device: torch.device) -> tuple[Precision, str]:
    """The precision of a run that was given none, and the reason in a few words.

    bf16 where the device multiplies bfloat16 matrices itself: CUDA from Ampere on, CPUs with
    AVX512_BF16 or AMX, Arm with its bf16 instructions. Emulated bfloat16 is slower than float32,
    so elsewhere it is fp32; on older CUDA devices it is fp16.
    """
    if device.type == "cuda":
        if torch.cuda.get_device_capability(device) >= _AMPERE:
            return "bf16", "this device has bfloat16"
        return "fp16", "this device has no bfloat16"
    instructions = bf16_instructions()
    if instructions:
        return "bf16", f"this CPU has {instructions}"
    return "fp32", "this CPU has no bfloat16 instructions"


def is_emulated(precision: Precision, device: torch.device) -> bool:
    """Whether products at this precision run as float32 with casts around it on this CPU."""
    return precision == "bf16" and device.type == "cpu" and not bf16_instructions()


def bf16_instructions() -> str:
    """The CPU's instructions for products of bfloat16 matrices by name, or nothing.

    Those that oneDNN or torch is kept from by the environment are not there.
    """
    if torch.cpu._is_amx_tile_supported() and _allows("AVX512_CORE_AMX"):
        return "AMX"
    if torch.cpu._is_avx512_bf16_supported() and _allows("AVX512_CORE_BF16"):
        return "AVX512_BF16"
    if _CPU_INFO.exists():
        for line in _CPU_INFO.read_text().splitlines():
            if line.startswith("Features") and "bf16" in line.split():
                return "Arm bf16"
    return ""


def vector_instructions() -> list[str]:
    """The CPU's instructions that products run on, by name; the limits of the environment count.

    The widest vectors, those for bfloat16 among them, then AMX.
    """
    widest = torch.backends.cpu.get_cpu_capability()
    if platform.machine() not in _X86:
        return [name for name in (widest, bf16_instructions()) if name]
    limit = _onednn_limit()
    if limit and _rank(limit) < _rank("AVX2" if widest in _NARROW else "AVX512_CORE"):
        return [limit]
    names = [widest]
    if torch.cpu._is_avx512_bf16_supported() and _allows("AVX512_CORE_BF16"):
        names = ["AVX512_BF16"]
    return [*names, "AMX"] if bf16_instructions() == "AMX" else names


def limits_in_effect() -> dict[str, str]:
    """Those of `LIMITS` that are set, with their values."""
    return {name: os.environ[name] for name in LIMITS if os.environ.get(name)}


def _allows(instructions: str) -> bool:
    """Whether neither oneDNN nor torch is kept from these instructions of oneDNN's order."""
    limit = _onednn_limit()
    if limit and _rank(limit) < _rank(instructions):
        return False
    return torch.backends.cpu.get_cpu_capability().upper() not in _NARROW


def _onednn_limit() -> str:
    """The name that oneDNN's instructions end with, or nothing; oneDNN ignores names of others."""
    given = next((os.environ[name] for name in _ONEDNN_LIMITS if os.environ.get(name)), "").upper()
    return given if given in _ONEDNN_ORDER else ""


def _rank(instructions: str) -> int:
    return _ONEDNN_ORDER.index(instructions)
