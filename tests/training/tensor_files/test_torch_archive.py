"""torch files read without torch, against torch.load of the same file."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from training.errors import CheckpointError
from training.system.file_bytes import FileBytes
from training.tensor_files.plain_pickle import Opaque
from training.tensor_files.stored_tensor import NUMBER_TYPES, StoredRows, StoredTensor
from training.tensor_files.torch_archive import read_torch_archive

CORPUS = Path(__file__).resolve().parents[2] / "data"


def save(path: Path, contents: Any) -> FileBytes:
    torch.save(contents, path)
    return FileBytes(path)


@given(
    shape=st.lists(st.integers(0, 5), max_size=4),
    name=st.sampled_from([name for name, each in NUMBER_TYPES.items() if each.kind != "other"]),
    order=st.randoms(),
    seed=st.integers(0, 99),
)
def test_any_tensor_reads_as_torch_loads_it(
    shape: list[int], name: str, order: Any, seed: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("any") / "t.pt"
    generator = torch.Generator().manual_seed(seed)
    tensor = torch.randint(0, 100, shape, generator=generator).to(getattr(torch, name))
    dims = list(range(len(shape)))
    order.shuffle(dims)
    saved = tensor.permute(dims)
    with save(path, {"t": saved}) as source:
        found = read_torch_archive(source)["t"]
        assert isinstance(found, StoredTensor)
        assert found.shape == tuple(saved.shape)
        assert found.number_type.name == name
        expected = saved.reshape(-1).view(torch.uint8).numpy()
        np.testing.assert_array_equal(found.read().reshape(-1).view(np.uint8), expected)


def test_parameters_views_and_shared_storages(tmp_path: Path) -> None:
    weight = torch.arange(12.0).view(3, 4)
    contents = {
        "parameter": nn.Parameter(weight),
        "row": weight[1],
        "again": weight,
        "transposed": weight.t(),
        "size": weight.shape,
        "nested": [({"epoch": 3},)],
    }
    with save(tmp_path / "t.pt", contents) as source:
        found = read_torch_archive(source)
        np.testing.assert_array_equal(found["parameter"].read(), weight.numpy())
        np.testing.assert_array_equal(found["row"].read(), weight[1].numpy())
        np.testing.assert_array_equal(found["transposed"].read(), weight.t().numpy())
        assert found["again"].place == found["parameter"].place
        assert found["row"].place != found["again"].place != found["transposed"].place
        assert found["size"] == (3, 4)
        assert found["nested"] == [({"epoch": 3},)]


def test_rows_are_torchs_csr(tmp_path: Path) -> None:
    dense = torch.tensor([[0.0, 2, 0], [0, 0, 0], [1, 0, 3]])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        csr = dense.to_sparse_csr()
    with save(tmp_path / "t.pt", {"t": csr, "coo": dense.to_sparse_coo()}) as source:
        contents = read_torch_archive(source)
        rows = contents["t"]
        assert isinstance(rows, StoredRows)
        rows.check()
        assert rows.shape == (3, 3)
        assert rows.num_numbers == 9
        assert rows.stored.read().tolist() == [2, 1, 3]
        assert contents["coo"] == Opaque("a tensor of layout torch.sparse_coo")


def test_files_without_sums_and_files_with_a_wrong_one(tmp_path: Path) -> None:
    before = torch.serialization.get_crc32_options()
    torch.serialization.set_crc32_options(False)
    try:
        with save(tmp_path / "t.pt", {"epoch": 77}) as source:
            assert read_torch_archive(source) == {"epoch": 77}
    finally:
        torch.serialization.set_crc32_options(before)
    torch.save({"epoch": 77}, tmp_path / "t.pt")
    data = (tmp_path / "t.pt").read_bytes()
    (tmp_path / "t.pt").write_bytes(data.replace(b"K\x4d", b"K\x4c", 1))
    with FileBytes(tmp_path / "t.pt") as source, pytest.raises(CheckpointError, match="damaged"):
        read_torch_archive(source)


@pytest.mark.parametrize("folder", ["checkpoints", "external"])
def test_whatever_lies_in_a_file_nothing_runs(
    folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for path in sorted((CORPUS / folder).glob("*.pt")):
        with FileBytes(path) as source:
            try:
                read_torch_archive(source)
            except CheckpointError as error:
                assert "\n" not in str(error)
    assert not list(tmp_path.iterdir())
