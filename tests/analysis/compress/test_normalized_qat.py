"""Networks in levels that are normalised while they learn."""

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from analysis.compress import normalized_qat
from analysis.compress.normalized_qat import NormalizedQATNetwork, new_normalized_network
from analysis.compress.qat_network import MAX_SHIFT_LEVEL, new_qat_network
from analysis.compress.qat_training import QATSettings, evaluate_quantized
from analysis.quantize.formats import find_format
from tests.analysis.compress.test_qat_network import bright_images, spec_of
from tests.analysis.compress.whole_training import train_quantized
from training.data.input_map import InputMap
from training.networks.models import BATCH_NORM_EPS
from training.spec.architectures import NETWORKS
from training.spec.normalization import fixed_normalization

FORMAT = find_format(8)
FIXED = InputMap(fixed_normalization(1))
FINE = 2.0**-40


def make_network(name: str, seed: int = 1) -> NormalizedQATNetwork:
    network = new_normalized_network(
        spec_of(name), max_level=1, seed=seed, round_scale=FORMAT.round
    )
    with torch.no_grad():
        network.values.add_(0.3 * torch.randn(network.values.shape))
    return network


def some_images(count: int = 12) -> Tensor:
    return torch.randn(count, 1, 6, 6, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", NETWORKS)
def test_folded_with_the_moments_of_a_batch_it_gives_the_same_on_that_batch(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(normalized_qat, "_MOMENTUM", 1.0)
    network, images = make_network(name), some_images()
    logits, folded = network(images), network.folded()
    torch.testing.assert_close(folded(images), logits, rtol=1e-3, atol=1e-3)
    state = folded.folded_state()
    for layer in network.spec.layers:
        if layer.normalized:
            scale = state[f"{layer.name}_norm.scale"]
            assert torch.equal(FORMAT.round(scale), scale)
    assert folded.folded() is folded


def test_the_moments_of_some_images_take_the_place_of_the_running_ones() -> None:
    network, images = make_network("tiny-separable"), some_images()
    running = network.statistics.clone()
    folded = network.folded(iter([images]))
    assert torch.equal(network.statistics, running)
    torch.testing.assert_close(folded(images), network(images), rtol=1e-3, atol=1e-3)
    halves = [network._moments_of(half) for half in images.split(6)]
    both = network.folded(images.split(6))
    network.statistics = torch.stack(halves).mean(dim=0)
    for name, tensor in network.folded().folded_state().items():
        assert torch.equal(both.folded_state()[name], tensor), name


def test_images_that_cannot_be_had_leave_the_running_moments() -> None:
    network, images = make_network("tiny-separable"), some_images()
    running = network.statistics.clone()

    def stopped() -> Iterator[Tensor]:
        yield images
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        network.folded(stopped())
    assert torch.equal(network.statistics, running)


@pytest.mark.parametrize("shape", [(3, 16, 4, 4), (5, 6)])
def test_it_normalises_every_unit_by_its_moments(
    shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(normalized_qat, "MAX_SHIFT_LEVEL", 1e18)
    torch.manual_seed(0)
    num_units = 2 if len(shape) == 4 else 6
    values = torch.randn(shape, dtype=torch.float64, requires_grad=True)
    scale = torch.rand(num_units, dtype=torch.float64, requires_grad=True)
    shift = torch.randn(num_units, dtype=torch.float64, requires_grad=True)

    def normalize(*tensors: Tensor) -> Tensor:
        outputs, _, _ = normalized_qat._Normalize.apply(*tensors, (None, FINE))
        return outputs

    units = values.detach().unflatten(1, (num_units, -1)).transpose(0, 1).flatten(1)
    centred = units - units.mean(dim=1, keepdim=True)
    spread = (centred.square().mean(dim=1, keepdim=True) + BATCH_NORM_EPS).sqrt()
    expected = scale.detach()[:, None] * centred / spread + shift.detach()[:, None]
    found = normalize(values, scale, shift).detach()
    found = found.unflatten(1, (num_units, -1)).transpose(0, 1).flatten(1)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)
    assert torch.autograd.gradcheck(normalize, (values, scale, shift))


def test_scales_and_shifts_are_those_that_a_description_has() -> None:
    values = 3 * torch.randn(8, 16, 4, 4) + 1
    scale, shift = torch.tensor([1.0, 0.7]), torch.tensor([0.1, 90.0])
    outputs, mean, variance = normalized_qat._Normalize.apply(
        values, scale, shift, (FORMAT.round, 0.25)
    )
    rounded = FORMAT.round(scale * (variance + BATCH_NORM_EPS).rsqrt())
    added = outputs - values * rounded.repeat_interleave(8).view(-1, 1, 1)
    first, second = added[:, :8].unique(), added[:, 8:].unique()
    level = ((shift - mean * rounded) / 0.25).round()
    assert float(level[1]) > MAX_SHIFT_LEVEL
    torch.testing.assert_close(first, (level[0] * 0.25).expand_as(first), rtol=0, atol=1e-5)
    torch.testing.assert_close(second, torch.full_like(second, 4.0), rtol=0, atol=1e-5)


def test_a_shift_out_of_range_comes_back_and_goes_no_further() -> None:
    values = torch.randn(50, 3)
    shift = torch.tensor([0.5, 9.0, 9.0], requires_grad=True)
    outputs, _, _ = normalized_qat._Normalize.apply(values, torch.ones(3), shift, (None, 0.125))
    (outputs * torch.tensor([1.0, 1.0, -1.0])).sum().backward()
    assert shift.grad is not None
    assert shift.grad.tolist() == [50.0, 50.0, 0.0]


def test_the_rate_is_that_of_weights_and_the_last_bias() -> None:
    """A normalised unit's shift is described with its mean taken off, which no latent tells."""
    network = make_network("tiny-separable")
    (gradient,) = torch.autograd.grad(network.rate(), network.values)
    expected = 0.0
    for name, levels in network.levels().items():
        part = network._split(gradient)[name]
        if name.endswith("_norm.shift"):
            assert not part.any()
            continue
        assert part.any()
        num = 2 * network.max_level(name) + 1
        values, counts = levels.unique(return_counts=True)
        assert len(values) <= num
        expected -= float((counts * ((counts + 0.5) / (levels.numel() + num / 2)).log2()).sum())
    network.update_lengths()
    with torch.no_grad():
        network.values.copy_(network._round())
    assert float(network.rate().detach()) == pytest.approx(expected, rel=1e-5)


def test_scales_stay_in_range_and_those_that_are_there_may_be_described() -> None:
    network, images = make_network("tiny-separable"), some_images()
    with torch.no_grad():
        network.log_scales[0], network.log_scales[1] = 9.0, -9.0
    first = next(scale for _, scale, _, _ in network._norms())
    assert first.tolist() == pytest.approx([4.0, 0.25][: len(first)], rel=1e-6)
    network(images)
    folded = network.folded()
    for name, tensor in folded.folded_state().items():
        assert torch.equal(network.folded_state()[name], tensor), name
    for name, tensor in folded.biased_state().items():
        assert torch.equal(network.biased_state()[name], tensor), name


def test_in_bfloat16_scales_and_shifts_are_rounded_as_in_float32(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen = []

    def note(values: Tensor, scale: Tensor, shift: Tensor, settings: object) -> object:
        seen.append((values.dtype, scale.dtype, shift.dtype))
        return apply(values, scale, shift, settings)

    apply = normalized_qat._Normalize.apply
    monkeypatch.setattr(normalized_qat._Normalize, "apply", note)
    make_network("tiny-separable")(some_images().bfloat16())
    assert set(seen) == {(torch.bfloat16, torch.float32, torch.float32)}
    assert len(seen) == 7


def test_levels_are_those_of_a_network_that_is_not_normalised() -> None:
    plain = new_qat_network(spec_of("tiny-separable"), max_level=1, seed=4)
    network = new_normalized_network(spec_of("tiny-separable"), max_level=1, seed=4)
    assert torch.equal(network.values, plain.values)
    num = sum(layer.num_norm_features for layer in network.spec.layers if layer.normalized)
    assert network.statistics.tolist() == [0.0] * num + [1.0] * num


def test_in_bfloat16_logits_are_close() -> None:
    network, images = make_network("tiny-conv"), some_images()
    exact, rounded = network(images), network(images.bfloat16())
    assert rounded.dtype == torch.float32
    assert torch.corrcoef(torch.stack([exact.flatten(), rounded.flatten()]))[0, 1] > 0.99


@pytest.mark.slow
def test_training_learns_and_folding_keeps_what_it_learned() -> None:
    images, network = bright_images(), make_network("s-conv")
    settings = QATSettings(epochs=30, batch_size=20, lr=0.03)
    told = train_quantized(network, images, FIXED, settings, penalty=lambda *_: 0.0)
    logits = evaluate_quantized(network.folded(), images, FIXED)
    assert told[-1].error <= 0.15
    assert int((logits.argmax(1) != images.labels).sum()) <= 18
