"""Kernels in all eight positions of a square."""

import itertools

import pytest
import torch
from torch.nn import functional as F

from training.networks.models import LayeredNetwork, build_network
from training.networks.symmetric import SymmetricBatchNorm2d, SymmetricConv2d, compose, turn_kernels
from training.spec.architectures import NetworkSpec

SPEC = NetworkSpec(name="tiny-conv", image_size=13, num_classes=3, in_channels=2, base_channels=2)


def turn(planes: torch.Tensor, element: int) -> torch.Tensor:
    return torch.rot90(planes.flip(-1) if element >= 4 else planes, element % 4, (-2, -1))


@pytest.mark.parametrize(("first", "second"), list(itertools.product(range(8), range(8))))
def test_composition_is_that_of_what_happens_to_a_square(first: int, second: int) -> None:
    square = torch.arange(9).view(3, 3)
    both = turn(turn(square, second), first)
    assert torch.equal(both, turn(square, compose(first, second)))


@pytest.mark.parametrize("element", range(8))
def test_turning_the_image_turns_and_permutes_the_output(element: int) -> None:
    """Two layers of stride 1 on an odd side: f(g x) = g f(x), channel h of it at g h."""
    torch.manual_seed(0)
    images = torch.randn(2, 2, 7, 7, dtype=torch.float64)
    first = torch.randn(2, 2, 3, 3, dtype=torch.float64)
    second = torch.randn(3, 16, 3, 3, dtype=torch.float64)

    def compute(inputs: torch.Tensor) -> torch.Tensor:
        hidden = F.relu(F.conv2d(inputs, turn_kernels(first, 1), padding=1))
        return F.conv2d(hidden, turn_kernels(second, 8), padding=1)

    plain = compute(images).unflatten(1, (3, 8))
    moved = compute(turn(images, element)).unflatten(1, (3, 8))
    for channel in range(8):
        target = moved[:, :, compose(element, channel)]
        torch.testing.assert_close(target, turn(plain[:, :, channel], element))


@pytest.mark.parametrize("symmetries", [1, 8])
def test_the_gradient_of_turned_kernels_is_that_of_differences(symmetries: int) -> None:
    generator = torch.Generator().manual_seed(0)
    kernels = torch.randn(2, 2 * symmetries, 3, 3, generator=generator, dtype=torch.float64)
    assert torch.autograd.gradcheck(
        lambda values: turn_kernels(values, symmetries), kernels.requires_grad_()
    )


def test_a_bias_is_shared_by_the_positions_of_a_kernel() -> None:
    layer = SymmetricConv2d(SPEC.layers[0], bias=True)
    with torch.no_grad():
        layer.weight.zero_()
        layer.bias.copy_(torch.tensor([1.0, -2.0]))
    outputs = layer(torch.ones(1, 2, 13, 13))
    assert outputs[0, :, 3, 3].tolist() == [1.0] * 8 + [-2.0] * 8


def test_a_depthwise_layer_turns_each_kernel_over_its_own_channel() -> None:
    spec = NetworkSpec(name="tiny-separable", image_size=7, num_classes=3, base_channels=2)
    layer = SymmetricConv2d(spec.layers[1])
    images = torch.randn(2, 16, 4, 4)
    outputs = layer(images)
    for kernel, position in itertools.product(range(2), range(8)):
        channel = 8 * kernel + position
        turned = turn(layer.weight[kernel], position)[None]
        expected = F.conv2d(images[:, channel : channel + 1], turned, padding=1)
        torch.testing.assert_close(outputs[:, channel : channel + 1], expected)


@pytest.mark.parametrize("element", range(8))
def test_turning_an_image_permutes_what_the_separable_network_sees(element: int) -> None:
    """Up to the first pooling, on a side that the stride leaves symmetric."""
    torch.manual_seed(0)
    spec = NetworkSpec(name="tiny-separable", image_size=17, num_classes=3, base_channels=2)
    network = build_network(spec).eval().double()
    images = torch.randn(2, 3, 17, 17, dtype=torch.float64)

    def units(inputs: torch.Tensor) -> torch.Tensor:
        values = inputs
        for name in ("conv1", "conv2", "conv3"):
            values = LayeredNetwork.step(network, name, values)
        return values.unflatten(1, (-1, 8))

    plain, moved = units(images), units(turn(images, element))
    for channel in range(8):
        target = moved[:, :, compose(element, channel)]
        torch.testing.assert_close(target, turn(plain[:, :, channel], element))


def test_only_kernels_are_parameters_and_the_network_is_small() -> None:
    network = build_network(SPEC)
    shapes = {name: tuple(each.shape) for name, each in network.named_parameters()}
    assert shapes["conv1.weight"] == (2, 2, 5, 5)
    assert shapes["conv2.weight"] == (2, 16, 3, 3)
    assert shapes["conv1_norm.weight"] == (2,)
    # 13 -> 7 -> 4, pooled after conv3 to 2 and after conv4 to 1
    assert shapes["fc.weight"] == (3, 16)
    assert isinstance(network.conv1, SymmetricConv2d)
    assert isinstance(network.conv1_norm, SymmetricBatchNorm2d)


def test_the_border_is_padded_with_itself() -> None:
    """A kernel that averages gives a constant image back, border and all."""
    layer = SymmetricConv2d(SPEC.layers[0])
    torch.nn.init.constant_(layer.weight, 1 / layer.weight[0].numel())
    outputs = layer(torch.full((1, 2, 13, 13), -2.0))
    torch.testing.assert_close(outputs, torch.full_like(outputs, -2.0))


def test_batch_norm_takes_the_eight_channels_together() -> None:
    torch.manual_seed(0)
    values = 3 * torch.randn(5, 16, 4, 4) + 1
    outputs = SymmetricBatchNorm2d(2)(values).unflatten(1, (2, 8))
    torch.testing.assert_close(outputs.mean((0, 2, 3, 4)), torch.zeros(2), atol=1e-5, rtol=0)
    together = values.unflatten(1, (2, 8))
    mean = together.mean((0, 2, 3, 4), keepdim=True)
    spread = together.var((0, 2, 3, 4), keepdim=True, unbiased=False).sqrt()
    torch.testing.assert_close(outputs, (together - mean) / spread, atol=1e-4, rtol=1e-4)
