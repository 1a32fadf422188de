"""The product without patches against the one with patches, in integers, so exactly."""

import itertools

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import example, given
from hypothesis import strategies as st

from tests.examples import examples
from training.kernels.compiled import can_compile
from training.networks import local_product as module
from training.networks.layers import LocallyConnected2d, extract_patches
from training.networks.local_product import LocalShape, link_places, local_product, takes_product

pytestmark = pytest.mark.skipif(not can_compile(), reason="numba is not installed")


def draw_whole(*shape):
    """Integers from -2 to 2: their sums are exact in float32."""
    return torch.randint(-2, 3, shape).to(torch.bfloat16)


def run(shape, images, weight, upstream):
    """Outputs, and gradients of images and weight, by `local_product`."""
    images, weight = images.detach().requires_grad_(), weight.detach().requires_grad_()
    outputs = local_product(images, weight, shape)
    outputs.backward(upstream)
    return outputs.detach(), images.grad, weight.grad


def run_exactly(shape, images, weight, upstream):
    """The same in float64 by way of patches, rounded at the end."""
    layer = LocallyConnected2d(
        shape.in_channels, shape.out_channels, shape.in_size, shape.kernel_size, shape.stride
    ).double()
    with torch.no_grad():
        layer.weight.copy_(weight)
    images = images.detach().double().requires_grad_()
    outputs = layer(images)
    outputs.backward(upstream.double())
    exact = (outputs.detach(), images.grad, layer.weight.grad)
    return [each.to(torch.bfloat16) for each in exact]


def draw_case(shape, batch):
    return (
        draw_whole(batch, shape.in_channels, shape.in_size, shape.in_size),
        draw_whole(shape.out_size**2, shape.out_channels, shape.fan_in),
        draw_whole(batch, shape.out_channels, shape.out_size, shape.out_size),
    )


@examples(0.5)
@example(in_channels=3, out_channels=4, size=5, kernel=3, stride=1, batch=64)
@example(in_channels=4, out_channels=33, size=2, kernel=3, stride=2, batch=33)
@example(in_channels=1, out_channels=1, size=1, kernel=1, stride=1, batch=32)
@given(
    in_channels=st.integers(1, 12),
    out_channels=st.integers(1, 12),
    size=st.integers(1, 6),
    kernel=st.sampled_from([1, 3, 5, 9]),
    stride=st.integers(1, 3),
    batch=st.integers(32, 130),
)
def test_equals_the_product_of_patches(*, in_channels, out_channels, size, kernel, stride, batch):
    torch.manual_seed(batch)
    shape = LocalShape(in_channels, out_channels, size, kernel, stride)
    case = draw_case(shape, batch)
    for result, exact in zip(run(shape, *case), run_exactly(shape, *case), strict=True):
        assert result.dtype == torch.bfloat16
        assert torch.equal(result, exact)


def test_each_sum_is_rounded_once():
    torch.manual_seed(0)
    shape = LocalShape(6, 9, 6, 5, 1)
    case = [torch.randn_like(each) for each in draw_case(shape, 70)]
    for result, exact in zip(run(shape, *case), run_exactly(shape, *case), strict=True):
        # One unit in the last place where a float32 sum lies across the middle between two.
        close = (result.double() - exact.double()).abs() <= 2**-7 * exact.double().abs() + 1e-4
        assert close.all()
        assert (result == exact).double().mean() > 0.99


@pytest.mark.parametrize("num_threads", [1, 2, 3])
def test_threads_do_not_change_the_result(num_threads, monkeypatch):
    torch.manual_seed(0)
    shape = LocalShape(3, 40, 5, 3, 2)
    case = [torch.randn_like(each) for each in draw_case(shape, 45)]
    alone = run(shape, *case)
    monkeypatch.setattr(module, "_GRAIN", 1)
    monkeypatch.setattr(torch, "get_num_threads", lambda: num_threads)
    for result, expected in zip(run(shape, *case), alone, strict=True):
        assert torch.equal(result, expected)


def test_any_layout_is_taken_and_the_batch_comes_out_last():
    torch.manual_seed(0)
    shape = LocalShape(3, 4, 5, 3, 2)
    images, weight, upstream = draw_case(shape, 40)
    expected = run_exactly(shape, images, weight, upstream)
    for turn in (
        lambda each: each.contiguous(memory_format=torch.channels_last),
        lambda each: each.permute(2, 3, 1, 0).contiguous().permute(3, 2, 0, 1),
        lambda each: each.mT.contiguous().mT,
    ):
        results = run(shape, turn(images), weight, turn(upstream))
        for result, exact in zip(results, expected, strict=True):
            assert torch.equal(result, exact)
        assert results[0].permute(2, 3, 1, 0).is_contiguous()
    turned = weight.mT.contiguous().mT
    assert torch.equal(run(shape, images, turned, upstream)[2], expected[2])


