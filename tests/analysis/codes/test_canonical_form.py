"""The canonical form: the same function by float64 decisions, and fewer bits."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from analysis.certify.errors import decide
from analysis.codes.canonical_form import (
    canonical_form,
    from_unit_rows,
    list_links,
    make_scales_positive,
    move_scales,
    order_units,
    remove_dead_units,
    remove_idle_weights,
    unit_rows,
)
from analysis.codes.checkpoint_message import message_network
from analysis.codes.message import NetworkMessage
from analysis.codes.network_code import encode_network
from analysis.quantize.formats import find_format, quantize_tensors
from tests.examples import examples
from training.data.input_map import InputMap
from training.networks.models import build_network, fold_batch_norm
from training.spec.architectures import NetworkSpec
from training.spec.normalization import fixed_normalization

FAMILIES = ("d-conv", "d-local", "d-fc", "s-conv", "s-local", "s-fc", "3-fc", "resnet18")


def make_message(name, *, density=1.0, seed=0, format_name="bfloat16", image_size=7):
    """A network with random BatchNorm, many of its weights zero at low density."""
    width = {"hidden_units": 9} if name == "3-fc" else {"base_channels": 2}
    spec = NetworkSpec(name=name, image_size=image_size, num_classes=4, in_channels=3, **width)
    generator = torch.Generator().manual_seed(seed)
    network = build_network(spec)
    for key, tensor in network.state_dict().items():
        if key.endswith(("norm.weight", "norm.bias", "running_mean")):
            tensor.copy_(torch.randn(tensor.shape, generator=generator))
        elif key.endswith("weight"):
            values = torch.randn(tensor.shape, generator=generator) / math.sqrt(tensor[0].numel())
            kept = torch.rand(tensor.shape, generator=generator) < density
            tensor.copy_(torch.where(kept, values, 0))
    number_format = find_format(name=format_name)
    return NetworkMessage(
        spec=spec,
        number_format=number_format,
        state=quantize_tensors(fold_batch_norm(network).state_dict(), number_format),
        inputs=InputMap(fixed_normalization(3)),
    )


def assert_same_decisions(before, after, *, num_images=64):
    """Equal classes, and margins equal up to float64's rounding."""
    spec = before.spec
    generator = torch.Generator().manual_seed(5)
    shape = (num_images, spec.in_channels, spec.image_size, spec.image_size)
    images = torch.randint(256, shape, generator=generator, dtype=torch.uint8)
    first, second = (
        decide(message_network(message), images, message.inputs) for message in (before, after)
    )
    assert torch.equal(first.classes, second.classes)
    torch.testing.assert_close(first.margins, second.margins, rtol=1e-9, atol=1e-12)


@pytest.mark.sample(3)
@pytest.mark.parametrize(
    "density",
    [pytest.param(1.0, marks=pytest.mark.slow), 0.1, pytest.param(0.01, marks=pytest.mark.slow)],
)
@pytest.mark.parametrize("name", FAMILIES)
def test_canonical_network_decides_the_same_in_fewer_bits(name, density):
    message = make_message(name, density=density)
    short = canonical_form(message)
    assert_same_decisions(message, short)
    assert encode_network(short, "context").num_bits < encode_network(message, "context").num_bits


@pytest.mark.sample(3)
@pytest.mark.parametrize("name", [*FAMILIES, "tiny-conv", "tiny-separable"])
@pytest.mark.parametrize("step", ["idle", "dead", "signs", "scales", "order", "spatial order"])
def test_each_step_keeps_every_decision(name, step):
    message = make_message(name, density=0.3, seed=3)
    spec, state, number_format = message.spec, message.state, message.number_format
    changed = {
        "idle": lambda: remove_idle_weights(spec, state),
        "dead": lambda: remove_dead_units(spec, state),
        "signs": lambda: make_scales_positive(spec, state),
        "scales": lambda: move_scales(spec, state, number_format),
        "order": lambda: order_units(spec, state, number_format, spatial=False),
        "spatial order": lambda: order_units(spec, state, number_format, spatial=True),
    }[step]()
    after = NetworkMessage(
        spec=spec, number_format=number_format, state=changed, inputs=message.inputs
    )
    assert_same_decisions(message, after)
    for tensor in changed.values():  # still numbers of R_b, without a negative zero
        assert torch.equal(number_format.round(tensor), tensor)


