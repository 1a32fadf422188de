"""One pass over memory for a step of an optimizer, by the best means that the device has.

On a CPU that is a kernel compiled by numba, on CUDA one by Triton. Where neither is there, or for
types and layouts that they do not take, the caller has a form of its own in plain torch. Kernels
write behind autograd's back, so a pass tells it of the change, as operations of torch do.
"""

import importlib
from functools import lru_cache
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.autograd.graph import increment_version

from training.kernels import bf16, optimizer_step
from training.kernels.backends import Backend, backend_name, run_split
from training.kernels.compiled import compile_kernels

LearningRate = float | Tensor
"""A number, or () on the parameters' device, which a CUDA graph needs to see a new value."""
_GRAIN = 2**16  # Weights that are worth a thread.
_NUMPY_TYPES = {torch.float32: np.float32, torch.float64: np.float64}
_BLOCK = 1024
_PLAIN = (Tensor, torch.nn.Parameter)  # The memory of other tensors may be anywhere.


def beta_lasso_pass(
    weights: Tensor,
    gradients: Tensor,
    working_copy: Tensor | None,
    *,
    lr: LearningRate,
    l1_coef: float,
    threshold: float,
) -> Tensor | int | None:
    """Algorithm 1 in one pass: `weights` and `working_copy` change in place.

    Every operation rounds on its own, so the result is `beta_lasso_reference_step` bit for bit.

    Args:
        weights: θ, float32 or float64, flat and contiguous.
        gradients: ∇f(θ), flat and contiguous: of the same type, or bfloat16 beside a working copy.
        working_copy: bfloat16, flat and contiguous, or None.
        lr: η.
        l1_coef: λ.
        threshold: βλ.

    Returns:
        The number of nonzeros after the step, or None if nothing was done: no kernel takes these.
    """
    backend = _backend_for(weights, gradients, working_copy)
    if backend == "torch":
        return None
    written = [weights] if working_copy is None else [weights, working_copy]
    if backend == "triton":
        numbers = (l1_coef, threshold)
        found = launch("beta_lasso", weights, gradients, working_copy, lr=lr, settings=numbers)
        increment_version(written)
        return found
    settings = _settings(weights, float(lr), l1_coef, threshold)
    kernels = _kernels()
    theta, gradient = _array(weights), _array(gradients)
    copy = None if working_copy is None else _array(working_copy)

    def step(start: int, stop: int) -> int:
        part = slice(start, stop)
        if copy is None:
            count: int = kernels.beta_lasso_step(theta[part], gradient[part], *settings)
        else:
            count = kernels.beta_lasso_copy_step(theta[part], gradient[part], copy[part], *settings)
        return count

    counts = run_split(step, len(theta), grain=_GRAIN)
    increment_version(written)
    return sum(counts)


def sgd_pass(
    weights: Tensor,
    gradients: Tensor,
    working_copy: Tensor | None,
    velocity: Tensor,
    *,
    lr: LearningRate,
    momentum: float,
    weight_decay: float,
) -> bool:
    """Velocity v ← μ v + (g + w θ), weights θ ← θ - η v, in one pass.

    As `beta_lasso_pass`, with a velocity of the weights' type that changes in place too.

    Returns:
        Whether it was done: False if no kernel takes these.
    """
    backend = _backend_for(weights, gradients, working_copy, velocity)
    if backend == "torch":
        return False
    if backend == "triton":
        numbers = (momentum, weight_decay)
        launch("sgd", weights, gradients, working_copy, velocity, lr=lr, settings=numbers)
    else:
        settings = _settings(weights, float(lr), momentum, weight_decay)
        kernels = _kernels()
        theta, gradient, speed = _array(weights), _array(gradients), _array(velocity)
        copy = None if working_copy is None else _array(working_copy)

        def step(start: int, stop: int) -> None:
            part = slice(start, stop)
            if copy is None:
                kernels.sgd_step(theta[part], gradient[part], speed[part], *settings)
            else:
                kernels.sgd_copy_step(
                    theta[part], gradient[part], copy[part], speed[part], *settings
                )

        run_split(step, len(theta), grain=_GRAIN)
    increment_version([weights, velocity, *([] if working_copy is None else [working_copy])])
    return True


