"""β-lasso, Algorithm 1 of the paper, as a `torch.optim.Optimizer`.

    θ ← θ - η (∇f(θ) + λ sign(θ))
    θ ← θ · 1[|θ| ≥ βλ]

The sign is that of θ before the step, and sign(0) = 0. The threshold is βλ; the learning rate
does not scale it. A weight at zero leaves it only when |η ∂f/∂θ| ≥ βλ.
"""

from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd
from torch.optim.optimizer import ParamsT

from training.networks.layers import LocallyConnected2d
from training.optim.fused_step import LearningRate, beta_lasso_pass
from training.optim.working_copies import MixedPrecisionOptimizer, flatten_together
from training.spec.architectures import NetworkSpec
from training.system.checks import check_nonnegative

# A buffer this size, with as much of the parameter and of the gradient, stays in a CPU's cache
# between the passes of a step. An accelerator takes bigger bites, to keep launches few.
_CPU_BUFFER_BYTES = 4 * 2**20
_DEVICE_BUFFER_BYTES = 64 * 2**20


class BetaLasso(MixedPrecisionOptimizer):
    """Gradient descent with an L1 penalty and a hard threshold β times as high.

    Takes every floating-point parameter, each group with its own `lr`, `l1_coef` and `beta`. A
    group with l1_coef = 0 gets plain gradient descent: use that for biases and normalisation, as
    `beta_lasso_groups` does. There is no momentum and no state per parameter. Parameters
    without a gradient stay untouched: they are neither shrunk nor thresholded. Those with a
    working copy (`attach_working_copies`) step by its bfloat16 gradient, and it follows.

    A step is one pass over memory (`training.optim.fused_step`) where a kernel takes the type.
    Every operation rounds on its own, to the parameter's type: none is contracted with another. So
    the result is the same bit for bit as `beta_lasso_reference_step`, on any layout and device. A
    weight that is cut becomes +0; NaN stays NaN, so that a diverged run can be seen.

    Args:
        params: Parameters, or groups of them.
        lr: η, finite and >= 0, or a tensor () on the parameters' device, for CUDA graphs. The paper
            starts a cosine schedule at 0.1.
        l1_coef: λ, finite and >= 0. The paper tries 1e-6 to 2e-5, higher on layers that correspond
            to convolutions than on the fully-connected head.
        beta: β, finite and >= 0. The paper takes 50; 0 never cuts a weight, 1 cuts at λ.

    Raises:
        ValueError: A value outside its range, or parameters that torch refuses.

    >>> weight = torch.nn.Parameter(torch.tensor([1.0, 0.25, -0.5, 0.0]))
    >>> weight.grad = torch.tensor([0.0, 0.0, 0.0, 4.0])
    >>> BetaLasso([weight], lr=0.125, l1_coef=0.5, beta=0.75).step()
    >>> weight.tolist()
    [0.9375, 0.0, -0.4375, -0.5]
    """

    def __init__(
        self, params: ParamsT, lr: float = 0.1, l1_coef: float = 1e-5, beta: float = 50.0
    ) -> None:
        super().__init__(params, {"lr": lr, "l1_coef": l1_coef, "beta": beta})

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group; values that it does not give are those of the constructor.

        Raises:
            ValueError: A value outside its range, or parameters that torch refuses.
        """
        _check_group({**self.defaults, **param_group})
        super().add_param_group(param_group)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over the groups' values from another `BetaLasso` with groups of the same sizes.

        Raises:
            ValueError: The state is another optimizer's, or a value is outside its range.
        """
        for group in state_dict["param_groups"]:
            _check_group(group)
        super().load_state_dict(state_dict)

    def _check_gradient(self, param: Tensor, gradient: Tensor | None) -> None:
        if gradient is None:
            return
        if gradient.layout != torch.strided:
            raise ValueError(
                f"BetaLasso takes dense gradients, not {gradient.layout}; it must move every "
                "weight (for torch.nn.Embedding: sparse=False)"
            )
        if not param.is_floating_point():
            raise ValueError(
                f"BetaLasso takes real floating-point parameters, not {param.dtype}; "
                "split a complex one with torch.view_as_real"
            )

    def _step_parameter(self, param: Tensor, grad: Tensor, group: dict[str, Any]) -> None:
        working_copy = self.working_copies.get(param)
        params, grads = flatten_together(param, grad)
        threshold = group["beta"] * group["l1_coef"]
        count = beta_lasso_step_(
            params,
            grads,
            None if working_copy is None else flatten_together(param, working_copy)[1],
            lr=group["lr"],
            l1_coef=group["l1_coef"],
            threshold=threshold,
        )
        self.set_num_nonzeros(param, count)


