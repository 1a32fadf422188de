"""Counts and finiteness, against torch's own slow way."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from training.networks.state_check import Census, take_census, view_bits

DTYPES = (torch.float32, torch.float64, torch.float16, torch.bfloat16)


@pytest.mark.parametrize("dtype", DTYPES)
def test_counts_are_exact_over_many_chunks(dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(0)
    kept = torch.rand(3, 700_001, generator=generator) < 0.3
    tensor = kept.to(dtype)
    tensor[0, :3] = torch.tensor([-0.0, math.nan, 6e-8])
    assert take_census(tensor).num_nonzeros == int(torch.count_nonzero(tensor))
    assert take_census(tensor.t()).num_nonzeros == int(torch.count_nonzero(tensor))
    assert take_census(torch.zeros(0, dtype=dtype)).num_nonzeros == 0


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_one_entry_that_is_not_finite_is_found_anywhere(dtype: torch.dtype, value: float) -> None:
    for place in (0, 1234, 4999):
        tensor = torch.linspace(-1, 1, 5000).to(dtype).view(50, 100)
        assert take_census(tensor).is_finite
        tensor.view(-1)[place] = value
        assert not take_census(tensor).is_finite
    assert take_census(torch.zeros(0, dtype=dtype)).is_finite


SPECIALS = (0.0, -0.0, 1.0, -2.5, 6e-8, -1e-40, math.nan, -math.nan, math.inf, -math.inf)


def expected_census(tensor: torch.Tensor) -> Census:
    nonzero = tensor != 0  # NaN among them
    negative_zero = ~nonzero & tensor.signbit()
    return Census(
        num_nonzeros=int(nonzero.sum()),
        num_stored=int((nonzero | negative_zero).sum()),
        is_finite=bool(torch.isfinite(tensor).all()),
    )


@given(values=st.lists(st.sampled_from(SPECIALS), max_size=12), dtype=st.sampled_from(DTYPES))
def test_every_kind_of_number_is_counted_as_torch_does(
    values: list[float], dtype: torch.dtype
) -> None:
    tensor = torch.tensor(values, dtype=torch.float64).to(dtype)
    assert take_census(tensor) == expected_census(tensor)


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_census_is_exact_over_many_chunks(dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(0)
    kept = torch.rand(3, 70_001, generator=generator) < 0.3
    tensor = (torch.randn(kept.shape, generator=generator) * kept).to(dtype)
    for each in (tensor, tensor.t(), tensor[:, 5:9]):
        assert take_census(each) == expected_census(each)
    for place in (0, 65_535, 65_536, tensor.numel() - 1):
        spoiled = tensor.clone()
        spoiled.view(-1)[place] = -math.inf
        assert not take_census(spoiled).is_finite


def test_bits_are_a_view() -> None:
    tensor = torch.zeros(2, 3)
    view_bits(tensor)[1, 2] = 0x3F800000
    assert tensor[1, 2] == 1.0
