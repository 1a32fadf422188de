"""One small network in levels by hand: logits, straight-through gradients, bits between levels."""

import math
from collections import Counter

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from analysis.compress.qat_network import (
    MAX_SHIFT_LEVEL,
    QATNetwork,
    QATPlan,
    new_qat_network,
    power_of_two,
)
from training.networks.models import network_from_state
from training.spec.architectures import NetworkSpec

SPEC = NetworkSpec(name="3-fc", image_size=2, num_classes=2, in_channels=1, hidden_units=2)
WIDER = NetworkSpec(name="s-conv", image_size=8, num_classes=4, base_channels=2)
FIRST = [[0.4, 0.6, -0.6, 2.4], [2.6, -7.0, 0.0, -1.5]]
FIRST_LEVELS = [[0, 1, -1, 2], [2, -2, 0, -2]]


def to_e4m3fn(values: Tensor) -> Tensor:
    return values.to(torch.float8_e4m3fn).float()


def by_hand(max_level: int = 2, first: list[list[float]] = FIRST) -> QATNetwork:
    """A network on four pixels: steps 0.5, shift steps 0.25."""
    plan = QATPlan(max_level=max_level, step=0.5, shift_step=0.25)
    # fmt: off
    latents = {
        "fc1.weight": first, "fc1_norm.shift": [3.2, -40.0],
        "fc2.weight": [[1.0, 0.0], [0.0, 1.0]], "fc2_norm.shift": [0.0, 0.0],
        "fc3.weight": [[1.0, 0.0], [0.0, -1.0]], "fc3.bias": [-1.0, 0.0],
    }
    # fmt: on
    tensors = {name: torch.tensor(values) for name, values in latents.items()}
    return QATNetwork(SPEC, {layer.name: plan for layer in SPEC.layers}, tensors)


def code_lengths(levels: list[int], top: int) -> dict[int, float]:
    counts = Counter(levels)
    total = len(levels) + (2 * top + 1) / 2
    return {level: -math.log2((counts[level] + 0.5) / total) for level in range(-top, top + 1)}


def test_levels_are_the_nearest_whole_numbers_in_range() -> None:
    levels = by_hand().levels()
    assert levels["fc1.weight"].tolist() == FIRST_LEVELS
    assert levels["fc1_norm.shift"].tolist() == [3, -MAX_SHIFT_LEVEL]
    assert not any(tensor.requires_grad for tensor in levels.values())


def test_logits_by_hand() -> None:
    network = by_hand()
    state = network.folded_state()
    assert state["fc1.weight"].tolist() == FIRST_LEVELS
    assert state["fc1_norm.scale"].tolist() == [0.5, 0.5]
    assert state["fc1_norm.shift"].tolist() == [0.75, -4.0]
    assert state["fc3.bias"].tolist() == [-0.25, 0.0]
    image = torch.tensor([1.0, 2.0, 3.0, 4.0]).view(1, 1, 2, 2)
    # fc1: 0.5 (2 - 3 + 8) + 0.75 = 4.25 and 0.5 (2 - 4 - 8) - 4 < 0; fc2: 2.125 and 0.
    assert network(image).tolist() == [[0.5 * (2.125 - 0.25), 0.0]]
    assert network_from_state(SPEC, state)(image).tolist() == [[1.875, 0.0]]


@given(latent=st.floats(-30, 30, width=32), gradient=st.floats(-5, 5), top=st.integers(1, 16))
def test_gradients_pass_where_the_latent_is_in_range_or_would_come_back(
    latent: float, gradient: float, top: int
) -> None:
    network = by_hand(top, [[latent, 0.0, 0.0, 0.0], [0.0] * 4])
    image = torch.zeros(1, 1, 2, 2)
    image[0, 0, 0, 0] = 1
    with torch.no_grad():  # all ReLUs are open
        network.latents["fc1_norm.shift"].fill_(MAX_SHIFT_LEVEL)
        network.latents["fc2_norm.shift"].fill_(MAX_SHIFT_LEVEL)
        network.log_scales[0].fill_(math.log(2.0**-4))
    (gradient * network(image)[0, 0]).backward()
    slope = gradient * 2.0**-4 * 0.5 * 0.5  # of fc1, fc2 and the temperature
    found = float(network.values.grad[0])
    if abs(latent) < top + 0.5 or slope * latent > 0:
        assert found == pytest.approx(slope, rel=1e-5)
    else:
        assert found == 0


