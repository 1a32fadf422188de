"""Counts against sets of Python floats."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from analysis.quantize import nonzeros
from analysis.quantize.formats import FORMATS, quantize_tensors
from analysis.quantize.nonzeros import count_tensors, twin_weight_counts
from tests.examples import examples
from training.spec.architectures import NetworkSpec

DTYPES = [torch.float64, torch.float32, torch.float16, torch.bfloat16]
VALUES = st.one_of(
    st.sampled_from([0.0, -0.0, 1.0, -1.0, 0.5, 1e-3, 1e-40, -3e38]),
    st.floats(width=32, allow_nan=False, allow_infinity=False),
)


def check(tensors: dict[str, torch.Tensor], number_format=None) -> None:
    counts = count_tensors(tensors, number_format)
    union: set[float] = set()
    for row, (name, tensor) in zip(counts.tensors, tensors.items(), strict=True):
        values = [value + 0.0 for value in tensor.double().flatten().tolist()]
        union |= set(values)
        assert row.name == name
        assert row.shape == tuple(tensor.shape)
        assert row.num_weights == len(values)
        assert row.num_nonzeros == sum(value != 0 for value in values)
        assert row.num_distinct == len(set(values))
        assert row.num_distinct_nonzero == len(set(values) - {0.0})
        assert counts.find(name) == row
    assert counts.total.num_weights == sum(row.num_weights for row in counts.tensors)
    assert counts.total.num_nonzeros == sum(row.num_nonzeros for row in counts.tensors)
    assert counts.total.num_distinct == len(union)
    assert counts.total.num_distinct_nonzero == len(union - {0.0})


@pytest.mark.parametrize("dtype", DTYPES)
@given(first=st.lists(VALUES, min_size=1), second=st.lists(VALUES, min_size=1))
@examples(0.3)
def test_counts_are_those_of_sets(dtype, first: list[float], second: list[float]) -> None:
    check(
        {
            "a": torch.tensor(first, dtype=torch.float64).to(dtype).view(-1, 1),
            "b": torch.tensor(second, dtype=torch.float64).to(dtype),
        }
    )


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_sorting_in_pieces_gives_the_same(dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nonzeros, "_PIECE", 50)
    rng = np.random.default_rng(1)
    values = rng.standard_normal(2000) * 10.0 ** rng.integers(-6, 6, 2000)
    values[rng.random(2000) < 0.3] = 0
    values[:300] = values[300:600]
    values[600:640] = -0.0
    values[700:900] = 1.25  # one bin wider than a piece
    check({"a": torch.tensor(values[:1200], dtype=dtype), "b": torch.tensor(values[900:])})
    check({"a": torch.tensor(values[:1200], dtype=dtype), "b": torch.zeros(7, dtype=dtype)})


@pytest.mark.parametrize("name", FORMATS)
def test_counting_through_a_format_is_the_same(name: str) -> None:
    torch.manual_seed(0)
    tensors = {
        "conv1.weight": torch.randn(40, 50) * (torch.rand(40, 50) < 0.3),
        "conv1_norm.scale": torch.rand(300) * 100,
    }
    rounded = quantize_tensors(tensors, FORMATS[name])
    check(rounded, FORMATS[name])
    assert count_tensors(rounded) == count_tensors(rounded, FORMATS[name])


def test_types_are_mixed_by_value() -> None:
    check({"half": torch.tensor([0.5, 0.1]).half(), "brain": torch.tensor([0.5, 0.1]).bfloat16()})


def test_counts_above_2_to_24_are_exact() -> None:
    ones = torch.ones(1).expand(2**24 + 1)
    counts = count_tensors({"w": ones}, FORMATS["bfloat16"])
    assert counts.total.num_nonzeros == 16_777_217
    assert isinstance(counts.total.num_nonzeros, int)


def test_shapes_and_types_that_are_no_weights() -> None:
    counts = count_tensors(
        {
            "w": torch.arange(6.0).view(2, 3).t(),
            "num_batches_tracked": torch.tensor(3),
            "none": torch.empty(0),
        }
    )
    assert [row.name for row in counts.tensors] == ["w", "none"]
    assert counts.total.num_nonzeros == 5
    assert counts.find("none").density == 0
    assert counts.to_dict()["tensors"][0]["density"] == pytest.approx(5 / 6)
    with pytest.raises(ValueError, match="at least one floating-point tensor"):
        count_tensors({"steps": torch.tensor(1)})
    with pytest.raises(ValueError, match="no tensor 'x'"):
        counts.find("x")


def test_twins_are_the_dashed_lines_of_figure_3() -> None:
    spec = NetworkSpec(name="s-fc", image_size=32, num_classes=10, base_channels=150)
    twins = twin_weight_counts(spec)
    assert twins["conv"]["conv1"] == 81 * 3 * 150
    assert twins["local"]["conv1"] == 81 * 3 * 32**2 * 150 // 4
    assert twins["conv"]["fc1"] == twins["local"]["fc1"] == 6 * 32**2 * 150**2
    assert sum(twins["conv"].values()) == 138_312_450
    plain = NetworkSpec(name="3-fc", image_size=8, num_classes=10, hidden_units=4)
    assert twin_weight_counts(plain) == {}
