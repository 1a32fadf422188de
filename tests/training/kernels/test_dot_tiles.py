"""Tiles against matrix products of integers, with and without AVX512_BF16."""

import numpy as np
import pytest
import torch

numba = pytest.importorskip("numba")

from training.kernels import dot_tiles  # noqa: E402
from training.kernels.vector_code import VectorCode  # noqa: E402


class PlainCode(VectorCode):
    """As on a processor without AVX512_BF16."""

    def __init__(self, context, builder):
        super().__init__(context, builder)
        self._has_bf16 = False


@pytest.fixture(params=[VectorCode, PlainCode])
def tiles(request, monkeypatch):
    monkeypatch.setattr(dot_tiles, "VectorCode", request.param)
    return dot_tiles


def draw_bits(*shape):
    numbers = torch.randint(-2, 3, shape).to(torch.bfloat16)
    return numbers.double(), numbers.view(torch.uint16).numpy()


@pytest.mark.sample(3)
@pytest.mark.parametrize(("num_rows", "num_groups"), [(2, 1), (1, 2)])
def test_product_tile(tiles, num_rows, num_groups):
    torch.manual_seed(0)
    tile = tiles._make_product_tile(num_rows, num_groups)

    @numba.njit
    def run(weights, values, starts, outputs, num_stored):
        tile(weights, 0, len(starts) // 2, values, starts, 3, outputs, 5, 100, num_stored)

    width = 32 * num_groups
    weights, weight_bits = draw_bits(3, num_rows, 2)
    values, value_bits = draw_bits(7, 100)
    rows = [6, 0, 1, 1, 4, 2]
    outputs = np.zeros(250, dtype=np.uint16)
    run(weight_bits.ravel(), value_bits.ravel(), np.array(rows) * 100, outputs, num_rows)
    expected = torch.zeros(250, dtype=torch.float64)
    for row in range(num_rows):
        product = weights[:, row].flatten() @ values[rows, 3 : 3 + width]
        expected[5 + 100 * row :][:width] = product
    assert torch.equal(torch.from_numpy(outputs).view(torch.bfloat16).double(), expected)
    outputs[:] = 0
    run(weight_bits.ravel(), value_bits.ravel(), np.array(rows) * 100, outputs, 1)
    expected[105:] = 0
    assert torch.equal(torch.from_numpy(outputs).view(torch.bfloat16).double(), expected)


def test_sum_tile(tiles):
    torch.manual_seed(0)
    sum_tile = numba.extending.intrinsic(tiles._sum_tile)

    @numba.njit
    def run(values, rows, starts, mask, outputs):
        sum_tile(values, rows, 1, values, starts, 2, 2, 50, mask, outputs, 3, 10)

    values, bits = draw_bits(8, 100)
    rows, starts = np.array([0, 5, 1, 2, 2]), np.array([0, 0, 7, 6, 1, 0])
    chosen = torch.arange(32) >= 14  # columns 64 to 81
    mask = np.where(chosen.numpy(), 0xFFFF, 0).astype(np.uint16)
    outputs = np.zeros(40, dtype=np.uint16)
    run(bits.ravel(), rows * 100, starts * 100, mask, outputs)
    expected = torch.zeros(40, dtype=torch.float64)
    for m in range(4):
        product = values[rows[1 + m], :82] @ values[starts[2:], :82].t()
        expected[3 + 10 * m :][:4] = product
    assert torch.equal(torch.from_numpy(outputs).view(torch.bfloat16).double(), expected)


def test_rounds_to_the_nearest_and_ties_to_even(tiles):
    tile = tiles._make_product_tile(1, 1)

    @numba.njit
    def run(weights, values, starts, outputs):
        tile(weights, 0, 1, values, starts, 0, outputs, 0, 32, 1)

    small = torch.tensor([1.0, 0.5, 1.5, -1.0, 3.0, torch.inf, torch.nan, 0.25] * 4)
    values = torch.stack([torch.ones(32), small * 2**-7]).to(torch.bfloat16)
    weights = torch.ones(2, dtype=torch.bfloat16).view(torch.uint16).numpy()
    outputs = np.zeros(32, dtype=np.uint16)
    run(weights, values.view(torch.uint16).numpy().ravel(), np.array([0, 32]), outputs)
    expected = values.float().sum(dim=0).to(torch.bfloat16)
    result = torch.from_numpy(outputs).view(torch.bfloat16)
    assert torch.equal(result.isnan(), expected.isnan())
    assert torch.equal(result.nan_to_num(), expected.nan_to_num())
