"""tiny-conv: its sizes by hand, its pooling against torch's, its files and its folded form."""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from tests.examples import examples
from training.checkpoint.checkpoint import (
    Checkpoint,
    load_checkpoint,
    restore_network,
    save_checkpoint,
)
from training.networks.models import Network, build_network
from training.networks.norm_folding import fold_batch_norm
from training.networks.tiny_conv import TinyConv, halve
from training.spec.architectures import NETWORKS, NetworkSpec
from training.spec.normalization import fixed_normalization


def spec_of(image_size: int, *, in_channels: int = 3, kernels: int = 2) -> NetworkSpec:
    return NetworkSpec(
        name="tiny-conv",
        image_size=image_size,
        num_classes=10,
        in_channels=in_channels,
        base_channels=kernels,
    )


def trained_like(spec: NetworkSpec) -> Network:
    torch.manual_seed(0)
    network = build_network(spec)
    shape = (32, spec.in_channels, spec.image_size, spec.image_size)
    for _ in range(3):
        network(torch.randn(shape))
    for name, tensor in network.state_dict().items():
        if name.endswith(("norm.weight", "norm.bias")):
            tensor.normal_()
    return network.eval()


# (image side, sides behind the four convolutions, side of the dense layer's input)
SIZES = [(28, [14, 7, 7, 4], 2), (32, [16, 8, 8, 4], 2), (8, [4, 2, 2, 1], 1), (1, [1] * 4, 1)]


@pytest.mark.parametrize(("size", "sides", "last"), SIZES)
@pytest.mark.parametrize("folded", [False, True])
def test_sizes_from_layer_to_layer(size: int, sides: list[int], last: int, folded: bool) -> None:
    spec = spec_of(size)
    network = build_network(spec, folded=folded)
    assert isinstance(network, TinyConv)
    seen = {}
    for name in ("conv1", "conv2", "conv3", "conv4"):
        network.get_submodule(name).register_forward_hook(
            lambda _module, _args, output, name=name: seen.__setitem__(name, tuple(output.shape))
        )
    assert network(torch.randn(5, 3, size, size)).shape == (5, 10)
    assert list(seen.values()) == [(5, 16, side, side) for side in sides]
    assert [layer.out_size for layer in spec.layers] == [*sides, 1]
    assert spec.layers[-1].in_size == last


@pytest.mark.parametrize(
    ("size", "in_channels", "kernels", "weights"),
    [
        # 25 c b + 3 · 9 · 8b · b + 10 · 8b · side²
        (28, 1, 2, 50 + 864 + 640),
        (32, 3, 3, 225 + 1944 + 960),
        (8, 3, 1, 75 + 216 + 80),
    ],
)
def test_weights_are_those_of_the_table(
    size: int, in_channels: int, kernels: int, weights: int
) -> None:
    spec = spec_of(size, in_channels=in_channels, kernels=kernels)
    assert spec.num_weights == weights
    parameters = dict(build_network(spec).named_parameters())
    counted = sum(tensor.numel() for tensor in parameters.values() if tensor.dim() > 1)
    assert counted == weights
    assert all(len(parameters[f"conv{index}_norm.weight"]) == kernels for index in (1, 2, 3, 4))
    for layer in spec.layers:
        assert tuple(parameters[f"{layer.name}.weight"].shape) == layer.weight_shape


@given(size=st.integers(1, 9), channels=st.integers(1, 3), seed=st.integers(0, 1000))
@examples(0.3)
def test_pooling_is_that_of_torch(size: int, channels: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn(2, channels, size, size, generator=generator).relu()
    assert torch.equal(halve(values), F.max_pool2d(values, 2, ceil_mode=True))


@pytest.mark.parametrize("size", [8, 28])
def test_folding_keeps_the_outputs(size: int) -> None:
    network = trained_like(spec_of(size)).double()
    images = torch.randn(6, 3, size, size, dtype=torch.float64)
    folded = fold_batch_norm(network)
    assert len(folded.state_dict()["conv2_norm.scale"]) == 2
    torch.testing.assert_close(folded(images), network(images), rtol=0, atol=1e-10)


@pytest.mark.parametrize("folded", [False, True])
def test_a_file_gives_the_same_network(folded: bool, tmp_path: Path) -> None:
    network = trained_like(spec_of(9))
    network = fold_batch_norm(network) if folded else network
    checkpoint = Checkpoint(
        network=network.spec, state=network.state_dict(), normalization=fixed_normalization(3)
    )
    save_checkpoint(checkpoint, tmp_path / "tiny.pt")
    found = load_checkpoint(tmp_path / "tiny.pt")
    assert found.network == network.spec
    assert found.state.keys() == network.state_dict().keys()
    assert all(torch.equal(found.state[name], each) for name, each in network.state_dict().items())
    images = torch.randn(4, 3, 9, 9)
    assert torch.equal(restore_network(found)(images), network(images))


def test_codes_number_networks_by_their_place() -> None:
    """New networks come last, or old descriptions would stand for others."""
    assert NETWORKS[:8] == (
        "d-conv",
        "d-local",
        "d-fc",
        "s-conv",
        "s-local",
        "s-fc",
        "3-fc",
        "resnet18",
    )
    assert NETWORKS[8] == "tiny-conv"
    with pytest.raises(ValueError, match="no conv, local and fc twins"):
        spec_of(8).twin("fc")