@given(seed=st.integers(0, 10_000), density=st.sampled_from([0.02, 0.2, 1.0]))
@examples(0.2)
def test_eight_bit_networks_decide_the_same(seed, density):
    message = make_message("s-conv", density=density, seed=seed, format_name="e4m3fn")
    assert_same_decisions(message, canonical_form(message), num_images=16)


def test_dead_unit_and_all_it_fed_are_gone():
    message = make_message("3-fc")
    state = {name: tensor.clone() for name, tensor in message.state.items()}
    state["fc1.weight"][2] = 0
    state["fc1_norm.shift"][2] = -1.0
    state["fc2.weight"][:, 5] = 0
    after = remove_dead_units(message.spec, state)
    assert int(after["fc2.weight"][:, 2].count_nonzero()) == 0
    assert after["fc1_norm.shift"][2] == 0
    assert int(after["fc1.weight"][5].count_nonzero()) == 0
    untouched = [unit for unit in range(9) if unit not in (2, 5)]
    assert torch.equal(after["fc1.weight"][untouched], state["fc1.weight"][untouched])


def test_unit_with_a_positive_shift_alone_still_speaks():
    message = make_message("3-fc")
    state = {name: tensor.clone() for name, tensor in message.state.items()}
    state["fc1.weight"][2] = 0
    state["fc1_norm.shift"][2] = 1.0
    after = remove_dead_units(message.spec, state)
    assert torch.equal(after["fc2.weight"], state["fc2.weight"])
    assert after["fc1_norm.shift"][2] == 1.0


def test_order_of_hidden_units_is_won_back():
    """One network in two orders has one codeword, log2 H! bits shorter than its shifts in order."""
    message = make_message("3-fc", seed=1)
    order = torch.randperm(9, generator=torch.Generator().manual_seed(2))
    state = dict(message.state)
    state["fc1.weight"] = state["fc1.weight"][order].contiguous()
    for field in ("scale", "shift"):
        state[f"fc1_norm.{field}"] = state[f"fc1_norm.{field}"][order]
    state["fc2.weight"] = state["fc2.weight"][:, order].contiguous()
    other = NetworkMessage(
        spec=message.spec, number_format=message.number_format, state=state, inputs=message.inputs
    )
    assert not message.same_as(other)
    assert canonical_form(message).same_as(canonical_form(other))
    parts = {
        entry.tensor: entry
        for entry in encode_network(canonical_form(message), "context").ledger.entries
    }
    assert parts["fc1_norm.shift"].part == "values, in the order of units"


def test_weights_that_see_padding_only_become_zero():
    message = make_message("s-local")
    after = remove_idle_weights(message.spec, message.state)
    corner = after["conv1.weight"][0].view(2, 3, 9, 9)
    assert int(corner[:, :, :4].count_nonzero()) == 0
    assert int(corner[:, :, 4:, 4:].count_nonzero()) == 2 * 3 * 25


@pytest.mark.parametrize("name", FAMILIES)
def test_unit_rows_and_back(name):
    message = make_message(name)
    for layer in message.spec.layers:
        weight = message.state[f"{layer.name}.weight"]
        rows = unit_rows(layer, weight)
        assert torch.equal(from_unit_rows(layer, rows), weight)
        if layer.normalized:
            assert len(rows) == layer.num_norm_features


def test_links_join_layers_whose_units_feed_one_layer_only():
    spec = NetworkSpec(name="resnet18", image_size=8, num_classes=2, base_channels=1)
    pairs = [(link.source.name, link.target.name) for link in list_links(spec)]
    assert len(pairs) == 8
    assert all(
        source == target.replace("_conv2", "_conv1") and target.endswith("_conv2")
        for source, target in pairs
    )
