"""SGD with momentum and weight decay, as the paper's baselines use it, in one pass over memory.

v ← μ v + (∇f(θ) + w θ)
θ ← θ - η v
"""

from typing import Any

import torch
from torch import Tensor
from torch.optim.optimizer import ParamsT

from training.optim.fused_step import sgd_pass
from training.optim.working_copies import MixedPrecisionOptimizer, flatten_together


class MomentumSgd(MixedPrecisionOptimizer):
    """The steps of `torch.optim.SGD`, with working copies and, on demand, a count of nonzeros.

    Where a kernel takes the type, a step is one pass over memory and every operation rounds on its
    own; torch's may contract products with sums, so the two differ in the last digit.

    Args:
        params: Parameters, or groups of them.
        lr: η, a number >= 0 or a tensor () on the parameters' device, for CUDA graphs.
        momentum: μ, in [0, 1).
        weight_decay: w >= 0.

    >>> weight = torch.nn.Parameter(torch.tensor([1.0, 2.0]))
    >>> weight.grad = torch.tensor([0.5, 0.0])
    >>> MomentumSgd([weight], lr=0.5, momentum=0.5, weight_decay=0.5).step()
    >>> weight.tolist()
    [0.5, 1.5]
    """

    def __init__(
        self, params: ParamsT, *, lr: float = 0.1, momentum: float = 0.0, weight_decay: float = 0.0
    ) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    def _step_parameter(self, param: Tensor, grad: Tensor, group: dict[str, Any]) -> None:
        working_copy, state = self.working_copies.get(param), self.state[param]
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(param)
        params, grads = flatten_together(param, grad)
        _, velocity = flatten_together(param, state["momentum_buffer"])
        is_done = sgd_pass(
            params,
            grads,
            None if working_copy is None else flatten_together(param, working_copy)[1],
            velocity,
            lr=group["lr"],
            momentum=group["momentum"],
            weight_decay=group["weight_decay"],
        )
        if not is_done:
            velocity.mul_(group["momentum"]).add_(grads).add_(params, alpha=group["weight_decay"])
            params.sub_(velocity * group["lr"])
            if working_copy is not None:
                working_copy.copy_(param)

    def num_nonzeros(self, parameter: Tensor) -> Tensor | None:
        """As in `MixedPrecisionOptimizer`, counted when it is asked for: SGD makes no zeros."""
        if "momentum_buffer" not in self.state.get(parameter, {}):
            return None
        return torch.count_nonzero(parameter.detach())