def test_scales_learn_though_they_are_rounded() -> None:
    network = new_qat_network(WIDER, max_level=2, seed=0, round_scale=to_e4m3fn)
    for name, tensor in network.folded_state().items():
        assert torch.equal(to_e4m3fn(tensor), tensor), name
    network(torch.randn(4, 3, 8, 8)).square().sum().backward()
    assert (network.log_scales.grad != 0).all()


@pytest.mark.parametrize("max_level", [1, 2, 5])
def test_bits_of_whole_levels_are_their_code_lengths(max_level: int) -> None:
    network = new_qat_network(WIDER, max_level=max_level, seed=3)
    with torch.no_grad():
        for latent in network.latents.values():
            latent.copy_(latent.round())
    expected, found = 0.0, []
    for name, tensor in network.levels().items():
        top = max_level if name.endswith("weight") else MAX_SHIFT_LEVEL
        levels = [int(level) for level in tensor.flatten()]
        lengths = code_lengths(levels, top)
        expected += sum(lengths[level] for level in levels)
        found += network.lengths.tolist()[len(found) : len(found) + len(lengths)]
        assert found[-len(lengths) :] == pytest.approx(list(lengths.values()), rel=1e-5), name
    assert len(found) == len(network.lengths)
    assert float(network.rate().detach()) == pytest.approx(expected, rel=1e-5)


def test_bits_between_levels_are_interpolated_and_have_that_slope() -> None:
    network = by_hand()
    flat = [level for row in FIRST_LEVELS for level in row]
    lengths = code_lengths(flat, 2)
    # fmt: off
    between = {
        0.4: 0.6 * lengths[0] + 0.4 * lengths[1], 0.6: 0.4 * lengths[0] + 0.6 * lengths[1],
        -0.6: 0.4 * lengths[0] + 0.6 * lengths[-1], 2.4: lengths[2], 2.6: lengths[2],
        -7.0: lengths[-2], 0.0: lengths[0], -1.5: (lengths[-1] + lengths[-2]) / 2,
    }
    # fmt: on
    rate = network.rate()
    rate.backward()
    with torch.no_grad():
        network.latents["fc1.weight"].copy_(torch.tensor(FIRST_LEVELS))
        others = float(network.rate()) - sum(lengths[level] for level in flat)
    expected = sum(between[value] for row in FIRST for value in row)
    assert float(rate.detach()) == pytest.approx(others + expected, rel=1e-5)
    gradient = network.values.grad[:8].view(2, 4)
    up, down = lengths[1] - lengths[0], lengths[0] - lengths[-1]
    assert gradient[0].tolist() == pytest.approx([up, up, down, 0.0], rel=1e-5)
    assert gradient[1, 1] == 0
    assert float(gradient[1, 3]) == pytest.approx(lengths[-1] - lengths[-2], rel=1e-5)


def test_all_that_is_learned_is_in_the_state_and_nothing_else() -> None:
    network = new_qat_network(WIDER, max_level=2, seed=0)
    assert set(network.state_dict()) == {"values", "log_scales"}
    other = new_qat_network(WIDER, max_level=2, seed=1)
    other.load_state_dict(network.state_dict())
    images = torch.randn(3, 3, 8, 8)
    assert torch.equal(other(images), network(images))


def test_new_networks_keep_the_variance_and_depend_on_their_seed() -> None:
    spec = NetworkSpec(name="s-fc", image_size=8, num_classes=10, base_channels=4)
    network, same, other = (new_qat_network(spec, max_level=2, seed=each) for each in (0, 0, 1))
    key = "fc1.weight"
    assert torch.equal(network.latents[key], same.latents[key])
    assert not torch.equal(network.latents[key], other.latents[key])
    assert network.latents[key].abs().max() <= 1.4
    weight = network.levels()["conv1.weight"]
    inputs = torch.randn(500, weight.shape[1], generator=torch.Generator().manual_seed(0))
    sums = inputs @ weight.T * network.plans["conv1"].step
    assert float(sums.square().mean()) == pytest.approx(1, abs=0.1)


@given(value=st.floats(1e-6, 1e6))
def test_the_power_of_two_is_the_nearest_in_logarithms(value: float) -> None:
    found = power_of_two(value)
    assert math.log2(found) == round(math.log2(found))
    assert found / math.sqrt(2) <= value * (1 + 1e-9)
    assert value <= found * math.sqrt(2) * (1 + 1e-9)
