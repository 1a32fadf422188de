"""Rows in a file: the check of their indices against torch's own check of the same tensors."""

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.data.make_bad_checkpoints import bad_csr
from training.system.file_bytes import FileBytes
from training.tensor_files.stored_tensor import NUMBER_TYPES, StoredRows, StoredTensor, is_shape
from training.tensor_files.torch_archive import read_torch_archive


def are_valid(ends: list[int], columns: list[int]) -> bool:
    try:
        torch.sparse_csr_tensor(
            torch.tensor(ends),
            torch.tensor(columns, dtype=torch.int64),
            torch.ones(len(columns)),
            size=(len(ends) - 1, 3),
            check_invariants=True,
        )
    except RuntimeError:
        return False
    return True


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Sparse")
def test_every_small_pattern_is_judged_as_torch_judges_it(tmp_path: Path) -> None:
    cases = [
        (list(ends), list(columns))
        for ends in itertools.product(range(-1, 4), repeat=3)
        for columns in itertools.product(range(-1, 4), repeat=2)
    ]
    torch.save([bad_csr(*case, size=(2, 3)) for case in cases], tmp_path / "all.pt")
    with FileBytes(tmp_path / "all.pt") as source:
        found = []
        for rows in read_torch_archive(source):
            assert isinstance(rows, StoredRows)
            try:
                rows.check()
            except ValueError as error:
                assert str(error).startswith("is a sparse tensor")
                found.append(False)
            else:
                found.append(True)
    assert found == [are_valid(*case) for case in cases]
    assert 0 < sum(found) < len(found) / 4


@pytest.mark.filterwarnings("ignore:Sparse")
def test_rows_that_are_longer_than_a_piece(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.tensor_files.stored_tensor._CHUNK", 3)
    good = torch.arange(1.0, 15).view(2, 7).to_sparse_csr()
    with_hole = bad_csr([0, 7, 14], [0, 1, 2, 3, 4, 5, 6, 0, 1, 2, 2, 4, 5, 6], size=(2, 7))
    torch.save([good, with_hole], tmp_path / "t.pt")
    with FileBytes(tmp_path / "t.pt") as source:
        first, second = read_torch_archive(source)
        first.check()
        with pytest.raises(ValueError, match="not in order"):
            second.check()


def test_pieces(tmp_path: Path) -> None:
    torch.save({"a": torch.arange(10, dtype=torch.float64)}, tmp_path / "t.pt")
    with FileBytes(tmp_path / "t.pt") as source:
        tensor = read_torch_archive(source)["a"]
        assert isinstance(tensor, StoredTensor)
        assert tensor.read_piece(3, 4).tolist() == [3, 4, 5, 6]
        assert tensor.read_float64().dtype == np.float64
        assert tensor.read_float32().dtype == np.float32
        assert tensor.num_bytes == 80


def test_shapes() -> None:
    assert is_shape(()) and is_shape((0, 5))
    for bad in ([1], (1.0,), (True,), (-1,), (2**62,), (1,) * 33, None):
        assert not is_shape(bad)


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
