"""Networks in levels, and their training."""

import math

import pytest
import torch

from analysis.compress.qat_network import (
    MAX_SHIFT_LEVEL,
    QATNetwork,
    new_qat_network,
    power_of_two,
    shift_name,
)
from analysis.compress.qat_training import QATSettings, evaluate_quantized
from tests.analysis.compress.whole_training import train_quantized
from training.data.image_set import ImageSet
from training.data.input_map import InputMap
from training.errors import TrainingError
from training.networks.models import network_from_state
from training.spec.architectures import NETWORKS, NetworkSpec
from training.spec.normalization import fixed_normalization


def spec_of(name: str) -> NetworkSpec:
    width = {"hidden_units": 6} if name == "3-fc" else {"base_channels": 1}
    return NetworkSpec(name=name, image_size=6, num_classes=3, in_channels=1, **width)


def bright_images(count: int = 120) -> ImageSet:
    """Three classes told apart by their brightness."""
    labels = torch.arange(count) % 3
    generator = torch.Generator().manual_seed(0)
    noise = torch.randint(0, 40, (count, 1, 6, 6), generator=generator)
    return ImageSet((noise + 80 * labels.view(-1, 1, 1, 1)).to(torch.uint8), labels)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("max_level", [1, 3])
def test_numbers_are_levels_and_the_function_is_the_folded_networks(name, max_level):
    network = new_qat_network(spec_of(name), max_level=max_level, seed=1)
    state = network.folded_state()
    for layer in network.spec.layers:
        weight = state[f"{layer.name}.weight"]
        assert torch.equal(weight, weight.round())
        assert weight.abs().max() <= max_level
        shift = state[shift_name(layer)] / network.plans[layer.name].shift_step
        assert torch.equal(shift, shift.round())
        if layer.normalized:
            assert len(state[f"{layer.name}_norm.scale"].unique()) == 1
    images = torch.randn(4, 1, 6, 6, generator=torch.Generator().manual_seed(0))
    folded = network_from_state(network.spec, state).eval()
    temperature = network.log_scales[-1].exp()
    torch.testing.assert_close(network(images), folded(images) * temperature)


def test_lengths_are_those_of_the_shares_and_the_rate_is_their_sum():
    network = new_qat_network(spec_of("s-conv"), max_level=1, seed=0)
    name = "fc1.weight"
    levels = network.levels()[name].flatten()
    counts = [int((levels == level).sum()) for level in (-1, 0, 1)]
    total = sum(counts) + 1.5
    expected = [-math.log2((count + 0.5) / total) for count in counts]
    before = 3 + 2 * MAX_SHIFT_LEVEL + 1  # levels of conv1's weights and shifts
    assert network.lengths[before:][:3].tolist() == pytest.approx(expected, rel=1e-5)
    with torch.no_grad():
        for latent in network.latents.values():
            latent.copy_(latent.round())
    whole = float(network.level_bits(network.values.detach()).sum())
    assert float(network.rate().detach()) == pytest.approx(whole, rel=1e-5)


def test_the_gradient_passes_rounding_and_keeps_latents_in_range():
    network = new_qat_network(spec_of("s-conv"), max_level=1, seed=0)
    latents = network.latents["conv1.weight"].view(-1)
    latents.fill_(0.2)
    latents[0], latents[1] = 1.7, -1.7
    assert network.levels()["conv1.weight"].flatten()[:3].tolist() == [1, -1, 0]
    rounded = network._round()
    rounded.sum().backward()
    assert rounded[:3].tolist() == [1, -1, 0]
    # Descent goes down: a latent above the range may come back, one below may not leave further.
    assert network.values.grad[:3].tolist() == [1, 0, 1]


@pytest.mark.slow
def test_training_learns_and_a_penalty_shortens():
    images, bits = bright_images(), {}
    for penalty in (0.0, 3e-3):
        network = new_qat_network(spec_of("s-conv"), max_level=1, seed=0)
        settings = QATSettings(epochs=30, batch_size=20, lr=0.03, ramp=0.0)
        history = train_quantized(
            network,
            images,
            InputMap(fixed_normalization(1)),
            settings,
            penalty=lambda *_, nats=penalty: nats,
        )
        logits = evaluate_quantized(network, images, InputMap(fixed_normalization(1)))
        assert int((logits.argmax(1) != images.labels).sum()) <= 12
        assert [each.epoch for each in history] == list(range(1, 31))
        bits[penalty] = history[-1].bits
    assert bits[3e-3] < 0.8 * bits[0.0]


def test_the_same_seed_gives_the_same_network():
    states = []
    for _ in range(2):
        network = new_qat_network(spec_of("tiny-conv"), max_level=1, seed=3)
        settings = QATSettings(epochs=2, batch_size=20, seed=3)
        train_quantized(
            network,
            bright_images(),
            InputMap(fixed_normalization(1)),
            settings,
            penalty=lambda *_: 1e-4,
        )
        states.append(network.folded_state())
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_a_loss_that_is_not_finite_stops_with_one_line():
    network = new_qat_network(spec_of("s-conv"), max_level=1, seed=0)
    with torch.no_grad():
        network.log_scales[-1].fill_(float("nan"))
    with pytest.raises(TrainingError, match="not finite in epoch 1"):
        train_quantized(
            network,
            bright_images(),
            InputMap(fixed_normalization(1)),
            QATSettings(epochs=1),
            penalty=lambda *_: 0.0,
        )


@pytest.mark.parametrize(
    ("values", "word"),
    [
        ({"epochs": 0}, "epochs"),
        ({"batch_size": 0}, "batch_size"),
        ({"lr": 0.0}, "lr"),
        ({"lr": float("inf")}, "lr"),
        ({"ramp": 1.5}, "ramp"),
    ],
)
def test_settings_outside_their_range(values, word):
    with pytest.raises(ValueError, match=word):
        QATSettings(**({"epochs": 1} | values))


def test_scales_are_rounded_as_asked():
    network = new_qat_network(
        spec_of("s-conv"),
        max_level=1,
        seed=0,
        round_scale=lambda scale: scale * 0 + power_of_two(1),
    )
    assert isinstance(network, QATNetwork)
    assert network.folded_state()["conv1_norm.scale"].tolist() == [1.0]
