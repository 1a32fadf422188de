"""Errors counted from the changed layer on are those of the whole network."""

import pytest
import torch

from analysis.compress import close_images
from analysis.compress.close_images import CloseImages, kept_bytes
from analysis.compress.qat_network import QATNetwork, new_qat_network
from analysis.compress.qat_training import count_wrong
from training.data.input_map import InputMap
from training.data.loading import load_dataset
from training.spec.architectures import NetworkSpec
from training.spec.config import DataConfig
from training.spec.normalization import fixed_normalization

INPUTS = InputMap(fixed_normalization(3))
NETWORKS = ["s-fc", "s-local", "d-conv", "3-fc", "resnet18", "tiny-conv", "tiny-separable"]


@pytest.fixture(scope="module")
def images():
    return load_dataset(DataConfig(image_size=16, num_train=60, num_test=10)).train


def make_network(name: str) -> QATNetwork:
    width = {"hidden_units": 6} if name == "3-fc" else {"base_channels": 1}
    spec = NetworkSpec(name=name, image_size=16, num_classes=10, **width)
    return new_qat_network(spec, max_level=2, seed=3)


@torch.no_grad()
def errors_of(network: QATNetwork, close: CloseImages) -> int:
    return count_wrong(network(close.inputs), close.labels)


def margins_of(logits: torch.Tensor, labels: torch.Tensor) -> list[float]:
    """How far the label's logit is from the largest other one, image by image."""
    rows = zip(logits.tolist(), labels.tolist(), strict=True)
    return [abs(row.pop(label) - max(row)) for row, label in rows]


@torch.no_grad()
@pytest.mark.parametrize("name", NETWORKS)
def test_counts_are_those_of_the_whole_network(name, images):
    network = make_network(name)
    close = CloseImages(network, network(INPUTS(images.images)), images, INPUTS)
    names, generator = network.layer_names(), torch.Generator().manual_seed(0)
    assert len(names) == network.values.numel()
    assert close.count_wrong(network, names[0]) == errors_of(network, close)
    close.keep()
    counts = set()
    for step, layer in enumerate([*dict.fromkeys(names), *reversed(dict.fromkeys(names))]):
        before = network.values.clone()
        own = torch.tensor([each == layer for each in names])
        changes = torch.randint(-2, 3, (len(names),), generator=generator)
        network.values += own * changes
        counted = close.count_wrong(network, layer)
        assert counted == errors_of(network, close)
        counts.add(counted)
        if step % 2:  # kept; else taken back, and the next count begins with what was kept
            close.keep()
        else:
            network.values.copy_(before)
    assert len(counts) > 1


@torch.no_grad()
def test_the_closest_are_taken(images, monkeypatch):
    monkeypatch.setattr(close_images, "NUM_CLOSE", 7)
    network = make_network("tiny-conv")
    logits = network(INPUTS(images.images))
    close = CloseImages(network, logits, images, INPUTS)
    smallest = sorted(margins_of(logits, images.labels))[:7]
    assert margins_of(network(close.inputs), close.labels) == pytest.approx(smallest, abs=1e-5)


def test_memory_is_what_the_layers_take(images):
    network = make_network("tiny-conv")
    close = CloseImages(network, network(INPUTS(images.images)).detach(), images, INPUTS)
    with torch.no_grad():
        close.count_wrong(network, network.layer_names()[0])
    kept = [close.inputs, *close._tried.values()][:-1]
    assert kept_bytes(network.spec, len(images)) == 2 * sum(each.nbytes for each in kept)
