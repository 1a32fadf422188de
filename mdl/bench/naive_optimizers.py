"""β-lasso as public code writes it: right, and many times slower than memory. The baseline.

Each function takes one step of Algorithm 1 on parameters that have a gradient, in place.
"""

from collections.abc import Sequence

import torch
from torch import Tensor


@torch.no_grad()
def step_by_indexing(
    params: Sequence[Tensor], *, lr: float, l1_coef: float, threshold: float
) -> None:
    """Temporaries, then a boolean index for what is cut: the usual form."""
    for param in params:
        step = _gradient(param) + l1_coef * torch.sign(param)
        param.copy_(param - lr * step)
        param[torch.abs(param) < threshold] = 0.0


@torch.no_grad()
def step_by_mask(params: Sequence[Tensor], *, lr: float, l1_coef: float, threshold: float) -> None:
    """In place where it is easy, then a product with a mask."""
    for param in params:
        param.sub_(lr * (_gradient(param) + l1_coef * torch.sign(param)))
        param.mul_((param.abs() >= threshold).to(param.dtype))


@torch.no_grad()
def step_by_foreach(
    params: Sequence[Tensor], *, lr: float, l1_coef: float, threshold: float
) -> None:
    """Operations on lists of tensors, one pass over all of them for each."""
    weights = list(params)
    steps = torch._foreach_sign(weights)
    torch._foreach_mul_(steps, l1_coef)
    torch._foreach_add_(steps, [_gradient(param) for param in weights])
    torch._foreach_mul_(steps, lr)
    torch._foreach_sub_(weights, steps)
    sizes = torch._foreach_abs(weights)
    masks = [(size >= threshold).to(size.dtype) for size in sizes]
    torch._foreach_mul_(weights, masks)


NAIVE_FORMS = {
    "temporaries, boolean index": step_by_indexing,
    "product with a mask": step_by_mask,
    "_foreach": step_by_foreach,
}


def _gradient(param: Tensor) -> Tensor:
    if param.grad is None:
        raise ValueError("a parameter has no gradient; run a backward pass first")
    return param.grad
