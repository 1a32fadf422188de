"""Files of torch before 1.6: the numbers that torch reads, and damage is one line."""

import io
import pickle
import struct
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from tests.data.make_bad_checkpoints import Hostile
from training.errors import CheckpointError
from training.tensor_files.legacy_torch import LEGACY_START
from training.tensor_files.open import is_external, open_tensor_file

VIEWED = torch.arange(20.0).view(4, 5)
STATE = OrderedDict(
    a=torch.randn(3, 4),
    half=torch.randn(5).half(),
    brain=torch.randn(2).bfloat16(),
    wide=torch.randn(2, 2).double(),
    ids=torch.arange(4),
    flags=torch.tensor([True, False]),
    whole=VIEWED,
    part=VIEWED[1:3],
    turned=torch.randn(3, 2).t(),
    scalar=torch.tensor(2.5),
    none=torch.zeros(0, 3),
)


def legacy(contents: Any) -> bytes:
    file = io.BytesIO()
    torch.save(contents, file, _use_new_zipfile_serialization=False)
    return file.getvalue()


@pytest.mark.parametrize("wrap", [lambda state: state, lambda state: {"net": state, "epoch": 3}])
def test_the_numbers_are_those_that_torch_reads(wrap: Any, tmp_path: Path) -> None:
    path = tmp_path / "a.pth"
    path.write_bytes(legacy(wrap(STATE)))
    assert path.read_bytes().startswith(LEGACY_START)
    assert is_external(path)
    with open_tensor_file(path) as file:
        assert list(file) == list(STATE)
        assert file["part"].start == file["whole"].start + 20
        for name, expected in STATE.items():
            found = file[name]
            assert (found.shape, found.number_type.name) == (
                tuple(expected.shape),
                str(expected.dtype).removeprefix("torch."),
            )
            bits = (
                expected.contiguous().view(torch.uint8)
                if expected.numel() and expected.dim()
                else None
            )
            if bits is not None:
                np.testing.assert_array_equal(found.read().view(np.uint8), bits.numpy())
        assert file["scalar"].read() == 2.5


def test_what_torch_wrote_in_its_own_corpus(tmp_path: Path) -> None:
    path = Path(__file__).resolve().parents[2] / "data" / "external" / "bad_legacy_torch.pt"
    expected = torch.load(path, weights_only=True)
    with open_tensor_file(path) as file:
        for name, tensor in expected.items():
            np.testing.assert_array_equal(file[name].read(), tensor.numpy())


def test_a_whole_model_and_what_would_run_code(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "whole.pth").write_bytes(legacy(nn.Linear(2, 2)))
    with pytest.raises(CheckpointError, match=r"a whole model; save its state_dict\(\)$"):
        open_tensor_file(tmp_path / "whole.pth")
    (tmp_path / "hostile.pth").write_bytes(legacy({"a": torch.ones(2), "b": Hostile()}))
    with open_tensor_file(tmp_path / "hostile.pth") as file:
        assert list(file.others) == ["b"]
    assert sorted(each.name for each in tmp_path.iterdir()) == ["hostile.pth", "whole.pth"]


def test_big_endian_and_other_versions_are_refused(tmp_path: Path) -> None:
    data = legacy({"a": torch.ones(2)})
    path = tmp_path / "a.pth"
    path.write_bytes(data.replace(b"\x4d\xe9\x03", b"\x4d\xea\x03", 1))
    with pytest.raises(CheckpointError, match="not a version of torch's format"):
        open_tensor_file(path)
    magic, facts = data.index(b"little_endian"), data.index(b"\x88")
    assert magic < facts
    path.write_bytes(data[:facts] + b"\x89" + data[facts + 1 :])
    with pytest.raises(CheckpointError, match="not stored in little-endian order"):
        open_tensor_file(path)


def test_a_count_that_lies_is_refused(tmp_path: Path) -> None:
    data = legacy({"a": torch.ones(2)})
    path = tmp_path / "a.pth"
    assert data[-16:] == struct.pack("<qff", 2, 1, 1)
    for bad in (struct.pack("<qff", 3, 1, 1), struct.pack("<qfff", 2, 1, 1, 1), b""):
        path.write_bytes(data[:-16] + bad)
        with pytest.raises(CheckpointError, match=r"fill|cut short"):
            open_tensor_file(path)
    keys = pickle.dumps(["0"], protocol=2)
    assert keys not in data


GOOD = legacy({"model": {"a": torch.ones(3, 2), "b": torch.ones(4)[1:3]}, "epoch": 3})


@given(position=st.floats(0, 0.999), flip=st.integers(0, 255), length=st.floats(0, 1))
def test_damage_is_one_line_or_harmless(
    position: float, flip: int, length: float, tmp_path_factory: pytest.TempPathFactory
) -> None:
    damaged = bytearray(GOOD)
    damaged[int(position * len(damaged))] ^= flip
    if flip == 0:
        damaged = damaged[: int(length * len(damaged))]
    path = tmp_path_factory.mktemp("flip") / "a.pth"
    path.write_bytes(damaged)
    try:
        with open_tensor_file(path) as file:
            for tensor in file.values():
                tensor.read()
    except CheckpointError as error:
        assert "\n" not in str(error)
        assert str(path) in str(error)
