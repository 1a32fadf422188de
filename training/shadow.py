"""Shadows: bfloat16 copies of float32 weights that the network computes with.

A forward pass with `torch.func.functional_call(network, shadows, inputs)` uses them in place of
the weights, so nothing is cast, and their gradients come in bfloat16. The optimizer's pass reads
such a gradient, moves the float32 weight and writes both. The numbers are those of autocast,
which rounds weights and their gradients to bfloat16 too.
"""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn


class ShadowedOptimizer(torch.optim.Optimizer):
    """An optimizer whose parameters may have shadows, and that counts nonzeros as it steps.

    Attributes:
        shadows: Parameter to its shadow, a bfloat16 leaf of the same shape on the same device.
    """

    shadows: dict[Tensor, Tensor]
    _counts: dict[Tensor, Tensor]

    def __init__(self, params: Any, defaults: dict[str, Any]) -> None:
        self.shadows = {}
        self._counts = {}
        super().__init__(params, defaults)

    def attach_shadows(self, parameters: Iterable[nn.Parameter]) -> None:
        """Give float32 parameters shadows, equal to them rounded to bfloat16."""
        for parameter in parameters:
            shadow = parameter.detach().to(torch.bfloat16, copy=True)
            self.shadows[parameter] = shadow.requires_grad_()

    @torch.no_grad()
    def refresh_shadows(self) -> None:
        """Round the parameters to their shadows anew, after they were changed from outside."""
        for parameter, shadow in self.shadows.items():
            shadow.copy_(parameter)

    def gradient_of(self, parameter: Tensor) -> Tensor | None:
        """The gradient of a parameter: that of its shadow if it has one."""
        return self.shadows.get(parameter, parameter).grad

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Clear the gradients of parameters and shadows."""
        super().zero_grad(set_to_none)
        for shadow in self.shadows.values():
            if set_to_none or shadow.grad is None:
                shadow.grad = None
            else:
                shadow.grad.zero_()

    def num_nonzeros(self, parameter: Tensor) -> Tensor | None:
        """The number of nonzeros after its last step, int64 () on the parameter's device.

        None where the parameter has not been stepped; NaN is a nonzero.
        """
        return self._counts.get(parameter)

    def set_num_nonzeros(self, parameter: Tensor, count: Tensor | int) -> None:
        """Note the number of nonzeros of a parameter that has just been stepped."""
        if isinstance(count, int):
            count = torch.tensor(count)
        self._counts[parameter] = count


def flatten_together(param: Tensor, grad: Tensor) -> tuple[Tensor, Tensor]:
    """Views of both with one order of elements: flat in memory order if the parameter is dense.

    A parameter with gaps between its elements keeps its shape, and is cut along its first
    dimension.
    """
    order = sorted(range(param.dim()), key=param.stride, reverse=True)
    params, grads = param.permute(order), grad.permute(order)
    if params.is_contiguous():
        return params.view(-1), grads.reshape(-1)
    return params, grads
