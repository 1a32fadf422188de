"""Counts in one pass over a file against counts of quantised tensors in memory."""

from pathlib import Path

import numpy as np
import pytest
import torch

from analysis.quantize.formats import FORMATS, find_format, quantize_tensors
from analysis.quantize.nonzeros import count_tensors
from analysis.quantize.stream_counts import count_sources
from training.errors import CheckpointError
from training.tensor_files.open import open_tensor_file


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("analysis.quantize.stream_counts.PIECE", 1000)


def make_tensors() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    sparse = torch.randn(70, 90, generator=generator)
    return {
        "dense": torch.randn(130, 70, generator=generator) * 0.02,
        "small": torch.randn(7, generator=generator),
        "zeros": torch.zeros(1001),
        "nothing": torch.zeros(0, 3),
        "scalar": torch.tensor(2.5),
        "sparse": sparse * (sparse > 1),
        "transposed": torch.randn(60, 50, generator=generator).t(),
    }


@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize("name", sorted(FORMATS))
def test_a_file_counts_as_its_tensors_do(name: str, compiled: bool, tmp_path: Path) -> None:
    tensors = make_tensors()
    torch.save(tensors, tmp_path / "t.pt")
    rounded = quantize_tensors(tensors, FORMATS[name])
    seen = []
    with open_tensor_file(tmp_path / "t.pt") as file:
        found = count_sources(
            dict(file), FORMATS[name], compiled=compiled, on_progress=lambda *at: seen.append(at)
        )
    assert found.counts == count_tensors(rounded, FORMATS[name])
    for key, tensor in tensors.items():
        assert found.stored_nonzeros[key] == int(tensor.count_nonzero())
        assert found.rounded[key] == int((rounded[key] != tensor).sum())
    total = 4 * sum(tensor.numel() for tensor in tensors.values())
    assert seen[-1] == (total, total)
    assert [done for done, _ in seen] == sorted({done for done, _ in seen})


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_other_types_are_read_as_float32_first(dtype: torch.dtype, tmp_path: Path) -> None:
    tensors = {"a": (torch.randn(3000, generator=torch.Generator().manual_seed(1))).to(dtype)}
    torch.save(tensors, tmp_path / "t.pt")
    chosen = find_format(8)
    with open_tensor_file(tmp_path / "t.pt") as file:
        found = count_sources(dict(file), chosen)
    rounded = quantize_tensors(tensors, chosen)
    assert found.counts == count_tensors(rounded, chosen)
    assert found.rounded["a"] == int((rounded["a"].to(dtype) != tensors["a"]).sum())


def test_arrays_and_many_tensors() -> None:
    arrays = {str(index): np.full(index, index, dtype=np.float32) for index in range(1, 60)}
    found = count_sources(arrays, find_format(16))
    assert found.counts.total.num_weights == 59 * 60 // 2
    assert found.counts.total.num_distinct == 59
    assert all(row.num_distinct == 1 for row in found.counts.tensors)


def test_refusals(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at least one tensor"):
        count_sources({}, find_format(16))
    bad = np.ones(5000, dtype=np.float32)
    bad[4000] = np.nan
    with pytest.raises(ValueError, match="b: values to quantise must be finite"):
        count_sources({"a": np.ones(3, dtype=np.float32), "b": bad}, find_format(16))
    with pytest.raises(ValueError, match="a: values to quantise must be finite"):
        count_sources({"a": -bad}, find_format(32))


def test_a_file_that_is_cut_short_meanwhile(tmp_path: Path) -> None:
    torch.save({"a": torch.ones(50_000)}, tmp_path / "t.pt")
    with open_tensor_file(tmp_path / "t.pt") as file:
        (tmp_path / "t.pt").write_bytes(b"x")
        with pytest.raises(CheckpointError, match="ended while it was read"):
            count_sources(dict(file), find_format(16))
