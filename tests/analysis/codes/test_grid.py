"""Layouts against the table of layers and the geometry of convolutions."""

from math import prod

import pytest
import torch

from analysis.codes.grid import Grid, layer_grid, plain_grid, shape_grid
from analysis.codes.kernels.support_kernel import FIXED_CENTRE, NO_CENTRE, UNIT_CENTRE
from training.networks.embedding import input_units
from training.spec.architectures import NETWORKS, LayerSpec, NetworkSpec


def all_layers(image_size: int = 9) -> list[LayerSpec]:
    layers = []
    for name in NETWORKS:
        width = {"hidden_units": 5} if name == "3-fc" else {"base_channels": 2}
        spec = NetworkSpec(name=name, image_size=image_size, num_classes=3, in_channels=2, **width)
        layers += spec.layers
    return layers


@pytest.mark.parametrize("layer", all_layers(), ids=lambda layer: f"{layer.kind}-{layer.name}")
def test_every_weight_has_one_place(layer: LayerSpec) -> None:
    grid = layer_grid(layer)
    assert grid.num_rows * grid.num_columns == prod(layer.weight_shape)
    assert grid.num_planes * grid.num_lines * grid.width >= grid.num_columns
    if layer.kernel is None and layer.in_size == 1:
        assert grid == plain_grid(layer.out_features, layer.in_features)
        return
    assert grid.num_planes == layer.channels_seen
    side = layer.in_size if layer.kind == "dense" else layer.kernel
    assert (grid.num_lines, grid.width) == (side, side)
    assert grid.num_planes * grid.num_lines * grid.width == grid.num_columns
    expected = UNIT_CENTRE if layer.kind == "dense" else FIXED_CENTRE
    assert grid.centre == (NO_CENTRE if layer.kernel is None else expected)


@pytest.mark.parametrize("image_size", [4, 7, 8])
def test_a_units_place_is_the_middle_of_its_convolutions_window(image_size: int) -> None:
    for layer in all_layers(image_size):
        grid = layer_grid(layer)
        if layer.kernel is None:
            continue
        if grid.centre == FIXED_CENTRE:
            assert grid.middle == (grid.width - 1) // 2 == (grid.num_lines - 1) // 2
            continue
        middle = layer.kernel**2 // 2  # of the first channel's entries
        units = input_units(layer)[:, middle].repeat(layer.out_channels)
        rows = torch.arange(grid.num_rows)
        assert torch.equal(rows // grid.side % grid.side * grid.stride, units // layer.in_size)
        assert torch.equal(rows % grid.side * grid.stride, units % layer.in_size)


def test_shapes_alone() -> None:
    assert shape_grid((6, 3, 5, 4)) == Grid(
        num_rows=6, num_columns=60, num_planes=3, num_lines=5, width=4
    )
    assert shape_grid((6, 70)) == plain_grid(6, 70)
    assert shape_grid((6, 7, 10)) == plain_grid(6, 70)
    assert shape_grid((6, 2, 5, 1, 7)) == plain_grid(6, 70)
    assert shape_grid((6, 1)) == plain_grid(6, 1)


@pytest.mark.parametrize(
    ("num_columns", "num_lines", "width"), [(1, 1, 1), (31, 1, 31), (32, 1, 32), (33, 2, 32)]
)
def test_plain_rows_are_cut_into_lines_of_32(num_columns: int, num_lines: int, width: int) -> None:
    grid = plain_grid(3, num_columns)
    assert (grid.num_lines, grid.width, grid.num_planes) == (num_lines, width, 1)
    assert num_columns < 32 or not grid.has_image


def test_what_looks_at_an_image() -> None:
    assert shape_grid((2, 3, 3, 3)).has_image
    assert shape_grid((2, 1, 32, 31)).has_image
    assert not shape_grid((2, 100)).has_image


def test_the_array_is_what_the_kernels_know() -> None:
    # fmt: off
    grid = Grid(
        num_rows=10, num_columns=11, num_planes=12, num_lines=13, width=14, centre=2, side=16,
        stride=17, middle=18, radius=19,
    )
    # fmt: on
    assert grid.as_array().tolist() == [10, 11, 12, 13, 14, 2, 16, 17, 18, 19]