def _backend_for(
    weights: Tensor, gradients: Tensor, working_copy: Tensor | None, velocity: Tensor | None = None
) -> Backend:
    """What takes these: flat plain tensors, of the types that a kernel has."""
    wide = low = weights.dtype
    fits = wide in _NUMPY_TYPES
    if working_copy is not None:
        low = torch.bfloat16
        fits = wide == torch.float32 and _is_flat(working_copy, low)
    fits = fits and _is_flat(weights, wide) and _is_flat(gradients, low)
    if velocity is not None:
        fits = fits and _is_flat(velocity, wide)
    return backend_name(weights.device) if fits else "torch"


def _is_flat(tensor: Tensor, dtype: torch.dtype) -> bool:
    is_plain = type(tensor) in _PLAIN and not tensor.is_neg()
    return is_plain and tensor.dtype == dtype and tensor.is_contiguous()


def _settings(weights: Tensor, *values: float) -> tuple[Any, ...]:
    kind = _NUMPY_TYPES[weights.dtype]
    return tuple(kind(value) for value in values)


def _array(tensor: Tensor) -> NDArray[Any]:
    tensor = tensor.detach()
    if tensor.dtype == torch.bfloat16:
        return tensor.view(torch.uint16).numpy()
    return tensor.numpy()


@lru_cache(maxsize=1)
def _kernels() -> SimpleNamespace:
    names = ["beta_lasso_step", "beta_lasso_copy_step", "sgd_step", "sgd_copy_step"]
    return compile_kernels([bf16, optimizer_step], names)


def launch(
    kernel: str,
    weights: Tensor,
    gradients: Tensor,
    working_copy: Tensor | None,
    *state: Tensor,
    lr: LearningRate,
    settings: tuple[float, float],
) -> Tensor:
    """Run a pass on CUDA, by Triton.

    Args:
        kernel: "beta_lasso", whose `settings` are λ and βλ, or "sgd", with μ and w.
        weights: As of `beta_lasso_pass` and `sgd_pass`.
        gradients: Likewise.
        working_copy: Likewise.
        *state: The velocity of "sgd".
        lr: η.
        settings: Two numbers.

    Returns:
        The number of nonzeros, int64 ().
    """
    count = torch.zeros((), dtype=torch.int64, device=weights.device)
    if weights.numel() == 0:  # a device takes no grid of 0
        return count
    grid = (-(-weights.numel() // _BLOCK),)
    getattr(_triton_kernels(), kernel)[grid](
        weights,
        gradients,
        weights if working_copy is None else working_copy,
        *state,
        _on_device(lr, weights),
        _constants(settings, weights.dtype, weights.device),
        count,
        weights.numel(),
        HAS_COPY=working_copy is not None,
        BLOCK=_BLOCK,
        enable_fp_fusion=False,  # every operation rounds on its own, as on a CPU
    )
    return count


def _on_device(lr: LearningRate, weights: Tensor) -> Tensor:
    """η, rounded to the weights' type as torch rounds a number that meets a tensor."""
    if isinstance(lr, Tensor):
        return lr.to(weights)  # its type and device
    return torch.full((), lr, dtype=weights.dtype, device=weights.device)


@lru_cache(maxsize=64)
def _constants(settings: tuple[float, float], dtype: torch.dtype, device: torch.device) -> Tensor:
    """Both numbers in the weights' type: as arguments they would be rounded to float32."""
    return torch.stack([torch.full((), value, dtype=dtype, device=device) for value in settings])


@lru_cache(maxsize=1)
def _triton_kernels() -> ModuleType:
    return importlib.import_module("training.kernels.triton_step")
