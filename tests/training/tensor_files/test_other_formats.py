"""Files and folders that are named for what they are, with what to do."""

import gzip
import json
import pickle
import re
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from training.errors import CheckpointError
from training.tensor_files.open import is_external, open_tensor_file

STATE = {"a": torch.ones(3), "b": torch.zeros(2)}


def legacy_or_not(data: bytes) -> Callable[[Path], None]:
    return lambda path: path.write_bytes(data) and None


def script(path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.trace(nn.Linear(2, 2), torch.ones(1, 2)).save(path)


def cut(path: Path) -> None:
    torch.save(STATE, path)
    path.write_bytes(path.read_bytes()[:-100])


FILES: dict[str, tuple[str, Callable[[Path], None]]] = {
    "empty.pt": ("the file is empty; copy it again", lambda path: path.touch()),
    "lfs.safetensors": (
        "a Git LFS pointer, not the file; fetch it with git lfs pull",
        legacy_or_not(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"),
    ),
    "annex.pt": ("git annex get", legacy_or_not(b"/annex/objects/SHA256E-s1--x.pt\n")),
    "bits.mdl": ("mdl decode", legacy_or_not(b"mdl-bits" + bytes(40))),
    "relative.mdl": ("mdl decode", legacy_or_not(b"mdl-rela" + bytes(40))),
    "a.gguf": ("a GGUF or GGML file", legacy_or_not(b"GGUF\x03\0\0\0" + bytes(64))),
    "a.h5": ("an HDF5 file, such as Keras", legacy_or_not(b"\x89HDF\r\n\x1a\n" + bytes(64))),
    "a.onnx": ("an ONNX graph", legacy_or_not(b"\x08\x07\x12\x07pytorch" + bytes(64))),
    "named.onnx": ("an ONNX graph", legacy_or_not(bytes(range(1, 99)))),
    "a.tflite": ("a TensorFlow Lite file", legacy_or_not(b"\x1c\0\0\0TFL3" + bytes(64))),
    "a.msgpack": ("weights for Flax", legacy_or_not(b"\x82\xa6params" + bytes(64))),
    "a.pb": ("a TensorFlow graph", legacy_or_not(b"\n\x10\xff\xfe" + bytes(64))),
    "a.gz": ("compressed by gzip; unpack", legacy_or_not(gzip.compress(b"x"))),
    "a.npy": ("a NumPy array", lambda path: np.save(path, np.ones(2))),
    "a.npz": ("a NumPy archive", lambda path: np.savez(path, a=np.ones(2))),
    "a.pkl": ("a Python pickle", legacy_or_not(pickle.dumps({"a": np.ones(2)}))),
    "old.pkl": ("a Python pickle", legacy_or_not(pickle.dumps({"a": 1}, protocol=0))),
    "old-global.pkl": ("a Python pickle", legacy_or_not(pickle.dumps(np.float64, protocol=0))),
    "new-global.pkl": ("a Python pickle", legacy_or_not(pickle.dumps(np.float64, protocol=1))),
    "numbers.csv": ("a text file, not tensors", legacy_or_not(b"class\n" + b"3\n4\n5\n" * 90)),
    "names.csv": ("a text file, not tensors", legacy_or_not(b"class\ncat\npony\nquail\n" * 90)),
    "page.pt": ("a web page, not the file", legacy_or_not(b"<!DOCTYPE html><html></html>")),
    "c.json": ("a JSON file", legacy_or_not(b'{"a": 1}')),
    "t.txt": ("a text file, not tensors", legacy_or_not("größe".encode() * 200)),
    "zeros.pt": ("begins with zeros", legacy_or_not(bytes(4096))),
    "noise.pt": ("neither a torch nor a safetensors file", legacy_or_not(b"\xee\x01" * 300)),
    "script.pt": ("a TorchScript program", script),
    "cut.pt": ("cut short or damaged; copy it again", cut),
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_is_named_for_what_it_is(name: str, tmp_path: Path) -> None:
    words, make = FILES[name]
    path = tmp_path / name
    make(path)
    for read in (is_external, open_tensor_file):
        with pytest.raises(CheckpointError, match=re.escape(words)) as caught:
            read(path)
        message = str(caught.value)
        assert message.startswith(f"{path}: ")
        assert ";" in message
        assert "\n" not in message
        assert len(message) < len(str(path)) + 200


def test_a_program_of_torch_export(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.pt2", "w") as archive:
        archive.writestr("a/serialized_exported_program.json", "{}")
    with pytest.raises(CheckpointError, match=r"a program of torch\.export"):
        is_external(tmp_path / "a.pt2")


FOLDERS = {
    "a PEFT adapter: a change to a base model": [
        "adapter_config.json",
        "adapter_model.safetensors",
    ],
    "a diffusers pipeline of several networks; give the folder of one, such as unet": [
        "model_index.json",
        "unet/diffusion_pytorch_model.safetensors",
    ],
    "a distributed checkpoint of torch (DCP)": [".metadata", "__0_0.distcp"],
    "a DeepSpeed checkpoint": ["zero_to_fp32.py", "latest"],
    "slices of a DeepSpeed checkpoint": ["mp_rank_00_model_states.pt"],
    "a TensorFlow SavedModel": ["saved_model.pb"],
    "weights for TensorFlow": ["config.json", "tf_model.h5"],
    "weights for Flax": ["config.json", "flax_model.msgpack"],
    "a checkpoint of Orbax (JAX)": ["_CHECKPOINT_METADATA"],
    "a checkpoint of TensorFlow": ["checkpoint", "model.index"],
    "a folder with 4 files (s1.pt, s2.pt, s3.pt, ...) that may hold tensors": [
        f"s{n}.pt" for n in (1, 2, 3, 4)
    ],
    "parts of a network (1 file (model-00001-of-00002.bin)) without their index": [
        "model-00001-of-00002.bin"
    ],
    "a folder without model.safetensors or another file of tensors": ["notes.txt"],
}


@pytest.mark.parametrize("words", FOLDERS)
def test_a_folder_is_named_for_what_it_is(words: str, tmp_path: Path) -> None:
    for name in FOLDERS[words]:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("{}")
    with pytest.raises(CheckpointError, match=re.escape(f"{tmp_path}: {words}")):
        is_external(tmp_path)


@pytest.mark.parametrize("name", ["model.safetensors", "diffusion_pytorch_model.safetensors"])
def test_a_folder_with_a_customary_file_is_read(name: str, tmp_path: Path) -> None:
    pytest.importorskip("safetensors.torch").save_file(STATE, tmp_path / name)
    assert is_external(tmp_path)
    with open_tensor_file(tmp_path) as file:
        assert list(file) == ["a", "b"]


def test_a_name_on_a_hub_is_told_from_a_mistyped_path(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    with pytest.raises(CheckpointError, match=r"hf download someone/model --local-dir FOLDER"):
        is_external("someone/model")
    for path in ("runs/0001", "nets/best.pt", "nothing", "a/b/c", str(tmp_path / "x")):
        with pytest.raises(CheckpointError, match=r"no such file or folder; give a checkpoint$"):
            is_external(path)


def test_parts_of_a_network_are_refused(tmp_path: Path) -> None:
    first, second = (f"model-0000{n}-of-00002.bin" for n in (1, 2))
    torch.save({"a": STATE["a"]}, tmp_path / first)
    with pytest.raises(CheckpointError, match=rf"part 1 of 2 of a network; 1 part \({second}\)"):
        open_tensor_file(tmp_path / first)
    torch.save({"b": STATE["b"]}, tmp_path / second)
    with pytest.raises(CheckpointError, match="the index lacks beside it"):
        open_tensor_file(tmp_path / first)
    index = tmp_path / "pytorch_model.bin.index.json"
    index.write_text(json.dumps({"weight_map": {"a": first, "b": second}}))
    with pytest.raises(
        CheckpointError, match=f"part 2 of 2 .*by its index, {re.escape(str(index))}"
    ):
        open_tensor_file(tmp_path / second)
    with open_tensor_file(tmp_path) as file:
        assert list(file) == ["a", "b"]


def test_a_part_under_another_name_is_known_by_the_index(tmp_path: Path) -> None:
    for name in ("one.bin", "two.bin"):
        torch.save({name: STATE["a"]}, tmp_path / name)
    index = {"weight_map": {"one.bin": "one.bin", "two.bin": "two.bin"}}
    (tmp_path / "x.index.json").write_text(json.dumps(index))
    torch.save(STATE, tmp_path / "whole.bin")
    with pytest.raises(CheckpointError, match="part 1 of 2"):
        open_tensor_file(tmp_path / "one.bin")
    with open_tensor_file(tmp_path / "whole.bin") as file:
        assert len(file) == 2


def test_slices_of_tensors_are_refused(tmp_path: Path) -> None:
    torch.save(STATE, tmp_path / "consolidated.00.pth")
    with open_tensor_file(tmp_path / "consolidated.00.pth") as file:
        assert len(file) == 2
    torch.save(STATE, tmp_path / "consolidated.01.pth")
    with pytest.raises(CheckpointError, match="each of its tensors is cut over"):
        open_tensor_file(tmp_path / "consolidated.00.pth")


def test_all_bad_shards_are_counted(tmp_path: Path) -> None:
    placed = {name: f"{name}.bin" for name in "abcde"}
    torch.save({"a": STATE["a"]}, tmp_path / "a.bin")
    (tmp_path / "b.bin").touch()
    (tmp_path / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": placed}))
    words = (
        r"4 shards \(b.bin, c.bin, d.bin, \.\.\.\) of its 5 cannot be used; the first one: "
        r".*b.bin: the file is empty"
    )
    with pytest.raises(CheckpointError, match=words):
        open_tensor_file(tmp_path)
