"""The fused steps of the optimizers as Triton kernels, for CUDA.

Fusion of products and sums is off, so that every operation rounds on its own, as on a CPU. The
learning rate is read from memory: a CUDA graph that is replayed sees its new value.
"""

import importlib
from functools import lru_cache
from types import ModuleType

import torch
from torch import Tensor

BLOCK = 1024


def beta_lasso_pass(
    weights: Tensor,
    gradients: Tensor,
    working_copy: Tensor | None,
    *,
    lr: float | Tensor,
    settings: tuple[float, float],
) -> Tensor:
    """As `training.optim.fused_step.beta_lasso_pass`; `settings` are λ and βλ."""
    count, kernels = _begin(weights), _kernels()
    if weights.numel() == 0:  # a device takes no grid of 0
        return count
    kernels.beta_lasso[_grid(weights)](
        weights,
        gradients,
        weights if working_copy is None else working_copy,
        _on_device(lr, weights),
        _constants(settings, weights),
        count,
        weights.numel(),
        HAS_COPY=working_copy is not None,
        BLOCK=BLOCK,
        enable_fp_fusion=False,
    )
    return count


def sgd_pass(
    weights: Tensor,
    gradients: Tensor,
    working_copy: Tensor | None,
    velocity: Tensor,
    *,
    lr: float | Tensor,
    settings: tuple[float, float],
) -> Tensor:
    """As `training.optim.fused_step.sgd_pass`; `settings` are momentum and weight decay."""
    count, kernels = _begin(weights), _kernels()
    if weights.numel() == 0:  # a device takes no grid of 0
        return count
    kernels.sgd[_grid(weights)](
        weights,
        gradients,
        weights if working_copy is None else working_copy,
        velocity,
        _on_device(lr, weights),
        _constants(settings, weights),
        count,
        weights.numel(),
        HAS_COPY=working_copy is not None,
        BLOCK=BLOCK,
        enable_fp_fusion=False,
    )
    return count


def _begin(weights: Tensor) -> Tensor:
    return torch.zeros((), dtype=torch.int64, device=weights.device)


def _grid(weights: Tensor) -> tuple[int]:
    return (-(-weights.numel() // BLOCK),)


def _on_device(lr: float | Tensor, weights: Tensor) -> Tensor:
    """η, rounded to the weights' type as torch rounds a number that meets a tensor."""
    if isinstance(lr, Tensor):
        return lr.to(weights.dtype)
    return torch.full((), lr, dtype=weights.dtype, device=weights.device)


@lru_cache(maxsize=64)
def _constant_tensor(
    settings: tuple[float, float], dtype: torch.dtype, device: torch.device
) -> Tensor:
    return torch.stack([torch.full((), value, dtype=dtype, device=device) for value in settings])


def _constants(settings: tuple[float, float], weights: Tensor) -> Tensor:
    """Both numbers in the weights' type: as arguments they would be rounded to float32."""
    return _constant_tensor(settings, weights.dtype, weights.device)


@lru_cache(maxsize=1)
def _kernels() -> ModuleType:
    return importlib.import_module("training.kernels.triton_step")
