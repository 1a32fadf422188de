"""Single changes: the score never rises, and what is reported is what the network does."""

import pytest
import torch

from analysis.certify.errors import CertifiedErrors, count_certified_errors
from analysis.codes.message import NetworkMessage
from analysis.codes.network_code import encode_network
from analysis.compress.qat_network import QATNetwork, new_qat_network
from analysis.compress.rate_penalty import score
from analysis.compress.refine import Refinement
from analysis.quantize.formats import find_format
from training.data.input_map import InputMap
from training.data.loading import load_dataset
from training.networks.models import build_network
from training.spec.architectures import NetworkSpec
from training.spec.config import DataConfig
from training.spec.normalization import fixed_normalization

DELTA = 0.05
FORMAT = find_format(8)
INPUTS = InputMap(fixed_normalization(3))


@pytest.fixture(scope="module")
def images():
    return load_dataset(DataConfig(image_size=8, num_train=200, num_test=10)).train


def refine(network: QATNetwork, images, **settings) -> Refinement:
    found = Refinement(network, images, INPUTS, delta=DELTA, **settings)
    found.run()
    return found


def make_network(name: str) -> QATNetwork:
    spec = NetworkSpec(name=name, image_size=8, num_classes=10, base_channels=1)
    return new_qat_network(spec, max_level=2, seed=3, round_scale=FORMAT.round)


def count_bits(network: QATNetwork) -> int:
    message = NetworkMessage(
        spec=network.spec, number_format=FORMAT, state=network.folded_state(), inputs=INPUTS
    )
    return encode_network(message, "context").num_bits


def count_exactly(network: QATNetwork, images) -> CertifiedErrors:
    """By the folded network in exact arithmetic, not by the one in levels."""
    folded = build_network(network.spec, folded=True).eval()
    folded.load_state_dict(network.folded_state())
    return count_certified_errors(folded, images, INPUTS)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["s-fc", "s-conv", "tiny-conv", "tiny-separable"])
def test_score_falls_and_is_true(images, name):
    network = make_network(name)
    before = score(
        count_exactly(network, images).num_errors, len(images), count_bits(network), DELTA
    )
    found = refine(network, images, count_bits=count_bits, num_trials=40)
    exact = count_exactly(network, images)
    # Where two logits are equal, the rounding of float32 may tell them apart.
    assert exact.num_errors - exact.num_ties <= found.num_errors <= exact.num_errors
    assert found.bits == count_bits(network)
    after = score(found.num_errors, len(images), found.bits, DELTA)
    assert after < before
    assert 0 < found.num_kept <= found.num_tried <= 40
    for tensor_name, levels in network.levels().items():
        assert torch.equal(levels, network.latents[tensor_name])
        assert levels.abs().max() <= network.max_level(tensor_name)


@pytest.mark.slow
def test_each_kept_change_lowers_the_score(images):
    """More trials go on where fewer stopped, so the scores fall with their number."""
    scores = []
    for num_trials in (0, 1, 5, 20, 40):
        network = make_network("s-conv")
        found = refine(network, images, count_bits=count_bits, num_trials=num_trials)
        assert found.num_tried <= num_trials
        scores.append(score(found.num_errors, len(images), found.bits, DELTA))
    assert scores == sorted(scores, reverse=True)


def test_refused_changes_are_undone(images):
    """A length that grows with every change leaves the network as it was."""
    network = make_network("s-conv")
    start = {name: levels.clone() for name, levels in network.levels().items()}
    calls: list[int] = []

    def count(_: QATNetwork) -> int:
        calls.append(0)
        return 1_000 if len(calls) == 1 else 10_000_000

    told: list[tuple[int, int]] = []
    found = refine(
        network,
        images,
        count_bits=count,
        num_trials=30,
        on_trial=lambda done, total: told.append((done, total)),
    )
    assert found.num_kept == 0
    assert found.bits == 1_000
    assert told == [(done, 30) for done in range(1, 31)]
    assert all(torch.equal(network.levels()[name], levels) for name, levels in start.items())


def test_no_trials_only_round(images):
    network = make_network("s-conv")
    expected = network.levels()
    found = refine(network, images, count_bits=count_bits, num_trials=0)
    assert (found.num_tried, found.num_kept) == (0, 0)
    assert all(torch.equal(network.levels()[name], levels) for name, levels in expected.items())


class CutError(Exception):
    """Work was cut."""


@pytest.fixture
def few_are_close(monkeypatch):
    """Changes are tried on 30 images, and all are counted after each second one that is kept."""
    monkeypatch.setattr("analysis.compress.close_images.NUM_CLOSE", 30)
    monkeypatch.setattr("analysis.compress.refine._RECOUNT", 2)


@pytest.mark.usefixtures("few_are_close")
@pytest.mark.parametrize("name", ["s-conv", "resnet18"])
def test_errors_are_those_on_all_images(images, name):
    network = make_network(name)
    found = refine(network, images, count_bits=lambda _: 1000, num_trials=40)
    exact = count_exactly(network, images)
    assert found.num_kept >= 2
    assert exact.num_errors - exact.num_ties <= found.num_errors <= exact.num_errors


@pytest.mark.usefixtures("few_are_close")
@pytest.mark.parametrize("number", [1, 2, 5, 8, 9, 10, 11, 12, 16])
def test_what_is_cut_continues_to_the_same_levels(images, number):
    whole = make_network("s-conv")
    expected = refine(whole, images, count_bits=count_bits, num_trials=12)
    calls = []

    def cut() -> None:
        calls.append(0)
        if len(calls) == number:
            raise CutError

    settings = {"count_bits": count_bits, "num_trials": 12, "delta": DELTA, "on_batch": cut}
    first = Refinement(make_network("s-conv"), images, INPUTS, **settings)
    with pytest.raises(CutError):
        first.run()
    network = make_network("s-conv")
    second = Refinement(network, images, INPUTS, **settings)
    if number > 1:  # else there was nothing to continue
        second.restore(first.state())
    second.run()
    assert torch.equal(network.values, whole.values)
    for name in ("num_tried", "num_kept", "num_errors", "bits"):
        assert getattr(second, name) == getattr(expected, name)
