"""Files from anywhere: refused in one line, silently, and without running what is in them."""

import os
import pickle
import zipfile
from pathlib import Path

import pytest
import torch

from training.checkpoint.torch_files import read_torch_file
from training.errors import CheckpointError

CORPUS = Path(__file__).resolve().parents[2] / "data" / "checkpoints"
MARKER = "hostile_code_ran"


def test_the_hostile_files_would_run_code_if_they_were_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    pickle.loads((CORPUS / "hostile_pickle.pt").read_bytes())
    assert (tmp_path / MARKER).exists()


@pytest.mark.parametrize("name", ["hostile_pickle", "hostile_torch"])
@pytest.mark.parametrize("trusting", [False, True])
def test_hostile_code_does_not_run_and_nothing_is_printed(
    name: str,
    trusting: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    if trusting:  # Another project's environment must not weaken this one.
        monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    with pytest.raises(CheckpointError, match="nothing was run"):
        read_torch_file(CORPUS / f"{name}.pt")
    assert not list(tmp_path.iterdir())
    assert capfd.readouterr() == ("", "")


def test_the_check_of_sparse_tensors_is_as_it_was_afterwards() -> None:
    was_on = torch.sparse.check_sparse_tensor_invariants.is_enabled()
    with pytest.raises(CheckpointError, match="a sparse tensor in it is corrupt"):
        read_torch_file(CORPUS / "csr_rows_decrease.pt")
    assert torch.sparse.check_sparse_tensor_invariants.is_enabled() == was_on


def test_refuses_what_is_no_regular_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe"):
        with pytest.raises(CheckpointError, match="not a regular file"):
            read_torch_file(path)
    with pytest.raises(CheckpointError, match="cannot be read"):
        read_torch_file(tmp_path / ("x" * 300))


def test_refuses_compressed_archives_which_could_unpack_to_anything(tmp_path: Path) -> None:
    with (
        zipfile.ZipFile(CORPUS / "good.pt") as good,
        zipfile.ZipFile(tmp_path / "new.pt", "w", zipfile.ZIP_DEFLATED) as packed,
    ):
        for name in good.namelist():
            packed.writestr(name, good.read(name))
    with pytest.raises(CheckpointError, match=r"not one that torch\.save wrote"):
        read_torch_file(tmp_path / "new.pt")
