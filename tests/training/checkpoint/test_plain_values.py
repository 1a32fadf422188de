"""Files from anywhere: refused in one line, silently, and without running what is in them."""

import enum
import os
import pickle
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from training.checkpoint.checkpoint import load_checkpoint
from training.checkpoint.plain_values import compact_tensor, plain_copy
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
        load_checkpoint(CORPUS / f"{name}.pt")
    assert not list(tmp_path.iterdir())
    assert capfd.readouterr() == ("", "")


def test_refuses_what_is_no_regular_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(CheckpointError, match="not a regular file"):
        load_checkpoint(tmp_path / "pipe")
    with pytest.raises(CheckpointError, match="cannot be read"):
        load_checkpoint(tmp_path / ("x" * 300))


def test_refuses_compressed_archives_which_could_unpack_to_anything(tmp_path: Path) -> None:
    with (
        zipfile.ZipFile(CORPUS / "good.pt") as good,
        zipfile.ZipFile(tmp_path / "new.pt", "w", zipfile.ZIP_DEFLATED) as packed,
    ):
        for name in good.namelist():
            packed.writestr(name, good.read(name))
    with pytest.raises(CheckpointError, match=r"not one that torch\.save wrote"):
        load_checkpoint(tmp_path / "new.pt")


class Method(enum.StrEnum):
    SGD = "sgd"


def test_subclasses_become_the_plain_types() -> None:
    value = OrderedDict(a=np.float64(0.5), b=Method.SGD, c=(True, None), d=torch.__version__)
    plain = plain_copy(value, "metrics")
    assert plain == {"a": 0.5, "b": "sgd", "c": (True, None), "d": str(torch.__version__)}
    assert [type(part) for part in (plain, *plain.values())] == [dict, float, str, tuple, str]
    assert plain["c"][0] is True


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"a": [1, {2}]}, r"x\['a'\]\[1\] is a set; only numbers, text, lists and dicts can"),
        ({1.5: 2}, r"x has the key 1\.5; keys must be text or integers"),
        ({True: 2}, "x has the key True"),
        (np.float32(1), "x is a float32"),
        (torch.ones(1), "x is a Tensor; only numbers, text, lists and dicts can be there"),
        (len, "x is a builtin_function_or_method"),
    ],
)
def test_refuses_the_rest_by_name(value: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        plain_copy(value, "x")


def test_tensors_are_taken_where_allowed_and_only_dense() -> None:
    value = {"state": {0: {"momentum_buffer": torch.ones(2, requires_grad=True)}}}
    plain = plain_copy(value, "training", allow_tensors=True)
    assert not plain["state"][0]["momentum_buffer"].requires_grad
    with pytest.raises(ValueError, match="and dense tensors can be there"):
        plain_copy([torch.eye(2).to_sparse_coo()], "training", allow_tensors=True)


def test_a_view_is_saved_without_the_rest_of_its_storage() -> None:
    base = torch.arange(1000)
    part = compact_tensor(base[10:12])
    assert part.tolist() == [10, 11]
    assert part.untyped_storage().nbytes() == 16
    assert compact_tensor(base).data_ptr() == base.data_ptr()
    with pytest.raises(ValueError, match="must be dense"):
        compact_tensor(torch.eye(2).to_sparse_coo())
