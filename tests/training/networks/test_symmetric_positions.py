"""Kernels in all positions of a square, against coordinates, loops and whole-number arithmetic."""

import itertools

import pytest
import torch
from torch import Tensor

from training.networks.symmetric import SymmetricBatchNorm2d, SymmetricConv2d, compose, turn_kernels
from training.spec.architectures import NUM_SYMMETRIES, LayerSpec

ELEMENTS = range(NUM_SYMMETRIES)

# What an element does to a point (x to the right, y upwards): turns to the left, after a mirror.
_TURN, _MIRROR = ((0, -1), (1, 0)), ((-1, 0), (0, 1))


def multiply(first: tuple, second: tuple) -> tuple:
    return tuple(
        tuple(sum(first[i][k] * second[k][j] for k in range(2)) for j in range(2)) for i in range(2)
    )


def matrix(element: int) -> tuple:
    result = _MIRROR if element >= 4 else ((1, 0), (0, 1))
    for _ in range(element % 4):
        result = multiply(_TURN, result)
    return result


MATRICES = [matrix(element) for element in ELEMENTS]


def product(first: int, second: int) -> int:
    return MATRICES.index(multiply(MATRICES[first], MATRICES[second]))


def moved_place(element: int, row: int, col: int, size: int) -> tuple[int, int]:
    """Where an element takes the pixel at (row, col) of a square of that size."""
    (a, b), (c, d) = MATRICES[element]
    x, y = 2 * col - (size - 1), (size - 1) - 2 * row
    x, y = a * x + b * y, c * x + d * y
    return ((size - 1) - y) // 2, (x + (size - 1)) // 2


def move_planes(element: int, images: Tensor) -> Tensor:
    """Images (..., s, s) with every pixel at its new place."""
    size = images.shape[-1]
    moved = torch.empty_like(images)
    for row, col in itertools.product(range(size), repeat=2):
        new_row, new_col = moved_place(element, row, col, size)
        moved[..., new_row, new_col] = images[..., row, col]
    return moved


def move_channels(element: int, values: Tensor) -> Tensor:
    """Values (N, 8b, s, s) of a symmetric layer whose input was moved by the element."""
    moved = torch.empty_like(values)
    for channel in range(values.shape[1]):
        new = channel - channel % 8 + product(element, channel % 8)
        moved[:, new] = move_planes(element, values[:, channel])
    return moved


