"""The device that `--device` names."""

import torch

from mdl.options import Device


def choose_device(device: Device) -> torch.device:
    """CUDA where `auto` finds it, else the CPU.

    Raises:
        ValueError: `cuda` was asked for and there is none.
    """
    has_cuda = torch.cuda.is_available()
    if device is Device.cuda and not has_cuda:
        raise ValueError("--device cuda: torch finds no CUDA device here; use --device cpu")
    return torch.device("cuda" if has_cuda and device is not Device.cpu else "cpu")
