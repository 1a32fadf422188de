"""An external checkpoint: wrapped, prefixed, sharded, tied; and every bad file is one line."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from training.errors import CheckpointError
from training.tensor_files.open import TensorFile, is_external, open_tensor_file, strip_wrappers

CORPUS = Path(__file__).resolve().parents[2] / "data" / "external"
OURS = CORPUS.parent / "checkpoints"
GOOD = sorted(CORPUS.glob("good*"))
W = torch.arange(6.0).view(2, 3)
V = -W


def check(file: TensorFile, expected: dict[str, torch.Tensor]) -> None:
    assert list(file) == list(expected)
    for name, tensor in expected.items():
        np.testing.assert_array_equal(file[name].read(), tensor.numpy())


@pytest.mark.parametrize(
    ("contents", "key", "found"),
    [
        ({"a": W}, "", W),
        ({"state_dict": {"a": W}, "epoch": 1}, "state_dict", W),
        ({"model": {"a": W}, "optimizer": {"state": {0: {"m": V}}}}, "model", W),
        ({"model_state_dict": {"a": W}, "loss": 0.5}, "model_state_dict", W),
        ({"model": {"a": V}, "state_dict": {"a": V}, "model_ema": {"a": W}}, "model_ema", W),
        ({"state_dict": {"a": V}, "state_dict_ema": {"a": W}}, "state_dict_ema", W),
        ({"state_dict": {"a": W}, "state_dict_ema": None}, "state_dict", W),
        ({"model": {"state_dict": {"a": W}}}, "model.state_dict", W),
        ({"state_dict": {"module.a": W}}, "state_dict", W),
        ({"_orig_mod.module.a": W}, "", W),
        ({"module._orig_mod.a": W}, "", W),
    ],
)
def test_wrappers(contents: Any, key: str, found: torch.Tensor, tmp_path: Path) -> None:
    torch.save(contents, tmp_path / "a.pt")
    with open_tensor_file(tmp_path / "a.pt") as file:
        assert file.key == key
        check(file, {"a": found})


def test_a_key_of_ones_own(tmp_path: Path) -> None:
    torch.save({"teacher": {"a": W}, "state_dict": {"a": V}}, tmp_path / "a.pt")
    with open_tensor_file(tmp_path / "a.pt", "teacher") as file:
        check(file, {"a": W})
    with pytest.raises(CheckpointError, match="has no key 'nothing'"):
        open_tensor_file(tmp_path / "a.pt", "nothing")


def test_prefixes_are_taken_off_where_all_have_them() -> None:
    assert strip_wrappers({"module.a": 1, "b": 2}) == {"module.a": 1, "b": 2}
    assert strip_wrappers({"module.module.a": 1, "module.module.b": 2}) == {"a": 1, "b": 2}
    assert strip_wrappers({"x._orig_mod.y": 1}) == {"x.y": 1}
    assert strip_wrappers({}) == {}
    with pytest.raises(ValueError, match="two tensors have the name 'a'"):
        strip_wrappers({"a": 1, "_orig_mod.a": 2})


def test_tied_tensors_lie_in_one_place(tmp_path: Path) -> None:
    model = nn.ModuleDict({"a": nn.Linear(3, 3, bias=False), "b": nn.Linear(3, 3, bias=False)})
    model["b"].weight = model["a"].weight
    torch.save(model.state_dict(), tmp_path / "a.pt")
    with open_tensor_file(tmp_path / "a.pt") as file:
        assert file["a.weight"].place == file["b.weight"].place
        assert file.num_bytes == 36


def write_shards(folder: Path, shards: dict[str, dict[str, torch.Tensor]], save: Callable) -> Path:
    placed = {}
    for name, tensors in shards.items():
        save(tensors, folder / name)
        placed |= dict.fromkeys(tensors, name)
    suffix = "safetensors" if next(iter(shards)).endswith("safetensors") else "bin"
    stem = "model" if suffix == "safetensors" else "pytorch_model"
    index = folder / f"{stem}.{suffix}.index.json"
    index.write_text(json.dumps({"metadata": {"total_size": 48}, "weight_map": placed}))
    return index


@pytest.mark.parametrize("suffix", ["bin", "safetensors"])
def test_shards_by_their_index_and_by_their_folder(suffix: str, tmp_path: Path) -> None:
    save = torch.save
    if suffix == "safetensors":
        save = pytest.importorskip("safetensors.torch").save_file
    shards = {f"x-1.{suffix}": {"module.a": W}, f"x-2.{suffix}": {"module.b": V}}
    index = write_shards(tmp_path, shards, save)
    for path in (index, tmp_path):
        assert is_external(path)
        with open_tensor_file(path) as file:
            check(file, {"a": W, "b": V})


@pytest.mark.parametrize(
    ("index", "words"),
    [
        ("", "it is not JSON"),
        ("[1]", "no weight_map"),
        ('{"weight_map": {}}', "no weight_map"),
        ('{"weight_map": {"a": "../a.bin"}}', "must be a file beside the index"),
        ('{"weight_map": {"a": "/etc/passwd"}}', "must be a file beside the index"),
        ('{"weight_map": {"a": ".."}}', "must be a file beside the index"),
        ('{"weight_map": {"a": "c\\\\a.bin"}}', "must be a file beside the index"),
        ('{"weight_map": {"a": 3}}', "must be a file beside the index"),
        ('{"weight_map": {"a": "missing.bin"}}', "no such file"),
        ('{"weight_map": {"a": "x.bin", "z": "x.bin"}}', "lacks 'z'"),
        ('{"weight_map": {"b": "x.bin"}}', "'a'"),
        ('{"weight_map": {"a": "x.bin", "a": "x.bin"}}', "it is not JSON"),
        ("[" * 100_000, "it is not JSON"),
    ],
)
def test_an_index_that_lies(index: str, words: str, tmp_path: Path) -> None:
    torch.save({"a": W}, tmp_path / "x.bin")
    path = tmp_path / "pytorch_model.bin.index.json"
    path.write_text(index)
    with pytest.raises(CheckpointError, match=words) as caught:
        open_tensor_file(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("path", GOOD, ids=lambda path: path.name)
def test_files_of_the_first_version_still_read(path: Path) -> None:
    state = torch.load(CORPUS / "good.pt", weights_only=True)
    with open_tensor_file(path) as file:
        assert file.key == ("state_dict" if "wrapped" in path.name else "")
        assert set(file) == set(state)
        for name, tensor in file.items():
            np.testing.assert_array_equal(tensor.read(), state[name].numpy())


def test_what_is_external() -> None:
    assert all(is_external(path) for path in GOOD)
    assert not is_external(OURS / "good.pt")
    assert is_external(OURS / "external_state.pt")
    for path, words in ((OURS / "empty.pt", "is empty"), (CORPUS / "nothing.pt", "no such file")):
        with pytest.raises(CheckpointError, match=words):
            is_external(path)


@given(
    name=st.sampled_from([path.name for path in GOOD]),
    position=st.floats(0, 0.999),
    flip=st.integers(0, 255),
    length=st.floats(0.2, 1),
)
def test_a_damaged_file_is_refused_or_harmless(
    name: str, position: float, flip: int, length: float, tmp_path_factory: pytest.TempPathFactory
) -> None:
    damaged = bytearray((CORPUS / name).read_bytes())
    damaged[int(position * len(damaged))] ^= flip
    if flip == 0:
        damaged = damaged[: int(length * len(damaged))]
    path = tmp_path_factory.mktemp("flip") / name
    path.write_bytes(damaged)
    try:
        is_external(path)
        with open_tensor_file(path) as file:
            for tensor in file.values():
                tensor.read()
    except CheckpointError as error:
        assert "\n" not in str(error)
        assert str(path) in str(error)
