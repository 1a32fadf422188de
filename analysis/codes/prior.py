"""A prior: a network fixed before the data, against which others are described.

A prior of the same kind of network fits any width and any number of classes, by one rule. Weights,
shifts and biases are taken at the same unit, channel and place; where the prior has none they are
0. A scale that it lacks is the one that most of its layer's units have. Then all numbers are
rounded to the described network's R_b. The rule belongs to the language, so it costs no bits.
"""

from math import prod

import torch
from torch import Tensor

from analysis.codes.matrix import check_memory
from analysis.codes.message import NetworkMessage, Spec, TensorListSpec, expected_shapes
from analysis.quantize.formats import NumberFormat
from training.spec.architectures import LayerSpec, NetworkSpec

State = dict[str, Tensor]
_SAME = ("name", "image_size", "in_channels", "kernel_size")
_BYTES_A_NUMBER = 8


def why_not(prior: NetworkMessage, spec: Spec) -> str:
    """Why a prior cannot be adapted to a network; "" if it can.

    >>> from training.networks.models import build_network
    >>> spec = NetworkSpec(name="s-conv", image_size=8, num_classes=10, base_channels=1)
    >>> wider = NetworkSpec(name="s-conv", image_size=8, num_classes=3, base_channels=2)
    >>> larger = NetworkSpec(name="s-conv", image_size=9, num_classes=10, base_channels=1)
    >>> from training.data.input_map import InputMap
    >>> from training.spec.normalization import fixed_normalization
    >>> from analysis.quantize.formats import find_format, quantize_tensors
    >>> message = NetworkMessage(
    ...     spec=spec, number_format=find_format(8), inputs=InputMap(fixed_normalization(3)),
    ...     state=quantize_tensors(build_network(spec, folded=True).state_dict(), find_format(8)),
    ... )
    >>> why_not(message, wider), why_not(message, larger)
    ('', 'its image_size is 8, not 9')
    """
    own = prior.spec
    if isinstance(own, TensorListSpec) or isinstance(spec, TensorListSpec):
        if not isinstance(own, TensorListSpec) or not isinstance(spec, TensorListSpec):
            return "one of the two is a network of mdl's, and the other is not"
        if own.shapes != spec.shapes:
            return "its tensors have other names or shapes"
        return "integers have no prior" if own.integers or spec.integers else ""
    for field in _SAME:
        ours, theirs = getattr(own, field), getattr(spec, field)
        if ours != theirs:
            return f"its {field} is {ours}, not {theirs}"
    return ""


def adapt_prior(prior: NetworkMessage, spec: Spec, number_format: NumberFormat) -> State:
    """The prior's tensors in the shapes and the numbers of another network.

    Args:
        prior: The prior.
        spec: The network that is described.
        number_format: Its R_b.

    Returns:
        Name to float32 tensor, in the order of `expected_shapes`.

    Raises:
        ValueError: It cannot be adapted; the message says why.
    """
    reason = why_not(prior, spec)
    if reason:
        raise ValueError(f"prior does not fit the network: {reason}")
    shapes = expected_shapes(spec)
    check_memory(_BYTES_A_NUMBER * sum(map(prod, shapes.values())))
    state = prior.state
    if isinstance(spec, NetworkSpec) and isinstance(prior.spec, NetworkSpec) and spec != prior.spec:
        owners = dict(zip((each.name for each in spec.layers), spec.layers, strict=True))
        own = {each.name: each for each in prior.spec.layers}
        state = {
            name: _fit(owners[_owner(name)], own[_owner(name)], name, state[name]).reshape(shape)
            for name, shape in shapes.items()
        }
    return {name: number_format.round(state[name]) for name in shapes}


def _owner(name: str) -> str:
    """The layer that a tensor belongs to."""
    return name.rpartition(".")[0].removesuffix("_norm")


def _fit(layer: LayerSpec, own: LayerSpec, name: str, values: Tensor) -> Tensor:
    fill = 0.0
    if name.endswith("_norm.scale"):
        distinct, counts = torch.unique(values, return_counts=True)
        fill = float(distinct[counts.argmax()])  # the smallest of the most frequent
    is_weight = name.endswith(".weight")
    shapes = [_axes(each) if is_weight else _unit_axes(each) for each in (layer, own)]
    found = torch.full(shapes[0], fill)
    common = tuple(slice(min(pair)) for pair in zip(*shapes, strict=True))
    found[common] = values.reshape(shapes[1])[common]
    return found


def _axes(layer: LayerSpec) -> tuple[int, ...]:
    """Shape of a weight tensor with an axis for channels and one for places, in and out."""
    shape = layer.weight_shape
    if layer.kind == "dense":
        return (layer.out_channels, layer.out_size**2, layer.in_channels, layer.in_size**2)
    area = (layer.kernel or 1) ** 2
    if layer.kind == "local":
        return (*shape[:2], layer.in_channels, area)
    return (*shape[:2], area)


def _unit_axes(layer: LayerSpec) -> tuple[int, ...]:
    """Shape of a vector with an entry for each unit: channels, places."""
    if layer.kind == "conv":
        return (layer.num_norm_features, 1)
    return (layer.out_channels, layer.out_size**2)
