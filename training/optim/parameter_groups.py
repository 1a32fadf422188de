"""Which weights β-lasso shrinks: groups "conv", "fc" and "rest" of any model's parameters."""

import math
from typing import Any

from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from training.networks.layers import LocallyConnected2d
from training.spec.architectures import NetworkSpec


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


def check_nonnegative(name: str, value: object) -> None:
    """Refuse what is not a finite number >= 0.

    Raises:
        ValueError: Names the argument and the value.
    """
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not math.isfinite(value) or value < 0:  # type: ignore[arg-type, operator]
        raise ValueError(f"{name} must be a finite number >= 0, not {value!r}")
