"""A small network inside its large twin: found if it is there, exactly, and not if it is not."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from analysis.codes.message import NetworkMessage
from analysis.codes.network_code import auto_codes, decode_network, encode_network
from analysis.codes.structure import extract_twin, smaller_kinds, structured_codes
from training.networks.embedding import embed_state
from training.spec.architectures import NETWORKS, NetworkSpec

PAIRS = [
    ("s-conv", "fc"),
    ("s-conv", "local"),
    ("s-local", "fc"),
    ("d-conv", "fc"),
    ("d-conv", "local"),
    ("d-local", "fc"),
]


def embedded(message: NetworkMessage, kind: str) -> NetworkMessage:
    assert isinstance(message.spec, NetworkSpec)
    state = embed_state(message.spec, message.state, kind)
    return replace(message, spec=message.spec.twin(kind), state=state)


@pytest.mark.sample(3)
@pytest.mark.parametrize(("name", "kind"), PAIRS)
@pytest.mark.parametrize("density", [1.0, 0.1])
@pytest.mark.slow
def test_decodes_exactly_and_is_as_short_as_the_small_one(
    small_spec, random_message, name: str, kind: str, density: float
) -> None:
    small = random_message(small_spec(name, in_channels=1), density=density, format_name="e4m3fn")
    large = embedded(small, kind)
    code = f"structured-{name.split('-')[1]}"
    assert structured_codes(large) == (code,)
    codeword = encode_network(large, code)
    found = decode_network(codeword.data)
    assert found.message.same_as(large)
    assert found.code == code
    extracted = extract_twin(large, name.split("-")[1])
    own = encode_network(replace(small, state=extracted), "context")
    assert abs(codeword.num_bits - own.num_bits) < 40
    auto = encode_network(large)
    assert auto.num_bits <= codeword.num_bits
    if name.endswith("conv"):
        assert auto.code == code  # contexts alone find a window, but not that weights are shared


@pytest.mark.parametrize("image_size", [1, 2, 5, 8])
def test_what_is_extracted_embeds_to_the_same(small_spec, random_message, image_size: int) -> None:
    """Also where a kernel is larger than the image, so that some entries never act."""
    small = random_message(small_spec("s-conv", image_size=image_size), density=0.7)
    large = embedded(small, "fc")
    extracted = extract_twin(large, "conv")
    again = embed_state(small.spec, extracted, "fc")
    assert all(torch.equal(again[key], large.state[key]) for key in again)
    acting = image_size >= 9
    assert torch.equal(extracted["conv1.weight"], small.state["conv1.weight"]) or not acting
    assert decode_network(encode_network(large, "structured-conv").data).message.same_as(large)


@pytest.mark.sample(3)
@pytest.mark.parametrize(("name", "kind"), PAIRS[:2])
@pytest.mark.parametrize("where", ["conv1.weight", "conv1_norm.shift", "conv1_norm.scale"])
def test_one_number_that_differs_breaks_the_structure(
    small_spec, random_message, name: str, kind: str, where: str
) -> None:
    large = embedded(random_message(small_spec(name, in_channels=1)), kind)
    flat = large.state[where].clone().view(-1)
    flat[(flat != 0).nonzero()[-1]] *= 2
    check_broken(large, where, flat, "conv")


def test_a_weight_outside_of_the_window_breaks_a_local_structure(
    small_spec, random_message
) -> None:
    large = embedded(random_message(small_spec("d-local", in_channels=1)), "fc")
    flat = large.state["conv1.weight"].clone().view(-1)
    flat[(flat == 0).nonzero()[0]] = 1
    check_broken(large, "conv1.weight", flat, "local")


def check_broken(large: NetworkMessage, name: str, flat: Tensor, kind: str) -> None:
    """With these numbers in a tensor's place, the network has no such structure any more."""
    state = {**large.state, name: flat.view(large.state[name].shape)}
    broken = replace(large, state=state)
    assert f"structured-{kind}" not in structured_codes(broken)
    with pytest.raises(ValueError, match=f"not have the structure of a {kind} network"):
        encode_network(broken, f"structured-{kind}")
    assert decode_network(encode_network(broken).data).message.same_as(broken)


def test_a_convolution_that_is_perturbed_may_still_be_local(small_spec, random_message) -> None:
    large = embedded(random_message(small_spec("s-conv", in_channels=1)), "fc")
    weight = large.state["conv1.weight"].clone()
    row, column = (weight != 0).nonzero()[0]
    weight[row, column] *= 2
    broken = replace(large, state={**large.state, "conv1.weight": weight})
    assert structured_codes(broken) == ("structured-local",)
    assert decode_network(encode_network(broken, "structured-local").data).message.same_as(broken)


@pytest.mark.parametrize("name", NETWORKS)
def test_which_networks_have_smaller_twins(small_spec, random_message, name: str) -> None:
    kinds = {"d-fc": ("conv", "local"), "s-fc": ("conv", "local")}
    kinds |= {"d-local": ("conv",), "s-local": ("conv",)}
    spec = small_spec(name, in_channels=1)
    assert smaller_kinds(spec) == kinds.get(name, ())
    message = random_message(spec)
    assert structured_codes(message) == ()  # random weights share nothing
    assert "context" in auto_codes(message)
    with pytest.raises(ValueError, match="structure"):
        encode_network(message, "structured-conv")