def beta_lasso_groups(
    model: nn.Module, *, l1_conv: float, l1_fc: float, beta: float
) -> list[dict[str, Any]]:
    """Parameter groups of `BetaLasso` with a λ of their own for convolutional and fc layers.

    A network of the paper is grouped by its table of layers, so that a dense layer that stands for
    a convolution is "conv". In any other model the weights of convolutions and locally connected
    layers are "conv" and those of `nn.Linear` are "fc". All else is "rest": biases, normalisation,
    embeddings, and the weights of modules that are neither. The rest is neither shrunk nor
    thresholded. A weight that two layers share goes by the first of them.

    Args:
        model: Any module; wrappers around a network (compiled, data parallel) are looked through.
        l1_conv: λ of "conv", finite and >= 0.
        l1_fc: λ of "fc", finite and >= 0.
        beta: β of both, finite and >= 0.

    Returns:
        Groups with keys "name", "params", "l1_coef" and "beta", in the order conv, fc, rest. They
        hold every parameter that asks for a gradient exactly once; empty groups are left out.

    Raises:
        ValueError: A value outside its range, or a model with nothing to train.

    >>> model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Flatten(), nn.Linear(8, 2))
    >>> groups = beta_lasso_groups(model, l1_conv=2e-5, l1_fc=1e-5, beta=50)
    >>> [(group["name"], len(group["params"]), group["l1_coef"]) for group in groups]
    [('conv', 1, 2e-05), ('fc', 1, 1e-05), ('rest', 4, 0.0)]
    """
    for name, value in (("l1_conv", l1_conv), ("l1_fc", l1_fc), ("beta", beta)):
        check_nonnegative(name, value)
    names = _weight_groups(model)
    members: dict[str, list[Tensor]] = {"conv": [], "fc": [], "rest": []}
    for parameter in model.parameters():
        if parameter.requires_grad:
            members[names.get(id(parameter), "rest")].append(parameter)
    if not any(members.values()):
        raise ValueError(f"{type(model).__name__} has no parameter that asks for a gradient")
    values = {"conv": (l1_conv, beta), "fc": (l1_fc, beta), "rest": (0.0, 0.0)}
    return [
        {"name": name, "params": params, "l1_coef": values[name][0], "beta": values[name][1]}
        for name, params in members.items()
        if params
    ]


def _weight_groups(model: nn.Module) -> dict[int, str]:
    """Group of every weight that has one, by the identity of the parameter."""
    groups: dict[int, str] = {}
    for module in model.modules():  # Parents come first, so a table goes before the layers' types.
        spec = getattr(module, "spec", None)
        if isinstance(spec, NetworkSpec):
            for layer in spec.layers:
                groups.setdefault(id(module.get_parameter(f"{layer.name}.weight")), layer.group)
        elif isinstance(module, _ConvNd | LocallyConnected2d | nn.Linear):
            weight = module._parameters.get("weight")  # None where it is parametrised.
            if weight is not None:
                name = "fc" if isinstance(module, nn.Linear) else "conv"
                groups.setdefault(id(weight), name)
    return groups


