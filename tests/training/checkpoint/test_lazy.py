"""Checkpoints opened in place: the same tensors, and the same files refused, as by loading."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.data.make_bad_checkpoints import changed
from tests.training.checkpoint.test_checkpoint import make_checkpoint
from training.checkpoint.checkpoint import load_checkpoint, save_checkpoint
from training.checkpoint.lazy import open_checkpoint
from training.errors import CheckpointError
from training.tensor_files.stored_tensor import StoredRows, StoredTensor

CORPUS = Path(__file__).resolve().parents[2] / "data" / "checkpoints"
# Files whose fault lies in the numbers, or between the fields of a loaded checkpoint.
UNSEEN = {"not_finite", "counts_disagree", "data_of_others"}


@pytest.mark.parametrize("path", sorted(CORPUS.glob("*.pt")), ids=lambda path: path.stem)
def test_the_corpus(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    if path.stem in UNSEEN or path.stem.startswith("good"):
        with open_checkpoint(path) as checkpoint:
            assert checkpoint.network.name == "s-fc"
    else:
        with pytest.raises(CheckpointError) as caught:
            open_checkpoint(path)
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("density", [0.0, 0.1, 1.0])
def test_the_tensors_are_those_that_loading_gives(density: float, tmp_path: Path) -> None:
    save_checkpoint(make_checkpoint(density), tmp_path / "checkpoint.pt")
    loaded = load_checkpoint(tmp_path)
    with open_checkpoint(tmp_path) as checkpoint:
        assert checkpoint.network == loaded.network
        assert checkpoint.num_nonzeros == loaded.num_nonzeros
        assert list(checkpoint.tensors) == list(loaded.state)
        for name, tensor in checkpoint.tensors.items():
            expected = loaded.state[name]
            assert tensor.shape == tuple(expected.shape)
            if isinstance(tensor, StoredTensor):
                np.testing.assert_array_equal(tensor.read(), expected.numpy())
            else:
                assert isinstance(tensor, StoredRows)
                kept = expected[expected != 0].numpy()
                np.testing.assert_array_equal(tensor.stored.read(), kept)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no such file"):
        open_checkpoint(tmp_path / "nothing.pt")
    torch.save({"a": torch.ones(2)}, tmp_path / "a.pt")
    with pytest.raises(CheckpointError, match="not a checkpoint of mdl"):
        open_checkpoint(tmp_path / "a.pt")


@pytest.mark.parametrize(
    ("version", "words"), [(2, "newer than 1"), (0, "must be >= 1"), ("1", "int")]
)
def test_versions_are_those_that_loading_takes(version: Any, words: str, tmp_path: Path) -> None:
    good = torch.load(CORPUS / "good.pt", weights_only=True)
    (tmp_path / "a.pt").write_bytes(changed(good, version=version))
    for read in (open_checkpoint, load_checkpoint):
        with pytest.raises(CheckpointError, match=words):
            read(tmp_path / "a.pt")
