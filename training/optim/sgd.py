"""SGD with momentum and weight decay, as the paper's baselines use it, in one pass over memory.

v ← μ v + (∇f(θ) + w θ)
θ ← θ - η v
"""

from typing import Any

import torch
from torch import Tensor
from torch.optim.optimizer import ParamsT

from training.optim.fused_step import sgd_pass
from training.optim.working_copies import MixedPrecisionOptimizer, rate_of


class MomentumSgd(MixedPrecisionOptimizer):
    """The steps of `torch.optim.SGD`, with working copies and, on demand, a count of nonzeros.

    Where a kernel takes the type, a step is one pass over memory and every operation rounds on its
    own; torch's may contract products with sums, so the two differ in the last digit.

    Args:
        params: Parameters, or groups of them.
        lr: η, a finite number >= 0 or a tensor of one on the parameters' device, for CUDA graphs.
        momentum: μ, finite and >= 0; below 1 for a velocity that does not grow.
        weight_decay: w, finite and >= 0.
        maximize: Whether to climb, with -∇f in place of ∇f.
        **flags: `foreach`, `fused` and `capturable` as torch's optimizers have them change nothing
            here; `differentiable`, `dampening` and `nesterov` must be False or 0.

    Raises:
        ValueError: A value outside its range, or parameters that torch refuses.

    >>> weight = torch.nn.Parameter(torch.tensor([1.0, 2.0]))
    >>> weight.grad = torch.tensor([0.5, 0.0])
    >>> MomentumSgd([weight], lr=0.5, momentum=0.5, weight_decay=0.5).step()
    >>> weight.tolist()
    [0.5, 1.5]
    """

    SETTINGS = ("lr", "momentum", "weight_decay")
    REFUSED = ("differentiable", "dampening", "nesterov")
    DTYPES = (*MixedPrecisionOptimizer.DTYPES, torch.complex64, torch.complex128)

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 0.1,
        momentum: float = 0.0,
        *,
        weight_decay: float = 0.0,
        maximize: bool = False,
        **flags: float | None,
    ) -> None:
        settings = {"lr": lr, "momentum": momentum, "weight_decay": weight_decay}
        super().__init__(params, settings | {"maximize": maximize}, flags)

    def _state_of(self, param: Tensor) -> tuple[Tensor, ...]:
        state = self.state[param]
        if state.get("momentum_buffer") is None:  # torch's SGD notes None without momentum
            state["momentum_buffer"] = torch.zeros_like(param)
        return (state["momentum_buffer"],)

    def _step_flat(
        self,
        weights: Tensor,
        gradients: Tensor,
        working_copy: Tensor | None,
        *state: Tensor,
        group: dict[str, Any],
    ) -> None:
        (velocity,), lr = state, rate_of(group)
        momentum, decay = float(group["momentum"]), float(group["weight_decay"])
        if not sgd_pass(
            weights, gradients, working_copy, velocity, lr=lr, momentum=momentum, weight_decay=decay
        ):
            velocity.mul_(momentum).add_(torch.add(gradients, weights, alpha=decay))
            if isinstance(lr, Tensor):
                weights.sub_(velocity * lr)
            else:
                weights.sub_(velocity, alpha=lr)
            if working_copy is not None:
                working_copy.copy_(weights)

    def num_nonzeros(self, parameter: Tensor) -> Tensor | None:
        """As in `MixedPrecisionOptimizer`, counted when it is asked for: SGD makes no zeros."""
        if "momentum_buffer" not in self.state.get(parameter, {}):
            return None
        return torch.count_nonzero(parameter.detach())
