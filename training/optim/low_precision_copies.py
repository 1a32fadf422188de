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
from torch.func import functional_call


class ShadowedOptimizer(torch.optim.Optimizer):
    """An optimizer whose parameters may have shadows, and that counts nonzeros as it steps.

    Attributes:
        shadows: Parameter to its shadow, a bfloat16 leaf of the same shape on the same device.
    """

    shadows: dict[Tensor, nn.Parameter]
    _counts: dict[Tensor, Tensor]

    def __init__(self, params: Any, defaults: dict[str, Any]) -> None:
        self.shadows = {}
        self._counts = {}
        super().__init__(params, defaults)

    def attach_shadows(self, parameters: Iterable[nn.Parameter]) -> None:
        """Give float32 parameters shadows, equal to them rounded to bfloat16."""
        for parameter in parameters:
            shadow = nn.Parameter(parameter.detach().to(torch.bfloat16, copy=True))
            self.shadows[parameter] = shadow

    def forget(self, parameter: Tensor) -> bool:
        """Let go of a parameter's shadow, gradient and count; whether it had a shadow."""
        parameter.grad = None
        self._counts.pop(parameter, None)
        return self.shadows.pop(parameter, None) is not None

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


class ShadowedNetwork(nn.Module):
    """A network that computes with shadows; its parameters are the tensors that get gradients.

    Args:
        network: Keeps its own parameters, modules and mode.
        shadows: Name of a parameter to the shadow that takes its place; may be empty.
    """

    def __init__(self, network: nn.Module, shadows: dict[str, nn.Parameter]) -> None:
        super().__init__()
        self._network = (network,)  # in a tuple, so that its own parameters are not registered
        self._shadows: dict[str, Tensor] = {**shadows}
        self.leaves = nn.ParameterList((dict(network.named_parameters()) | shadows).values())

    def forward(self, inputs: Tensor) -> Tensor:
        """The network's outputs."""
        outputs: Tensor = functional_call(self._network[0], self._shadows, (inputs,))
        return outputs


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
