"""Compression from a prior: it starts there, its rate is that of changes, its bits are relative."""

from dataclasses import replace

import pytest
import torch

from analysis.certify.errors import count_certified_errors
from analysis.codes import RELATIVE
from analysis.codes.bit_file import decoded_codeword
from analysis.codes.checkpoint_message import message_network
from analysis.codes.network_code import Codeword, decode_network
from analysis.compress.compress import compress_from_prior
from analysis.compress.compression import CompressionSettings
from analysis.compress.normalized_qat import new_normalized_network
from analysis.compress.qat_network import QATNetwork
from analysis.compress.qat_training import QATSettings
from analysis.compress.start import prior_network
from analysis.quantize.formats import find_format
from tests.analysis.codes.conftest import _random_message
from training.data.image_set import ImageSet
from training.data.loading import load_dataset
from training.spec.architectures import NetworkSpec
from training.spec.config import DataConfig

FORMAT = find_format(8)
SPEC = NetworkSpec(name="tiny-conv", image_size=8, num_classes=10, base_channels=1)


@pytest.fixture(scope="module")
def prior() -> Codeword:
    """A network in three levels, as compression leaves one."""
    message = _random_message(SPEC, format_name="e4m3fn", num_levels=1)
    state = {}
    for name, tensor in message.state.items():
        state[name] = tensor
        if name.endswith("scale"):
            state[name] = torch.full_like(tensor, 0.25)
        if name.endswith(("shift", "bias")):
            state[name] = (tensor * 4).round().clamp(-9, 9) / 4
    return decoded_codeword(replace(message, state=state))


@pytest.fixture(scope="module")
def images() -> ImageSet:
    return load_dataset(DataConfig(image_size=8, num_train=200, num_test=10)).train


def settings(**changes) -> CompressionSettings:
    training = QATSettings(epochs=changes.pop("epochs", 3), batch_size=20, lr=0.05)
    return CompressionSettings(training=training, levels=(1,), **{"num_trials": 15} | changes)


@pytest.mark.parametrize("levels", [1, 2])
def test_training_starts_at_the_prior_itself(prior: Codeword, levels: int) -> None:
    network = prior_network(SPEC, prior.message.state, FORMAT, max_level=levels)
    for name, tensor in network.folded_state().items():
        assert torch.equal(tensor, prior.message.state[name]), name


def test_units_of_a_prior_may_have_scales_of_their_own() -> None:
    spec = NetworkSpec(name="tiny-separable", image_size=8, num_classes=10, base_channels=2)
    network = new_normalized_network(spec, max_level=1, seed=0, round_scale=FORMAT.round)
    with torch.no_grad():
        network.log_scales[1] = 0.7
    state = network.folded().folded_state()
    assert len(state["conv1_norm.scale"].unique()) == 2
    found = prior_network(spec, state, FORMAT).folded_state()
    for name, tensor in state.items():
        assert torch.equal(found[name], tensor), name


def by_hand(network: QATNetwork, prior: dict[str, torch.Tensor]) -> float:
    """Bits of all levels by their shares among the places where the prior has the same level."""
    bits = 0.0
    for name, levels in network.levels().items():
        num = 2 * network.max_level(name) + 1
        for level in prior[name].unique():
            own = levels[prior[name] == level]
            for value, count in zip(*own.unique(return_counts=True), strict=True):
                assert abs(int(value)) <= network.max_level(name)
                share = (int(count) + 0.5) / (len(own) + num / 2)
                bits -= int(count) * float(torch.tensor(share).log2())
    return bits


def test_the_rate_is_that_of_changes(prior: Codeword) -> None:
    network = prior_network(SPEC, prior.message.state, FORMAT)
    before = network.levels()
    network.update_lengths()
    start = float(network.rate().detach())
    assert start == pytest.approx(by_hand(network, before), rel=1e-5)
    with torch.no_grad():
        for latent in network.latents.values():
            latent[torch.rand(latent.shape, generator=torch.Generator().manual_seed(0)) < 0.3] = 1.0
    network.update_lengths()
    changed = float(network.rate().detach())
    assert changed == pytest.approx(by_hand(network, before), rel=1e-5)
    assert changed > 1.5 * start


def test_from_a_prior(prior: Codeword, images: ImageSet) -> None:
    result = compress_from_prior(SPEC, prior, images, number_format=FORMAT, settings=settings())
    assert [point.stage for point in result.curve if point.stage == "start"] == ["start"]
    assert result.curve[0].description_bits == 3
    decoded = decode_network(result.codeword.data, prior=prior)
    assert (decoded.code, decoded.num_bits) == (RELATIVE, result.codeword.num_bits)
    assert decoded.num_bits < prior.num_bits / 2
    inputs = decoded.message.known_inputs
    errors = count_certified_errors(message_network(decoded.message), images, inputs)
    assert errors == result.errors
    assert result.bound <= result.curve[0].bound


def test_a_prior_for_other_classes(prior: Codeword, images: ImageSet) -> None:
    spec = replace(SPEC, num_classes=12)
    result = compress_from_prior(
        spec, prior, images, number_format=FORMAT, settings=settings(epochs=1, num_trials=0)
    )
    assert result.codeword.message.spec == spec


@pytest.mark.parametrize(
    ("name", "value"),
    [("conv1.weight", 0.5), ("conv1.weight", 17.0), ("fc.bias", 0.3), ("conv2_norm.scale", 0.0)],
)
def test_a_prior_that_is_not_in_levels_is_refused(prior: Codeword, name: str, value: float) -> None:
    state = {key: tensor.clone() for key, tensor in prior.message.state.items()}
    state[name].view(-1)[0] = value
    if name == "fc.bias":
        state[name] += 100
    with pytest.raises(ValueError, match="not in levels"):
        prior_network(SPEC, state, FORMAT)
