"""Local layers against a loop and a convolution, pixelwise ones against a convolution."""

import itertools

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from training.networks.layers import LocallyConnected2d, PixelwiseConv2d, ScaleShift


def loop_over_everything(layer, images):
    """Σ over the window of weight times pixel, one term at a time."""
    k, size = layer.kernel_size, layer.in_size
    output = torch.zeros(
        len(images), layer.out_channels, layer.out_size, layer.out_size, dtype=images.dtype
    )
    weight = layer.weight.detach().view(
        layer.out_size, layer.out_size, layer.out_channels, layer.in_channels, k, k
    )
    for row, column in itertools.product(range(layer.out_size), repeat=2):
        for i, j in itertools.product(range(k), repeat=2):
            y, x = row * layer.stride + i - k // 2, column * layer.stride + j - k // 2
            if 0 <= y < size and 0 <= x < size:
                kernel = weight[row, column, :, :, i, j]
                output[:, :, row, column] += images[:, :, y, x] @ kernel.t()
    return output


SHAPES = {
    "channels": st.integers(1, 3),
    "units": st.integers(1, 3),
    "size": st.integers(1, 8),
    "kernel": st.sampled_from([1, 3, 5, 9]),
    "stride": st.integers(1, 3),
}


@settings(deadline=None, max_examples=25)
@given(**SHAPES)
def test_equals_a_loop_over_positions(channels, units, size, kernel, stride):
    torch.manual_seed(size)
    layer = LocallyConnected2d(channels, units, size, kernel, stride).double()
    images = torch.randn(3, channels, size, size, dtype=torch.float64)
    expected = loop_over_everything(layer, images)
    assert layer(images).shape == expected.shape
    torch.testing.assert_close(layer(images), expected, rtol=0, atol=1e-12)


