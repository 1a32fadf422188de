"""Layouts are moved as torch's own permutations move them."""

import pytest
import torch

from training.networks.memory_layouts import flatten_units, put_chwn

LAYOUTS = {
    "images": lambda images: images.contiguous(),
    "channels last": lambda images: images.contiguous(memory_format=torch.channels_last),
    "CHWN": lambda images: images.permute(2, 3, 1, 0).contiguous().permute(3, 2, 0, 1),
    "others between": lambda images: images.repeat_interleave(2, dim=3)[..., ::2],
}
SHAPES = [(5, 3, 4, 4), (1, 3, 4, 4), (5, 1, 1, 1), (1, 1, 1, 1), (0, 3, 4, 4), (5, 3, 1, 1)]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("shape", SHAPES)
def test_put_chwn_permutes(layout, shape):
    images = LAYOUTS[layout](torch.randn(shape))
    last = put_chwn(images)
    assert last.is_contiguous()
    assert torch.equal(last, images.permute(2, 3, 1, 0))


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("shape", [*SHAPES, (600, 3, 9, 9)])
def test_flatten_units_flattens(layout, shape, dtype):
    images = LAYOUTS[layout](torch.randn(shape).to(dtype)).requires_grad_()
    rows = flatten_units(images)
    assert torch.equal(rows, images.flatten(1))
    upstream = torch.randn_like(rows)
    rows.backward(upstream)
    assert torch.equal(images.grad, upstream.view(shape))


def test_chwn_images_are_not_copied_and_stay_chwn():
    images = LAYOUTS["CHWN"](torch.randn(5, 3, 4, 4))
    assert put_chwn(images).data_ptr() == images.data_ptr()
    assert flatten_units(images).t().is_contiguous()


def test_flatten_units_leaves_matrices():
    rows = torch.randn(5, 3)
    assert torch.equal(flatten_units(rows), rows)
