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
from torch._compile import _disable_dynamo
from torch.autograd.graph import increment_version
from torch.distributed.tensor import DTensor
from torch.func import functional_call

from training.errors import ConfigError
from training.optim.fused_step import LearningRate
from training.system.checks import plain_nonnegative


class MixedPrecisionOptimizer(torch.optim.Optimizer):
    """An optimizer whose parameters may have working copies, and that counts nonzeros as it steps.

    It copies, pickles, saves and loads as torch's own do. A step is a change in place, after which
    autograd refuses a backward pass that needs the weights of before. `torch.compile` leaves it as
    it is. Of a DTensor (FSDP2, tensor parallel) each rank moves its own part.

    Args:
        params: Parameters, or groups of them.
        settings: Values of `SETTINGS`, numbers >= 0, and "maximize", whether to climb.
        flags: Of torch's optimizers: "foreach", "fused" and "capturable" choose among forms of a
            step, and change nothing here, as there is one. Those of `REFUSED` must be False or 0.

    Attributes:
        working_copies: Parameter to its working copy, a bfloat16 leaf of the same shape and device.

    Raises:
        TypeError: A flag of another name.
        ValueError: A value outside its range, or parameters that torch refuses.
    """

    SETTINGS: tuple[str, ...] = ("lr",)
    REFUSED: tuple[str, ...] = ("differentiable",)
    DTYPES: tuple[torch.dtype, ...] = (torch.float16, torch.bfloat16, torch.float32, torch.float64)

    working_copies: dict[Tensor, nn.Parameter]
    _counts: dict[Tensor, Tensor | int]

    def __init__(self, params: Any, settings: dict[str, Any], flags: dict[str, Any]) -> None:
        for name in flags:
            if name not in ("foreach", "fused", "capturable", *self.REFUSED):
                raise TypeError(f"{type(self).__name__} has no setting {name!r}")
        self.working_copies = {}
        self._counts = {}
        super().__init__(params, self._plain(settings | flags))

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group; values that it does not give are those of the constructor.

        Raises:
            ValueError: A value outside its range, or parameters that torch refuses.
        """
        if isinstance(param_group, dict):  # what is not, torch refuses
            param_group.update(self._plain({**self.defaults, **param_group}))
        super().add_param_group(param_group)

    def __getstate__(self) -> dict[str, Any]:
        own = {"working_copies": self.working_copies, "_counts": self._counts}
        return super().__getstate__() | own

    def __setstate__(self, state: dict[str, Any]) -> None:
        for group in state["param_groups"]:  # copied, unpickled, or of a state dict
            group.update(self._plain(group))
        super().__setstate__(state)

    def _plain(self, group: dict[str, Any]) -> dict[str, Any]:
        """The settings of a group as plain numbers; a learning rate may stay a tensor.

        Raises:
            ValueError: One is missing or outside its range, or a flag is refused.
        """
        kind = type(self).__name__
        settings: dict[str, Any] = {"maximize": bool(group.get("maximize", False))}
        for name in self.SETTINGS:
            if name not in group:
                raise ValueError(f"a parameter group lacks {name}; it is not one of {kind}'s")
            value = settings[name] = group[name]
            is_rate = name == "lr" and isinstance(value, Tensor) and value.numel() == 1
            if not is_rate:
                settings[name] = plain_nonnegative(name, value)
            elif value.device.type == "cpu":  # that of a device is not waited for
                plain_nonnegative(name, value)
        for name in self.REFUSED:
            if group.get(name):
                rule = f"{{{name}}} must be {{!r}}: {{}} has no such step"
                raise ConfigError.naming(rule, type(group[name])(), kind)
        return settings

    @property
    def _step_supports_amp_scaling(self) -> bool:
        """Asked by `torch.amp.GradScaler`, which does not see the gradients of working copies."""
        if self.working_copies:
            raise ValueError("bfloat16 working copies need no loss scaling: leave out GradScaler")
        return False

    @overload
    def step(self, closure: None = None) -> None: ...

    @overload
    def step(self, closure: Callable[[], float]) -> float: ...

    @_disable_dynamo
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
        moved = [
            (param, gradient, group)
            for group in self.param_groups
            for param in group["params"]
            if (gradient := self.gradient_of(param)) is not None
        ]
        for param, gradient, _ in moved:
            self._check(param, gradient)
        for param, gradient, group in moved:
            self._move(param, -gradient if group["maximize"] else gradient, group)
        return loss

    def _check(self, param: Tensor, gradient: Tensor) -> None:
        """Refuse by a ValueError what `_move` cannot take."""
        kind = type(self).__name__
        for what, tensor in (("parameters", param), ("gradients", gradient)):
            if tensor.layout != torch.strided:
                raise ValueError(
                    f"{kind} takes dense {what}, not {tensor.layout}; it must move every "
                    "weight (for torch.nn.Embedding: sparse=False)"
                )
        if param.dtype not in self.DTYPES:
            names = ", ".join(str(dtype).removeprefix("torch.") for dtype in self.DTYPES)
            way_out = "keep its master weight in float32"
            if param.is_complex():
                way_out = "split a complex one with torch.view_as_real"
            raise ValueError(f"{kind} takes parameters of {names}, not {param.dtype}; {way_out}")
        if isinstance(param, DTensor) and any(each.is_partial() for each in param.placements):
            raise ValueError(f"{kind} takes a DTensor that is sharded or replicated, not partial")

    def _move(self, param: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        """Move one parameter with its working copy and state; of a DTensor this rank's part."""
        tensors = [param, gradient, *self._state_of(param)]
        has_copy = param in self.working_copies
        if has_copy:
            tensors.append(self.working_copies[param])
        if isinstance(param, DTensor):
            increment_version([param, *tensors[2:]])  # their parts are what is written
            tensors = [
                each.redistribute(param.device_mesh, param.placements).to_local()
                for each in tensors
                if isinstance(each, DTensor)
            ]
        weights, gradients, *others = flatten_together(*tensors)
        working_copy = others.pop() if has_copy else None
        count = self._step_flat(weights, gradients, working_copy, *others, group=group)
        if count is not None:
            self._counts[param] = count

    def _state_of(self, param: Tensor) -> tuple[Tensor, ...]:
        """What a step changes beside the parameter, tensors of its shape."""
        return ()

    def _step_flat(
        self,
        weights: Tensor,
        gradients: Tensor,
        working_copy: Tensor | None,
        *state: Tensor,
        group: dict[str, Any],
    ) -> Tensor | int | None:
        """Take the step in place on views with one order of elements, as `flatten_together` gives.

        Returns:
            The number of nonzeros after it, if it was counted.
        """
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

    @_disable_dynamo
    def zero_grad(self, set_to_none: bool = True) -> None:
        """Clear the gradients of parameters and working copies."""
        super().zero_grad(set_to_none)
        for working_copy in self.working_copies.values():
            if set_to_none or working_copy.grad is None:
                working_copy.grad = None
            else:
                working_copy.grad = working_copy.grad.detach().zero_()

    def num_nonzeros(self, parameter: Tensor) -> Tensor | None:
        """The number of nonzeros after its last step, int64 ().

        None where the parameter has not been stepped; NaN is a nonzero.
        """
        count = self._counts.get(parameter)
        return torch.tensor(count, device="cpu") if isinstance(count, int) else count


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


def flatten_together(param: Tensor, gradient: Tensor, *written: Tensor) -> list[Tensor]:
    """Views of all with one order of elements: flat in memory order where all can be.

    The gradient may be a copy, as it is only read. Where the parameter or what is written beside it
    has gaps between its elements, or another order, all keep their number of dimensions.
    """
    tensors = [param, gradient, *written]
    if not param.is_contiguous():
        order = sorted(range(param.dim()), key=param.stride, reverse=True)
        tensors = [each.permute(order) for each in tensors]
    if all([each.is_contiguous() for each in (tensors[0], *tensors[2:])]):  # noqa: C419  # faster
        return [each.reshape(-1) for each in tensors]
    return tensors


def rate_of(group: dict[str, Any]) -> LearningRate:
    """The learning rate of a group: a number, or a tensor () where it lies on a device."""
    lr = group["lr"]
    if not isinstance(lr, Tensor):
        return float(lr)
    return lr.item() if lr.device.type == "cpu" else lr.detach().reshape(())
