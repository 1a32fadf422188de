"""The device that `--device` names, and what to mind about arithmetic on it."""

import torch

from mdl.terminal import console
from mdl.terminal.options import Device
from training.run.precision import is_emulated
from training.spec.config import Precision


def choose_device(device: Device) -> torch.device:
    """CUDA where `auto` finds it, else the CPU.

    Raises:
        ValueError: `cuda` was asked for and there is none.
    """
    has_cuda = torch.cuda.is_available()
    if device == "cuda" and not has_cuda:
        raise ValueError("--device cuda: torch finds no CUDA device here; use --device cpu")
    return torch.device("cuda" if has_cuda and device != "cpu" else "cpu")


def say_if_emulated(precision: Precision, device: torch.device) -> None:
    """One line on stderr if products at this precision are emulated on this device."""
    if is_emulated(precision, device):
        console.stderr().print(
            f"{precision} is emulated on this processor (no AVX512_BF16, AMX or Arm bf16 "
            "instructions): slower than --precision fp32",
            markup=False,
        )
