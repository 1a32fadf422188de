"""What runs the products and supports of sparse weights."""

from typing import Literal

import torch

from training.kernels.compiled import can_compile

Backend = Literal["numba", "torch"]


def backend_name(device: torch.device) -> Backend:
    """Compiled kernels ("numba") on a CPU, or torch's own CSR products ("torch")."""
    return "numba" if device.type == "cpu" and can_compile() else "torch"
