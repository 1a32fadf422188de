"""The reader of safetensors against the format's own library, and against headers that lie."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.data.make_external_files import entry, make_bad_safetensors, make_safetensors
from tests.examples import examples
from training.errors import CheckpointError
from training.system.files import FileBytes
from training.tensor_files.safetensors_file import looks_like_safetensors, read_safetensors

# Files that both accept: the library takes no tensors, we refuse them one level higher.
FINE = ("no_tensors", "metadata_only")


def write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def test_a_file_by_hand(tmp_path: Path) -> None:
    numbers = np.array([1.5, -2.0, 3.25], dtype="<f4").tobytes() + np.int64(7).tobytes()
    header = {
        "count": entry([], 12, 20, "I64"),
        "w": entry([3, 1], 0, 12),
        "nothing": entry([0, 4], 20, 20, "BF16"),
        "__metadata__": {"format": "pt"},
    }
    with FileBytes(write(tmp_path / "a", make_safetensors(header, numbers))) as source:
        found = read_safetensors(source)
        assert list(found) == ["w", "count", "nothing"]  # in the order of the file
        assert found["w"].read().tolist() == [[1.5], [-2.0], [3.25]]
        assert int(found["count"].read()) == 7
        assert found["nothing"].read().shape == (0, 4)


@given(
    tensors=st.dictionaries(
        st.text(st.characters(codec="utf-8"), max_size=8).filter(lambda x: x != "__metadata__"),
        st.tuples(
            st.lists(st.integers(0, 4), max_size=3),
            st.sampled_from(
                [
                    "float64",
                    "float32",
                    "float16",
                    "bfloat16",
                    "float8_e4m3fn",
                    "float8_e5m2",
                    "int64",
                    "int32",
                    "int16",
                    "int8",
                    "uint8",
                    "bool",
                ]
            ),
        ),
        max_size=5,
    )
)
def test_what_the_library_writes(
    tensors: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> None:
    library = pytest.importorskip("safetensors.torch")
    path = tmp_path_factory.mktemp("library") / "a.safetensors"
    made = {
        name: torch.randint(0, 2, shape).to(getattr(torch, dtype))
        for name, (shape, dtype) in tensors.items()
    }
    library.save_file(made, path)
    with FileBytes(path) as source:
        found = read_safetensors(source)
        assert found.keys() == made.keys()
        for name, tensor in made.items():
            assert found[name].shape == tuple(tensor.shape)
            assert found[name].number_type.name == str(tensor.dtype).removeprefix("torch.")
            ours = found[name].read().reshape(-1).view(np.uint8)
            theirs = tensor.reshape(-1).view(torch.uint8).numpy()
            np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize(("name", "data"), make_bad_safetensors().items())
def test_lies_are_refused_as_the_library_refuses_them(
    name: str, data: bytes, tmp_path: Path
) -> None:
    path = write(tmp_path / "a.safetensors", data)
    if name in FINE:
        with FileBytes(path) as source:
            assert read_safetensors(source) == {}
        return
    with FileBytes(path) as source, pytest.raises(CheckpointError) as caught:
        read_safetensors(source)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    library = pytest.importorskip("safetensors")
    accepted = ("name_twice", "field_unknown", "shape_many", "length_above_limit")
    if name not in accepted:  # where we are stricter
        with pytest.raises(library.SafetensorError), library.safe_open(path, "pt"):
            pass


@given(data=st.data())
@examples(2)
def test_a_damaged_header_is_refused_or_harmless(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    good = make_safetensors(
        {"a": entry([2, 1], 0, 8), "b": entry([3], 8, 14, "F16")}, bytes(range(14))
    )
    damaged = bytearray(good)
    position = data.draw(st.integers(0, len(good) - 1))
    damaged[position] ^= data.draw(st.integers(1, 255))
    cut = data.draw(st.integers(0, 3))
    path = write(tmp_path_factory.mktemp("flip") / "a", bytes(damaged[: len(good) - cut]))
    with FileBytes(path) as source:
        try:
            for tensor in read_safetensors(source).values():
                tensor.read()
        except CheckpointError as error:
            assert "\n" not in str(error)


def test_long_and_odd_names_do_not_spoil_the_message(tmp_path: Path) -> None:
    for name in ("x" * 5000, "two\nlines", "\x1b[31m"):
        data = make_safetensors({name: entry([2], 0, 4)}, bytes(4))
        with FileBytes(write(tmp_path / "a", data)) as source:
            with pytest.raises(CheckpointError, match="needs 8 bytes, not 4") as caught:
                read_safetensors(source)
            assert str(caught.value).isprintable()
            assert len(str(caught.value).removeprefix(str(source.path))) < 250


def test_recognised_by_its_start() -> None:
    data = make_safetensors({"a": entry([1], 0, 4)}, bytes(4))
    assert looks_like_safetensors(data[:16], len(data))
    assert not looks_like_safetensors(data[:16], 20)
    assert not looks_like_safetensors(b"epoch,loss\n", 100)
    assert not looks_like_safetensors(b"", 0)