@settings(deadline=None, max_examples=25)
@given(**SHAPES)
def test_equals_a_convolution_when_all_kernels_are_equal(channels, units, size, kernel, stride):
    torch.manual_seed(size)
    layer = LocallyConnected2d(channels, units, size, kernel, stride).double()
    kernels = torch.randn(units, channels, kernel, kernel, dtype=torch.float64)
    with torch.no_grad():
        layer.weight.copy_(kernels.flatten(1).expand_as(layer.weight))
    images = torch.randn(2, channels, size, size, dtype=torch.float64)
    expected = F.conv2d(images, kernels, stride=stride, padding=kernel // 2)
    torch.testing.assert_close(layer(images), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("stride", [1, 2])
def test_gradients(stride):
    torch.manual_seed(0)
    layer = LocallyConnected2d(2, 3, 5, 3, stride).double()
    images = torch.randn(2, 2, 5, 5, dtype=torch.float64, requires_grad=True)

    def output(images, weight):
        return torch.func.functional_call(layer, {"weight": weight}, (images,))

    assert torch.autograd.gradcheck(output, (images, layer.weight))


def test_gradients_equal_those_of_a_convolution_over_positions():
    """A shared kernel's gradient is the sum of the gradients of its copies."""
    torch.manual_seed(1)
    layer = LocallyConnected2d(3, 4, 9, 3, 2).double()
    kernels = torch.randn(4, 3, 3, 3, dtype=torch.float64, requires_grad=True)
    with torch.no_grad():
        layer.weight.copy_(kernels.flatten(1).expand_as(layer.weight))
    images = torch.randn(5, 3, 9, 9, dtype=torch.float64)
    seen, reference = images.clone().requires_grad_(), images.clone().requires_grad_()
    upstream = torch.randn(5, 4, 5, 5, dtype=torch.float64)
    layer(seen).backward(upstream)
    F.conv2d(reference, kernels, stride=2, padding=1).backward(upstream)
    torch.testing.assert_close(seen.grad, reference.grad)
    torch.testing.assert_close(layer.weight.grad.sum(dim=0), kernels.grad.flatten(1))


def test_weights_that_see_only_padding_have_no_gradient():
    layer = LocallyConnected2d(1, 1, 3, 3)
    layer(torch.ones(2, 1, 3, 3)).sum().backward()
    corner = layer.weight.grad[0, 0].view(3, 3)
    assert corner[0].tolist() == corner[:, 0].tolist() == [0, 0, 0]
    assert corner[1:, 1:].eq(2).all()
    assert layer.weight.grad[4].eq(2).all()


@settings(deadline=None)
@given(
    channels=st.integers(1, 5),
    units=st.integers(1, 5),
    stride=st.integers(1, 4),
    sizes=st.one_of(
        st.tuples(st.just(1), st.integers(1, 9)), st.tuples(st.sampled_from([3, 5, 9]), st.just(1))
    ),
)
def test_a_pixelwise_convolution_has_the_numbers_of_a_convolution(channels, units, stride, sizes):
    kernel, size = sizes
    torch.manual_seed(size)
    layer = PixelwiseConv2d(channels, units, kernel, stride).double()
    images = torch.randn(3, channels, size, size, dtype=torch.float64, requires_grad=True)
    expected = F.conv2d(images, layer.weight, stride=stride, padding=kernel // 2)
    outputs = layer(images)
    torch.testing.assert_close(outputs, expected, rtol=0, atol=1e-12)
    upstream = torch.randn_like(expected)
    leaves = (images, layer.weight)
    found = torch.autograd.grad(outputs, leaves, upstream)
    for gradient, same in zip(found, torch.autograd.grad(expected, leaves, upstream), strict=True):
        torch.testing.assert_close(gradient, same, rtol=0, atol=1e-12)


def test_a_pixelwise_convolution_keeps_the_channels_last():
    images = torch.randn(2, 4, 8, 8).contiguous(memory_format=torch.channels_last)
    assert PixelwiseConv2d(4, 6, 1, 2)(images).is_contiguous(memory_format=torch.channels_last)


def test_a_pixelwise_convolution_refuses_what_is_none():
    with pytest.raises(ValueError, match="one pixel"):
        PixelwiseConv2d(1, 1, 3, 1)(torch.ones(1, 1, 2, 2))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast_multiplies_in_16_bits_and_keeps_float32_gradients(dtype):
    torch.manual_seed(0)
    layer = LocallyConnected2d(3, 4, 8, 3, 2)
    images = torch.randn(6, 3, 8, 8, requires_grad=True)
    exact = layer(images)
    with torch.autocast("cpu", dtype=dtype):
        rounded = layer(images)
    assert rounded.dtype == dtype
    torch.testing.assert_close(rounded.float(), exact, rtol=0.02, atol=0.02)
    rounded.sum().backward()
    assert layer.weight.grad.dtype == images.grad.dtype == torch.float32


def test_autocast_leaves_float64_alone():
    layer = LocallyConnected2d(1, 2, 4, 3).double()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert layer(torch.randn(2, 1, 4, 4, dtype=torch.float64)).dtype == torch.float64


def test_meta_device():
    with torch.device("meta"):
        layer = LocallyConnected2d(3, 150, 32, 9, 2)
        output = layer(torch.empty(2, 3, 32, 32))
    assert layer.weight.shape == (256, 150, 243)
    assert output.shape == (2, 150, 16, 16)


def test_training_after_inference_mode():
    layer = LocallyConnected2d(1, 1, 4, 3)
    with torch.inference_mode():
        layer(torch.ones(1, 1, 4, 4))
    layer(torch.ones(1, 1, 4, 4)).sum().backward()
    assert layer.weight.grad is not None


def test_initialisation_is_uniform_with_the_kernels_fan_in():
    torch.manual_seed(0)
    layer = LocallyConnected2d(3, 16, 8, 5)
    bound = 75**-0.5
    assert layer.weight.abs().max() <= bound
    assert layer.weight.std().item() == pytest.approx(bound / 3**0.5, rel=0.02)


def test_refuses_even_kernels_and_other_images():
    with pytest.raises(ValueError, match="kernel_size must be odd"):
        LocallyConnected2d(1, 1, 4, 2)
    layer = LocallyConnected2d(2, 1, 4, 3)
    with pytest.raises(ValueError, match=r"\(N, 2, 4, 4\), not \(1, 3, 4, 4\)"):
        layer(torch.ones(1, 3, 4, 4))


@pytest.mark.parametrize(
    ("norm", "shape"), [(nn.BatchNorm1d, (5, 3)), (nn.BatchNorm2d, (5, 3, 2, 2))]
)
def test_scale_shift_is_batch_norm_in_eval_mode(norm, shape):
    torch.manual_seed(0)
    reference = norm(3, eps=0).double().eval()
    reference.running_mean.normal_()
    reference.running_var.uniform_(0.5, 2)
    layer = ScaleShift(3).double()
    values = torch.randn(shape, dtype=torch.float64)
    assert torch.equal(layer(values), values)
    with torch.no_grad():
        layer.scale.copy_(reference.running_var.rsqrt())
        layer.shift.copy_(-reference.running_mean * layer.scale)
    torch.testing.assert_close(layer(values), reference(values), rtol=0, atol=1e-12)