@torch.no_grad()
def beta_lasso_reference_step(
    param: Tensor, grad: Tensor, *, lr: float, l1_coef: float, beta: float
) -> Tensor:
    """One step of Algorithm 1 as the paper writes it: slow, and what `BetaLasso` is tested against.

    λ and βλ are rounded to the parameter's type, and every operation rounds its result. Adding
    zero turns the -0 that the indicator makes of a negative weight into 0.

    Args:
        param: θ, floating point, any shape.
        grad: ∇f(θ), the same shape.
        lr: η.
        l1_coef: λ.
        beta: β.

    Returns:
        The new θ; `param` stays as it is.
    """
    threshold = torch.tensor(beta * l1_coef, dtype=param.dtype, device=param.device)
    step = grad.to(param.dtype) + l1_coef * torch.sign(param)
    moved = param - lr * step
    return moved * (moved.abs() >= threshold) + 0.0


def beta_lasso_step_(
    weights: Tensor,
    gradients: Tensor,
    working_copy: Tensor | None,
    *,
    lr: LearningRate,
    l1_coef: float,
    threshold: float,
) -> Tensor | int:
    """Take one step of Algorithm 1 in place, in one pass where a kernel takes these tensors.

    Args:
        weights: θ, floating point.
        gradients: ∇f(θ), the same shape.
        working_copy: bfloat16 of the same shape, which becomes the new θ rounded; or None.
        lr: η.
        l1_coef: λ.
        threshold: βλ.

    Returns:
        The number of nonzeros after the step.
    """
    count = beta_lasso_pass(
        weights, gradients, working_copy, lr=lr, l1_coef=l1_coef, threshold=threshold
    )
    if count is not None:
        return count
    _step_in_chunks(weights, gradients, lr, l1_coef, threshold)
    if working_copy is not None:
        working_copy.copy_(weights)
    return torch.count_nonzero(weights)


def _step_in_chunks(
    params: Tensor, grads: Tensor, lr: LearningRate, l1_coef: float, threshold: float
) -> None:
    """Take the step in place in plain torch, in chunks that stay in the cache between its passes.

    Args:
        params: θ, floating point, flat or of any shape, of any layout.
        grads: ∇f(θ), the same shape.
        lr: η.
        l1_coef: λ.
        threshold: βλ.
    """
    grads = grads.to(params.dtype)
    # λ sign(θ) is exact once λ is rounded, so that add(alpha=) has nothing to fuse.
    l1_coef = _round(l1_coef, params.dtype)
    cut = _largest_below(threshold, params.dtype)
    num_bytes = _CPU_BUFFER_BYTES if params.device.type == "cpu" else _DEVICE_BUFFER_BYTES
    chunk_size = num_bytes // params.element_size()
    buffer = torch.empty_like(params.narrow(0, 0, min(chunk_size, len(params))))
    chunks = zip(torch.split(params, chunk_size), torch.split(grads, chunk_size), strict=True)
    for theta, gradient in chunks:
        step = buffer.narrow(0, 0, len(theta))
        torch.sign(theta, out=step)
        torch.add(gradient, step, alpha=l1_coef, out=step)
        step.mul_(lr)
        theta.sub_(step)
        torch.hardshrink(theta, cut, out=theta)


@lru_cache(maxsize=256)
def _round(value: float, dtype: torch.dtype) -> float:
    """The nearest number of a floating-point type."""
    return torch.tensor(value, dtype=dtype).item()


@lru_cache(maxsize=256)
def _largest_below(threshold: float, dtype: torch.dtype) -> float:
    """The largest number of the type below the (rounded) threshold >= 0; 0 for a threshold of 0.

    hardshrink keeps |θ| > cut, and |θ| ≥ t is |θ| > the number below t.

    >>> _largest_below(1.0, torch.bfloat16)
    0.99609375
    """
    rounded = torch.tensor(threshold, dtype=dtype)
    bits = rounded.view({2: torch.int16, 4: torch.int32, 8: torch.int64}[rounded.element_size()])
    return (bits - (bits > 0).to(bits.dtype)).view(dtype).item()


def _check_group(group: dict[str, Any]) -> None:
    for name in ("lr", "l1_coef", "beta"):
        if name not in group:
            raise ValueError(f"a parameter group lacks {name}; it is not one of BetaLasso's")
        on_device = name == "lr" and isinstance(group[name], Tensor) and group[name].dim() == 0
        if not on_device:  # its value is not waited for
            check_nonnegative(name, group[name])