def layer(
    in_size: int, *, stride: int = 1, kernel: int = 3, grouped: bool = False, edge: bool = False
) -> LayerSpec:
    return LayerSpec(
        name="conv",
        kind="conv",
        group="conv",
        in_channels=16 if grouped else 2,
        in_size=in_size,
        out_channels=24,
        out_size=-(-in_size // stride),
        kernel=kernel,
        stride=stride,
        symmetries=8,
        input_symmetries=8 if grouped else 1,
        edge_padding=edge,
    )


def whole_numbers(*shape: int, seed: int = 0) -> Tensor:
    """In float64, so that sums of products are exact in any order."""
    return torch.randint(-50, 50, shape, generator=torch.Generator().manual_seed(seed)).double()


def whole_conv(spec: LayerSpec) -> SymmetricConv2d:
    conv = SymmetricConv2d(spec).double()
    with torch.no_grad():
        conv.weight.copy_(whole_numbers(*conv.weight.shape, seed=1))
    return conv


def test_the_table_is_that_of_the_matrices_and_a_group() -> None:
    assert len(set(MATRICES)) == 8
    for first, second in itertools.product(ELEMENTS, repeat=2):
        assert compose(first, second) == product(first, second)
    for first, second, third in itertools.product(ELEMENTS, repeat=3):
        assert compose(compose(first, second), third) == compose(first, compose(second, third))
    for element in ELEMENTS:
        assert compose(0, element) == compose(element, 0) == element
        assert sorted(compose(element, other) for other in ELEMENTS) == list(ELEMENTS)
    assert compose(1, 4) != compose(4, 1)


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("symmetries", [1, 8])
def test_turned_kernels_pixel_by_pixel(size: int, symmetries: int) -> None:
    kernels = whole_numbers(3, 2 * symmetries, size, size)
    found = turn_kernels(kernels, symmetries)
    expected = torch.full((24, 2 * symmetries, size, size), torch.nan).double()
    for kernel, element, plane, row, col in itertools.product(
        range(3), ELEMENTS, range(2 * symmetries), range(size), range(size)
    ):
        new_row, new_col = moved_place(element, row, col, size)
        base, own = plane - plane % symmetries, plane % symmetries
        new = base + (product(element, own) if symmetries > 1 else 0)
        expected[8 * kernel + element, new, new_row, new_col] = kernels[kernel, plane, row, col]
    assert torch.equal(found, expected)


@pytest.mark.sample(3)
@pytest.mark.parametrize("element", ELEMENTS)
@pytest.mark.parametrize(
    ("size", "stride"), [(1, 1), (4, 1), (6, 1), (7, 1), (1, 2), (5, 2), (7, 2)]
)
@pytest.mark.parametrize("grouped", [False, True])
@pytest.mark.parametrize("edge", [False, True])
@pytest.mark.slow
def test_moving_the_input_moves_and_permutes_the_output_exactly(
    element: int, size: int, stride: int, grouped: bool, edge: bool
) -> None:
    """Any side with stride 1, odd sides with stride 2."""
    conv = whole_conv(layer(size, stride=stride, grouped=grouped, edge=edge))
    images = whole_numbers(2, 16 if grouped else 2, size, size)
    moved = (move_channels if grouped else move_planes)(element, images)
    assert torch.equal(conv(moved), move_channels(element, conv(images)))


@pytest.mark.parametrize("edge", [False, True])
def test_borders_are_repeated_or_zero(edge: bool) -> None:
    """A kernel of ones on an image of ones counts the pixels that it sees."""
    conv = whole_conv(layer(4, kernel=5, edge=edge))
    with torch.no_grad():
        conv.weight.fill_(1)
    found = conv(torch.ones(1, 2, 4, 4, dtype=torch.float64))[0]
    seen = torch.tensor([3.0, 4.0, 4.0, 3.0], dtype=torch.float64)
    expected = torch.full((4, 4), 50.0).double() if edge else 2 * seen[:, None] * seen
    assert torch.equal(found, expected.expand(24, 4, 4))


def test_gradients_of_all_positions_add_up() -> None:
    conv = whole_conv(layer(5))
    images, target = whole_numbers(2, 2, 5, 5), whole_numbers(2, 24, 5, 5, seed=2)
    (conv(images) * target).sum().backward()
    expected = torch.zeros_like(conv.weight)
    for index in itertools.product(range(3), range(2), range(3), range(3)):
        basis = torch.zeros_like(conv.weight)
        basis[index] = 1
        turned = turn_kernels(basis, 1)
        expected[index] = (torch.nn.functional.conv2d(images, turned, padding=1) * target).sum()
    assert torch.equal(conv.weight.grad, expected)


def test_statistics_are_those_of_a_kernels_eight_channels() -> None:
    norm = SymmetricBatchNorm2d(2, eps=1e-5).double()
    with torch.no_grad():
        norm.weight.copy_(torch.tensor([2.0, -1.0]))
        norm.bias.copy_(torch.tensor([0.5, 3.0]))
    values = whole_numbers(3, 16, 4, 4)
    found = norm(values)
    for kernel, (weight, bias) in enumerate(((2.0, 0.5), (-1.0, 3.0))):
        own = values[:, 8 * kernel : 8 * kernel + 8]
        numbers = own.flatten().tolist()
        mean = sum(numbers) / len(numbers)
        variance = sum((number - mean) ** 2 for number in numbers) / len(numbers)
        expected = weight * (own - mean) / (variance + 1e-5) ** 0.5 + bias
        torch.testing.assert_close(found[:, 8 * kernel : 8 * kernel + 8], expected)
        unbiased = variance * len(numbers) / (len(numbers) - 1)
        assert float(norm.running_mean[kernel]) == pytest.approx(0.1 * mean)
        assert float(norm.running_var[kernel]) == pytest.approx(0.9 + 0.1 * unbiased)


def test_memory_format_changes_nothing() -> None:
    norm = SymmetricBatchNorm2d(3).double().eval()
    with torch.no_grad():
        norm.running_mean.copy_(torch.tensor([1.0, 2.0, 3.0]))
    conv = whole_conv(layer(6, grouped=True))
    images = whole_numbers(4, 16, 6, 6)
    last = images.contiguous(memory_format=torch.channels_last)
    assert torch.equal(norm(conv(images)), norm(conv(last)))
