"""The fused BatchNorm against torch's own in float64, in every layout, forward and back."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from tests.examples import examples
from training.networks.fused_norm import normalize

BF16 = torch.bfloat16
LAYOUTS = ("vectors", "vectors, CHWN", "channels last", "CHWN")


def make_values(layout: str, num: int, channels: int, side: int, offset: float) -> Tensor:
    shape = (num, channels) if layout.startswith("vectors") else (num, channels, side, side)
    values = (torch.randn(shape) * 2 + offset).to(BF16)
    if layout == "vectors, CHWN":
        return values.t().contiguous().t()
    if layout == "channels last":
        return values.contiguous(memory_format=torch.channels_last)
    if layout == "CHWN":
        return values.permute(2, 3, 1, 0).contiguous().permute(3, 2, 0, 1)
    return values


def make_norm(values: Tensor, layout: str) -> nn.BatchNorm1d | nn.BatchNorm2d:
    norm = (
        nn.BatchNorm2d(values.shape[1])
        if layout == "channels last"
        else nn.BatchNorm1d(values[0].numel())
    )
    for tensor in (norm.weight, norm.bias, norm.running_mean):  # as after many steps
        nn.init.normal_(tensor)
    return norm


def precise_twin(norm: nn.Module) -> nn.Module:
    twin = type(norm)(norm.num_features).double()
    twin.load_state_dict(norm.state_dict())
    return twin


def assert_close(found: Tensor, exact: Tensor, tolerance: float, *, scale: float = 1e-6) -> None:
    """The largest error is at most a share of the largest number, or of a scale above it."""
    found, exact = found.detach().double(), exact.detach().double()
    error = (found - exact).abs().max()
    assert float(error) <= tolerance * max(scale, float(exact.abs().max()))


@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("with_residual", [False, True])
@pytest.mark.parametrize("layout", LAYOUTS)
@given(
    sizes=st.tuples(st.integers(2, 300), st.integers(1, 40), st.sampled_from([1, 2, 5, 8])),
    offset=st.sampled_from([0.0, 3.0, -100.0]),
)
@examples(0.2)
def test_equals_batch_norm_in_float64(layout, with_residual, relu, sizes, offset):
    num, channels, side = sizes
    torch.manual_seed(num)
    values = make_values(layout, num, channels, side, offset)
    norm = make_norm(values, layout)
    exact_norm = precise_twin(norm)
    residual = torch.randn(values.shape).to(BF16) if with_residual else None
    gradient = torch.randn(values.shape).to(BF16)
    leaves = [each.clone().requires_grad_() for each in (values, residual) if each is not None]
    outputs = normalize(*leaves[:1], norm, residual=(*leaves, None)[1], relu=relu)
    outputs.backward(gradient)
    assert outputs.dtype == BF16 or with_residual
    if not (with_residual and layout.endswith("CHWN")):
        assert layout != "channels last" or outputs.is_contiguous(memory_format=torch.channels_last)
        assert layout != "CHWN" or outputs.permute(2, 3, 1, 0).is_contiguous()
        assert layout != "vectors, CHWN" or outputs.t().is_contiguous()
        assert type(outputs.grad_fn).__name__ == "_FusedNormBackward"

    exact_leaves = [each.detach().double().requires_grad_() for each in leaves]
    units = exact_leaves[0].flatten(1) if layout == "CHWN" else exact_leaves[0]
    exact = exact_norm(units).view(values.shape)
    if with_residual:
        exact = exact + exact_leaves[1]
    # A ReLU on its edge may fall either way by rounding: the gradient takes the side it took.
    exact.backward(gradient.double() * ((outputs.double() > 0) if relu else 1))
    assert_close(outputs, F.relu(exact) if relu else exact, 2**-7)
    # Terms cancel in the sum: the error is a share of the largest of them.
    variance = (exact_norm.running_var - 0.9) / 0.1
    slopes = exact_norm.weight.detach().abs() / (variance.clamp_min(0) + exact_norm.eps).sqrt()
    largest = float(gradient.abs().max() * slopes.max())
    for leaf, exact_leaf in zip(leaves, exact_leaves, strict=True):
        assert_close(leaf.grad, exact_leaf.grad, 2**-6, scale=largest)
    total = float(gradient.double().abs().sum())
    assert_close(norm.weight.grad, exact_norm.weight.grad, 1e-4, scale=total / 10)
    assert_close(norm.bias.grad, exact_norm.bias.grad, 1e-6, scale=total)
    assert_close(norm.running_mean, exact_norm.running_mean, 1e-5)
    assert_close(norm.running_var, exact_norm.running_var, 1e-4)
    assert int(norm.num_batches_tracked) == 1


@pytest.mark.parametrize("layout", LAYOUTS)
def test_results_do_not_depend_on_the_number_of_threads(layout):
    torch.manual_seed(0)
    values = make_values(layout, 500, 24, 12, 1.0)
    gradient = torch.randn(values.shape).to(BF16)
    found = []
    threads = torch.get_num_threads()
    try:
        for number in (1, 2, 5):
            torch.set_num_threads(number)
            torch.manual_seed(1)
            norm, leaf = make_norm(values, layout), values.clone().requires_grad_()
            outputs = normalize(leaf, norm)
            outputs.backward(gradient)
            found.append((outputs, leaf.grad, norm.weight.grad, norm.bias.grad, norm.running_var))
    finally:
        torch.set_num_threads(threads)
    for other in found[1:]:
        assert all(map(torch.equal, found[0], other))


def test_a_dead_feature_has_variance_zero_exactly():
    """Behind it the gradient is multiplied by 1/√ε: a row of zeros can come back to life."""
    values = torch.full((64, 3), 7.0, dtype=BF16, requires_grad=True)
    norm = nn.BatchNorm1d(3)
    outputs = normalize(values, norm, relu=False)
    assert torch.equal(outputs, torch.zeros(64, 3, dtype=BF16))
    assert torch.equal(norm.running_var, torch.full((3,), 0.9))
    gradient = torch.zeros(64, 3, dtype=BF16)
    gradient[0] = 1
    outputs.backward(gradient)
    expected = (1 - 1 / 64) / (1e-5) ** 0.5
    torch.testing.assert_close(
        values.grad[0].float(), torch.full((3,), expected), rtol=1e-2, atol=0
    )


def test_not_a_number_stays_visible():
    values = torch.ones(8, 2, dtype=BF16)
    values[3, 1] = torch.nan
    outputs = normalize(values, nn.BatchNorm1d(2))
    assert not outputs[:, 0].isnan().any()
    assert outputs[:, 1].isnan().all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_other_types_are_torch_own_operations(dtype):
    torch.manual_seed(0)
    values = torch.randn(16, 4, 3, 3, dtype=dtype)
    units, channels = nn.BatchNorm1d(36).to(dtype), nn.BatchNorm2d(4).to(dtype)
    assert torch.equal(normalize(values, channels), F.relu(nn.BatchNorm2d(4).to(dtype)(values)))
    expected = nn.BatchNorm1d(36).to(dtype)(values.flatten(1)).view(values.shape)
    assert torch.equal(normalize(values, units, relu=False), expected)


def test_one_image_is_refused_as_torch_refuses_it():
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        normalize(torch.ones(1, 3, dtype=BF16), nn.BatchNorm1d(3))
