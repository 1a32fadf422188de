"""Which arithmetic a device's matrix products run fastest in: bfloat16 only where it has it."""

from pathlib import Path

import torch

from training.config import Precision

_CPU_INFO = Path("/proc/cpuinfo")
_AMPERE = (8, 0)


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


def bf16_instructions() -> str:
    """The CPU's instructions for products of bfloat16 matrices by name, or nothing."""
    if torch.cpu._is_amx_tile_supported():
        return "AMX"
    if torch.cpu._is_avx512_bf16_supported():
        return "AVX512_BF16"
    if _CPU_INFO.exists():
        for line in _CPU_INFO.read_text().splitlines():
            if line.startswith("Features") and "bf16" in line.split():
                return "Arm bf16"
    return ""