def test_nan_stays_in_its_image_and_reaches_its_gradients():
    torch.manual_seed(0)
    shape = LocalShape(1, 2, 3, 3, 1)
    images, weight, upstream = draw_case(shape, 35)
    images[4, 0, 1, 1] = torch.nan
    outputs, of_images, of_weight = run(shape, images, weight, upstream)
    assert outputs[4].isnan().all()
    assert not outputs[torch.arange(35) != 4].isnan().any()
    assert not of_images.isnan().any()
    assert of_weight[4, :, 4].isnan().all()


def test_images_without_gradient_get_none(monkeypatch):
    shape = LocalShape(2, 3, 4, 3, 1)
    images, weight, upstream = draw_case(shape, 32)
    products = []
    multiply = module._multiply
    monkeypatch.setattr(
        module, "_multiply", lambda *args, back: products.append(back) or multiply(*args, back=back)
    )
    weight.requires_grad_()
    local_product(images, weight, shape).backward(upstream)
    assert products == [False]
    assert weight.grad is not None


def test_outputs_may_change_in_place():
    shape = LocalShape(2, 3, 4, 3, 1)
    images, weight, upstream = draw_case(shape, 32)
    outputs = F.relu(local_product(images, weight.requires_grad_(), shape), inplace=True)
    outputs.backward(upstream)
    _, _, expected = run_exactly(shape, images, weight, upstream * (outputs > 0))
    assert torch.equal(weight.grad, expected)


def test_takes_bfloat16_batches_of_a_tile_or_more():
    weight = torch.zeros(9, 1, 9, dtype=torch.bfloat16)
    images = torch.zeros(32, 1, 3, 3, dtype=torch.bfloat16)
    assert takes_product(images, weight)
    assert not takes_product(images[:31], weight)
    assert not takes_product(images.float(), weight.float())
    assert not takes_product(images.float(), weight)
    assert not takes_product(images.to("meta"), weight.to("meta"))


def test_the_smallest_batch_is_a_tile():
    from training.kernels.vector_code import COLUMNS

    assert module._SMALLEST_BATCH == COLUMNS


@pytest.mark.parametrize("batch", [0, 1, 31, 32, 50])
@pytest.mark.parametrize("grad", [True, False])
def test_the_layer_under_autocast_at_any_batch(batch, grad):
    torch.manual_seed(0)
    layer = LocallyConnected2d(2, 5, 5, 3, 2)
    shape = LocalShape(2, 5, 5, 3, 2)
    images, weight, upstream = draw_case(shape, batch)
    expected = run_exactly(shape, images, weight, upstream)
    images = images.float().requires_grad_()
    leaf = weight.requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16), torch.set_grad_enabled(grad):
        outputs = torch.func.functional_call(layer, {"weight": leaf}, (images,))
    assert torch.equal(outputs, expected[0])
    if grad:
        outputs.backward(upstream)
        assert leaf.grad.dtype == torch.bfloat16
        assert torch.equal(leaf.grad, expected[2])
        assert images.grad.dtype == torch.float32
        # Patches add up in bfloat16, integers that are small enough.
        assert torch.equal(images.grad, expected[1].float())


SIZES = {
    "size": st.integers(1, 7),
    "kernel": st.sampled_from([1, 3, 5, 9]),
    "stride": st.integers(1, 3),
}


def unroll(links):
    """Every link as (place, end, source)."""
    places = np.repeat(np.arange(len(links.bounds) - 1), np.diff(links.bounds))
    return list(zip(places.tolist(), links.ends.tolist(), links.sources.tolist(), strict=True))


@examples(0.3)
@given(**SIZES)
def test_links_are_those_of_a_loop(size, kernel, stride):
    out_size = -(-size // stride)
    expected = []
    for row, column in itertools.product(range(out_size), repeat=2):
        for i, j in itertools.product(range(kernel), repeat=2):
            y, x = row * stride + i - kernel // 2, column * stride + j - kernel // 2
            if 0 <= y < size and 0 <= x < size:
                position = row * out_size + column
                expected.append((position, y * size + x, position * 1000 + i * kernel + j))
    forth, back = link_places(size, kernel, stride, 1000)
    assert sorted(unroll(forth)) == sorted(expected)
    assert sorted((end, place, source) for place, end, source in unroll(back)) == sorted(expected)
    assert forth.most == np.diff(forth.bounds).max()
    assert back.most == np.diff(back.bounds).max()


@examples(0.3)
@given(**SIZES)
def test_patches_hold_the_pixels_at_the_ends(size, kernel, stride):
    pixels = torch.arange(1.0, size**2 + 1).view(1, 1, size, size)
    patches = extract_patches(pixels, kernel, stride)[:, :, 0]
    forth, _ = link_places(size, kernel, stride, kernel**2)
    seen = torch.zeros(patches.numel())
    for _, end, source in unroll(forth):
        seen[source] = end + 1
    assert torch.equal(seen.view_as(patches), patches)
