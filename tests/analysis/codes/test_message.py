"""What a message refuses, by name."""

from dataclasses import replace

import pytest
import torch

from analysis.codes.message import NetworkMessage, TensorListSpec, expected_shapes
from analysis.quantize.formats import FORMATS
from training.data.input_map import InputMap
from training.networks.models import build_network, fold_batch_norm
from training.spec.architectures import NETWORKS
from training.spec.normalization import Normalization, fixed_normalization


@pytest.mark.parametrize("name", NETWORKS)
def test_shapes_are_those_of_the_folded_network(small_spec, name: str) -> None:
    spec = small_spec(name)
    state = fold_batch_norm(build_network(spec)).state_dict()
    assert expected_shapes(spec) == {key: tuple(value.shape) for key, value in state.items()}


def test_what_has_no_place_is_refused_by_name(small_spec, random_message) -> None:
    message = random_message(small_spec("s-conv"))
    state = {**message.state, "conv1_norm.running_mean": torch.zeros(2)}
    with pytest.raises(ValueError, match=r"conv1_norm\.running_mean is neither coded nor fixed"):
        replace(message, state=state)
    lacking = dict(message.state)
    del lacking["fc2.bias"]
    with pytest.raises(ValueError, match=r"lacks fc2\.bias"):
        replace(message, state=lacking)
    wrong = {**message.state, "fc2.bias": torch.zeros(5)}
    with pytest.raises(ValueError, match=r"fc2\.bias must have shape \(4,\), not \(5,\)"):
        replace(message, state=wrong)


def test_inputs_must_go_with_the_network(small_spec, random_message) -> None:
    message = random_message(small_spec("s-conv"))
    for inputs in (None, InputMap(fixed_normalization(1))):
        with pytest.raises(ValueError, match="constants for 3 channels, not"):
            replace(message, inputs=inputs)
    for seed in (-1, 2**127):
        with pytest.raises(ValueError, match="permutation_seed must be"):
            replace(message, inputs=InputMap(fixed_normalization(3), seed))


def test_external_tensors_have_no_inputs() -> None:
    fields = {
        "spec": TensorListSpec((("a", (2,)),)),
        "number_format": FORMATS["float32"],
        "state": {"a": torch.ones(2)},
    }
    message = NetworkMessage(**fields)
    with pytest.raises(ValueError, match="tensors of a network whose code is not mdl's"):
        _ = message.known_inputs
    with pytest.raises(ValueError, match="must be None for tensors"):
        NetworkMessage(**fields, inputs=InputMap(fixed_normalization(1)))


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        ((), "at least one tensor"),
        ((("a", (1,)), ("a", (2,))), "each tensor once"),
        ((("a", (3, 0)),), "a must hold at least one number"),
    ],
)
def test_lists_of_tensors_that_are_refused(shapes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TensorListSpec(shapes)


def test_same_as_looks_at_everything(small_spec, random_message) -> None:
    message = random_message(small_spec("s-conv"))
    assert message.same_as(random_message(small_spec("s-conv")))
    own = Normalization(mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.26), source="data")
    bias = message.state["fc2.bias"].clone()
    bias[0] += 1
    others = [
        replace(message, inputs=InputMap(fixed_normalization(3), 0)),
        replace(message, inputs=InputMap(own)),
        replace(message, number_format=FORMATS["float32"]),
        replace(message, state={**message.state, "fc2.bias": bias}),
        random_message(small_spec("s-local")),
    ]
    assert not any(message.same_as(other) for other in others)
