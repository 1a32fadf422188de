"""Number types against torch's own reading of the same bytes."""

import numpy as np
import pytest
import torch

from training.tensor_files.number_types import NUMBER_TYPES

FLOATS = [name for name, each in NUMBER_TYPES.items() if each.kind == "float"]


@pytest.mark.parametrize("name", FLOATS)
def test_every_pattern_has_torchs_value(name: str) -> None:
    kind = NUMBER_TYPES[name]
    if kind.num_bytes <= 2:
        patterns = np.arange(1 << (8 * kind.num_bytes)).astype(f"<u{kind.num_bytes}")
    else:
        generator = np.random.default_rng(0)
        patterns = generator.integers(0, 2**63, 50_000).astype(f"<u{kind.num_bytes}")
    stored = patterns.view(kind.storage)
    expected = torch.from_numpy(patterns).view(getattr(torch, name)).to(torch.float32).numpy()
    found = kind.to_float32(stored)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, expected)


def test_every_name_is_torchs_and_has_its_size() -> None:
    for name, kind in NUMBER_TYPES.items():
        assert getattr(torch, name).itemsize == kind.num_bytes
        assert (kind.kind == "float") == (kind.decode is not None)


def test_a_float64_beyond_float32_becomes_infinite_without_a_warning() -> None:
    values = NUMBER_TYPES["float64"].to_float32(np.array([1e300, -1e300, 0.1]))
    assert values.tolist() == [np.inf, -np.inf, float(np.float32(0.1))]


def test_whole_numbers_are_no_floats() -> None:
    with pytest.raises(ValueError, match="int8 cannot be read as float32"):
        NUMBER_TYPES["int8"].to_float32(np.zeros(1, dtype=np.int8))
