"""What runs the products and supports of sparse weights."""

from importlib.util import find_spec
from typing import Literal

import torch

from training.kernels.compiled import can_compile

Backend = Literal["numba", "triton", "torch"]


def backend_name(device: torch.device) -> Backend:
    """What multiplies on a device: "numba", "triton", or "torch" for its own CSR products.

    Supports change by compiled kernels where that is "numba", and in plain torch elsewhere.
    """
    if device.type == "cpu" and can_compile():
        return "numba"
    if device.type == "cuda" and find_spec("triton") is not None:
        return "triton"
    return "torch"
