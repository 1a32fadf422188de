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
from training.optim.working_copies import MixedPrecisionOptimizer, rate_of
from training.spec.architectures import NetworkSpec
from training.system.checks import plain_nonnegative

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

    It does what torch's own optimizers do: it copies and pickles, autograd sees its steps, and
    `torch.compile`, FSDP2, schedules, hooks and `GradScaler` go with it. The threshold acts at
    lr = 0 too, so that also the step by which `torch.distributed.checkpoint.state_dict` asks for
    the state of an optimizer without gradients cuts the weights below it.

    A step is one pass over memory (`training.optim.fused_step`) where a kernel takes the type.
    Every operation rounds on its own, to the parameter's type: none is contracted with another. So
    the result is the same bit for bit as `beta_lasso_reference_step`, on any layout and device. A
    weight that is cut becomes +0; NaN stays NaN, so that a diverged run can be seen.

    Args:
        params: Parameters, or groups of them.
        lr: η, finite and >= 0, or a tensor of one on the parameters' device, for CUDA graphs. The
            paper starts a cosine schedule at 0.1.
        l1_coef: λ, finite and >= 0. The paper tries 1e-6 to 2e-5, higher on layers that correspond
            to convolutions than on the fully-connected head.
        beta: β, finite and >= 0. The paper takes 50; 0 never cuts a weight, 1 cuts at λ.
        maximize: Whether to climb, with -∇f in place of ∇f.
        **flags: `foreach`, `fused` and `capturable` as torch's optimizers have them change nothing
            here; `differentiable` must be False.

    Raises:
        ValueError: A value outside its range, or parameters that torch refuses.

    >>> weight = torch.nn.Parameter(torch.tensor([1.0, 0.25, -0.5, 0.0]))
    >>> weight.grad = torch.tensor([0.0, 0.0, 0.0, 4.0])
    >>> BetaLasso([weight], lr=0.125, l1_coef=0.5, beta=0.75).step()
    >>> weight.tolist()
    [0.9375, 0.0, -0.4375, -0.5]
    """

    SETTINGS = ("lr", "l1_coef", "beta")

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 0.1,
        l1_coef: float = 1e-5,
        beta: float = 50.0,
        *,
        maximize: bool = False,
        **flags: float | None,
    ) -> None:
        settings = {"lr": lr, "l1_coef": l1_coef, "beta": beta}
        super().__init__(params, settings | {"maximize": maximize}, flags)

    def _step_flat(
        self,
        weights: Tensor,
        gradients: Tensor,
        working_copy: Tensor | None,
        *state: Tensor,
        group: dict[str, Any],
    ) -> Tensor | int:
        l1_coef = float(group["l1_coef"])
        return beta_lasso_step_(
            weights,
            gradients,
            working_copy,
            lr=rate_of(group),
            l1_coef=l1_coef,
            threshold=float(group["beta"]) * l1_coef,
        )


def beta_lasso_groups(
    model: nn.Module, *, l1_conv: float, l1_fc: float, beta: float
) -> list[dict[str, Any]]:
    """Parameter groups of `BetaLasso` with a λ of their own for convolutional and fc layers.

    A network of the paper is grouped by its table of layers, so that a dense layer that stands for
    a convolution is "conv". In any other model the weights of convolutions and locally connected
    layers are "conv" and those of `nn.Linear` are "fc". All else is "rest": biases, normalisation,
    embeddings, and the weights of modules that are neither. The rest is neither shrunk nor
    thresholded. A weight that two layers share goes by the first of them. A pruned weight
    (`torch.nn.utils.prune`) is shrunk where its mask keeps it, in `weight_orig`. A weight that
    is computed from other parameters cannot be shrunk by them and is refused.

    Args:
        model: Any module; wrappers around a network (compiled, data parallel) are looked through.
        l1_conv: λ of "conv", finite and >= 0.
        l1_fc: λ of "fc", finite and >= 0.
        beta: β of both, finite and >= 0.

    Returns:
        Groups with keys "name", "params", "l1_coef" and "beta", in the order conv, fc, rest. They
        hold every parameter that asks for a gradient exactly once; empty groups are left out.

    Raises:
        ValueError: A value outside its range, a model with nothing to train, or a layer whose
            weight is computed from other parameters.

    >>> model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Flatten(), nn.Linear(8, 2))
    >>> groups = beta_lasso_groups(model, l1_conv=2e-5, l1_fc=1e-5, beta=50)
    >>> [(group["name"], len(group["params"]), group["l1_coef"]) for group in groups]
    [('conv', 1, 2e-05), ('fc', 1, 1e-05), ('rest', 4, 0.0)]
    """
    l1_conv, l1_fc = plain_nonnegative("l1_conv", l1_conv), plain_nonnegative("l1_fc", l1_fc)
    beta = plain_nonnegative("beta", beta)
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
    for name, module in model.named_modules():
        # Parents come first, so a table goes before the layers' types.
        spec = getattr(module, "spec", None)
        found = {}
        if isinstance(spec, NetworkSpec):
            prefix = f"{name}." if name else ""
            found = {
                f"{prefix}{layer.name}": (module.get_submodule(layer.name), layer.group)
                for layer in spec.layers
            }
        elif isinstance(module, _ConvNd | LocallyConnected2d | nn.Linear):
            found = {name: (module, "fc" if isinstance(module, nn.Linear) else "conv")}
        for place, (layer, group) in found.items():
            weight = _weight_of(layer, place)
            if weight is not None:
                groups.setdefault(id(weight), group)
    return groups


def _weight_of(layer: nn.Module, name: str) -> nn.Parameter | None:
    """The parameter that a layer's weight is: of a pruned one the original, of a buffer none.

    Raises:
        ValueError: The weight is computed from other parameters.
    """
    own = layer._parameters
    if own.get("weight") is not None:
        return own["weight"]
    if "weight_mask" in layer._buffers:
        return own["weight_orig"]
    bias = own.get("bias")
    sources = [
        each
        for each, parameter in layer.named_parameters()
        if parameter.requires_grad and parameter is not bias
    ]
    if sources:
        raise ValueError(
            f"the weight of layer {name or type(layer).__name__} is computed from "
            f"{', '.join(sources)}, and shrinking these does not shrink it: take its "
            "parametrization off (torch.nn.utils.parametrize.remove_parametrizations), or make "
            "the groups yourself"
        )
    return None


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
    return torch.tensor(value, dtype=dtype, device="cpu").item()


@lru_cache(maxsize=256)
def _largest_below(threshold: float, dtype: torch.dtype) -> float:
    """The largest number of the type below the (rounded) threshold >= 0; 0 for a threshold of 0.

    hardshrink keeps |θ| > cut, and |θ| ≥ t is |θ| > the number below t.

    >>> _largest_below(1.0, torch.bfloat16)
    0.99609375
    """
    rounded = torch.tensor(threshold, dtype=dtype, device="cpu")
    bits = rounded.view({2: torch.int16, 4: torch.int32, 8: torch.int64}[rounded.element_size()])
    return (bits - (bits > 0).to(bits.dtype)).view(dtype).item()
