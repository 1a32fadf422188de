"""Working copies: bfloat16 copies of float32 weights that the network computes with.

A forward pass with `torch.func.functional_call(network, working_copies, inputs)` uses them in place
of the weights, so nothing is cast, and their gradients come in bfloat16. The optimizer's pass reads
such a gradient, moves the float32 weight and writes both. The numbers are those of autocast,
which rounds weights and their gradients to bfloat16 too.
"""

from collections.abc import Callable, Iterable
from typing import Any, overload

import torch
from torch import Tensor, nn
from torch.func import functional_call


class MixedPrecisionOptimizer(torch.optim.Optimizer):
    """An optimizer whose parameters may have working copies, and that counts nonzeros as it steps.

    Attributes:
        working_copies: Parameter to its working copy, a bfloat16 leaf of the same shape and device.
    """

    working_copies: dict[Tensor, nn.Parameter]
    _counts: dict[Tensor, Tensor]

    def __init__(self, params: Any, defaults: dict[str, Any]) -> None:
        self.working_copies = {}
        self._counts = {}
        super().__init__(params, defaults)

    @overload
    def step(self, closure: None = None) -> None: ...

    @overload
    def step(self, closure: Callable[[], float]) -> float: ...

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """Take one step with every parameter that has a gradient.

        Args:
            closure: Computes the loss and its gradients anew, if given.

        Returns:
            The closure's loss, or None.

        Raises:
            ValueError: A gradient that the optimizer does not take; nothing has changed then.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        pairs = [(param, group) for group in self.param_groups for param in group["params"]]
        for param, _ in pairs:
            self._check_gradient(param, self.gradient_of(param))
        for param, group in pairs:
            gradient = self.gradient_of(param)
            if gradient is not None:
                self._step_parameter(param, gradient, group)
        return loss

    def _check_gradient(self, param: Tensor, gradient: Tensor | None) -> None:
        """Refuse by a ValueError what `_step_parameter` cannot take."""

    def _step_parameter(self, param: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        """Move one parameter and its working copy by the values of its group."""
        raise NotImplementedError

    def attach_working_copies(self, parameters: Iterable[nn.Parameter]) -> None:
        """Give float32 parameters working copies, equal to them rounded to bfloat16."""
        for parameter in parameters:
            working_copy = nn.Parameter(parameter.detach().to(torch.bfloat16, copy=True))
            self.working_copies[parameter] = working_copy

    def forget(self, parameter: Tensor) -> bool:
        """Let go of a parameter's working copy, gradient and count; whether it had one."""
        parameter.grad = None
        self._counts.pop(parameter, None)
        return self.working_copies.pop(parameter, None) is not None

    @torch.no_grad()
    def refresh_working_copies(self) -> None:
        """Round the parameters to their working copies anew, after a change from outside."""
        for parameter, working_copy in self.working_copies.items():
            working_copy.copy_(parameter)

    def gradient_of(self, parameter: Tensor) -> Tensor | None:
        """The gradient of a parameter: that of its working copy if it has one."""
        return self.working_copies.get(parameter, parameter).grad

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Clear the gradients of parameters and working copies."""
        super().zero_grad(set_to_none)
        for working_copy in self.working_copies.values():
            if set_to_none or working_copy.grad is None:
                working_copy.grad = None
            else:
                working_copy.grad.zero_()

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


class LowPrecisionNetwork(nn.Module):
    """Computes with working copies; its parameters are the tensors that get gradients.

    Args:
        network: Keeps its own parameters, modules and mode.
        working_copies: Name of a parameter to the working copy that takes its place; may be empty.
    """

    def __init__(self, network: nn.Module, working_copies: dict[str, nn.Parameter]) -> None:
        super().__init__()
        self._network = (network,)  # in a tuple, so that its own parameters are not registered
        self._working_copies: dict[str, Tensor] = {**working_copies}
        self.leaves = nn.ParameterList((dict(network.named_parameters()) | working_copies).values())

    def forward(self, inputs: Tensor) -> Tensor:
        """The network's outputs."""
        outputs: Tensor = functional_call(self._network[0], self._working_copies, (inputs,))
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
