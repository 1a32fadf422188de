"""Counts and finiteness, against torch's own slow way."""

import math

import pytest
import torch

from training.networks.state_check import count_nonzeros, is_finite

DTYPES = (torch.float32, torch.float64, torch.float16, torch.bfloat16)


@pytest.mark.parametrize("dtype", DTYPES)
def test_counts_are_exact_over_many_chunks(dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(0)
    kept = torch.rand(3, 700_001, generator=generator) < 0.3
    tensor = kept.to(dtype)
    tensor[0, :3] = torch.tensor([-0.0, math.nan, 6e-8])
    assert count_nonzeros(tensor) == int(torch.count_nonzero(tensor))
    assert count_nonzeros(tensor.t()) == int(torch.count_nonzero(tensor))
    assert count_nonzeros(torch.zeros(0, dtype=dtype)) == 0


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_one_entry_that_is_not_finite_is_found_anywhere(dtype: torch.dtype, value: float) -> None:
    for place in (0, 1234, 4999):
        tensor = torch.linspace(-1, 1, 5000).to(dtype).view(50, 100)
        assert is_finite(tensor)
        tensor.view(-1)[place] = value
        assert not is_finite(tensor)
    assert is_finite(torch.zeros(0, dtype=dtype))
