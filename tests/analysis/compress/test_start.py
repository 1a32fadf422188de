"""Where fine-tuning starts: the fit of levels, and what each candidate comes to, by brute force."""

from itertools import product

import numpy as np
import pytest
import torch

from analysis.certify.errors import count_certified_errors
from analysis.compress.qat_network import QATNetwork
from analysis.compress.rate_penalty import score
from analysis.compress.start import THRESHOLDS, qat_network, try_starts
from analysis.quantize.formats import find_format
from training.data.input_map import InputMap
from training.data.loading import load_dataset
from training.networks.models import build_network
from training.spec.architectures import NetworkSpec
from training.spec.config import DataConfig
from training.spec.normalization import fixed_normalization

FORMAT = find_format(8)
DELTA = 0.05


def make_state(spec: NetworkSpec, seed: int = 0) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    state = {}
    for name, tensor in build_network(spec, folded=True).state_dict().items():
        values = torch.randn(tensor.shape, generator=generator) / 4
        state[name] = values.abs() + 0.5 if name.endswith("scale") else values
    return state


def make_spec(name: str = "s-fc") -> NetworkSpec:
    return NetworkSpec(name=name, image_size=8, num_classes=10, base_channels=1)


@pytest.fixture(scope="module")
def images():
    return load_dataset(DataConfig(image_size=8, num_train=200, num_test=10)).train


@pytest.mark.parametrize("name", ["s-fc", "s-conv", "s-local", "tiny-conv", "tiny-separable"])
def test_weights_are_the_nearest_levels_and_small_ones_0(name):
    spec = make_spec(name)
    state = make_state(spec)
    network = qat_network(spec, state, FORMAT, max_level=2, threshold=0.6)
    levels = network.levels()
    for layer in spec.layers:
        found = levels[f"{layer.name}.weight"]
        assert set(found.unique().tolist()) <= {-2.0, -1.0, 0.0, 1.0, 2.0}
        weight = state[f"{layer.name}.weight"]
        if layer.normalized and layer.kind != "local":
            scale = state[f"{layer.name}_norm.scale"]
            weight = weight * scale.view(-1, *[1] * (weight.ndim - 1))
        elif layer.normalized:
            continue  # its scales are per position
        is_zero = weight.abs() < 0.6 * weight.square().mean().sqrt()
        assert torch.equal(found == 0, is_zero)
        step = network.plans[layer.name].step
        nearest = (weight / step).round().clamp(-2, 2)
        away = ~is_zero & (nearest != 0)
        assert torch.equal(found[away], nearest[away])


def test_many_levels_compute_nearly_the_network_itself(images):
    spec = make_spec()
    state = make_state(spec)
    network = qat_network(spec, state, find_format(32), max_level=16, threshold=0.0)
    original = build_network(spec, folded=True).eval()
    original.load_state_dict(state)
    inputs = (images.images.float() - 127.5) / 63.75
    with torch.no_grad():
        expected, found = original(inputs), network.eval()(inputs)
    assert torch.corrcoef(torch.stack([expected.flatten(), found.flatten()]))[0, 1] > 0.98


def estimate_bits(network: QATNetwork, name: str) -> float:
    """-log2 of the levels' shares (half a count more each), linear between levels."""
    top = network.max_level(name)
    values = network.latents[name].double().clamp(-top, top).numpy()
    levels = np.arange(-top, top + 1)
    counts = (np.round(values).reshape(-1, 1) == levels).sum(axis=0) + 0.5
    return float(np.interp(values, levels, -np.log2(counts / counts.sum())).sum())


def test_all_that_are_tried_by_brute_force(images):
    spec = make_spec()
    state = make_state(spec)
    tried = try_starts(
        spec,
        state,
        FORMAT,
        images,
        InputMap(fixed_normalization(3)),
        num_samples=1_000,
        delta=DELTA,
        levels=(1, 4),
    )
    assert [(each.max_level, each.threshold) for each in tried] == list(product((1, 4), THRESHOLDS))
    for start in tried:
        candidate = qat_network(
            spec, state, FORMAT, max_level=start.max_level, threshold=start.threshold
        )
        folded = build_network(spec, folded=True).eval()
        folded.load_state_dict(candidate.folded_state())
        errors = (
            count_certified_errors(folded, images, InputMap(fixed_normalization(3))).num_errors * 5
        )
        bits = sum(estimate_bits(candidate, name) for name in candidate.levels())
        assert start.num_errors == errors
        assert start.score == pytest.approx(score(errors, 1_000, bits, DELTA), rel=1e-3)


def test_layer_of_zeros():
    spec = make_spec()
    state = {name: torch.zeros_like(tensor) for name, tensor in make_state(spec).items()}
    network = qat_network(spec, state, FORMAT, max_level=1, threshold=1.5)
    assert all(not tensor.any() for tensor in network.levels().values())


def test_values_outside_their_range():
    spec = make_spec()
    state = make_state(spec)
    for max_level, threshold, words in (
        (0, 0.1, "max_level"),
        (17, 0.1, "max_level"),
        (1, -1.0, "threshold"),
        (1, float("nan"), "threshold"),
    ):
        with pytest.raises(ValueError, match=words):
            qat_network(spec, state, FORMAT, max_level=max_level, threshold=threshold)
