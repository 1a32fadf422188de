"""The interpreter of pickles against Python's own on plain values, and on what it must not do."""

import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.data.make_bad_checkpoints import Hostile
from tests.examples import examples
from training.tensor_files.plain_pickle import MAX_BYTES, MAX_STEPS, Opaque, read_plain_pickle

LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False)
    | st.text(max_size=9)
    | st.binary(max_size=9)
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(max_size=4) | st.integers(), inner, max_size=4)
        | st.tuples(inner)
        | st.tuples(inner, inner, inner, inner)
    ),
    max_leaves=12,
)


def read(data: bytes, known: dict[str, Any] | None = None) -> Any:
    return read_plain_pickle(data, known or {}, lambda identity: ("loaded", identity))


@given(value=VALUES, protocol=st.integers(3, 5))
@examples(2)
def test_plain_values_come_back(value: Any, protocol: int) -> None:
    assert read(pickle.dumps(value, protocol=protocol)) == value


def test_protocol_2_as_torch_writes_it() -> None:
    value = OrderedDict(a=[1, 2.5, (3, "x")], b={"c": None})
    known = {"collections OrderedDict": dict}
    assert read(pickle.dumps(value, protocol=2), known) == value


def test_objects_stay_markers_and_nothing_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    found = read(pickle.dumps({"a": 1, "b": Hostile(), "c": {1, 2}, "d": frozenset((3,))}))
    assert found["a"] == 1
    assert found["b"].name.endswith(".system")
    assert found["c"].name == "builtins.set" or found["c"] == Opaque("set")
    assert isinstance(found["d"], Opaque)
    assert not list(tmp_path.iterdir())


def test_known_functions_are_called_and_others_are_not() -> None:
    pickled = pickle.dumps(Path("x"), protocol=2)
    name = pickled.split(b"c", 1)[1].split(b"\n", 2)
    pair = f"{name[0].decode()} {name[1].decode()}"
    assert isinstance(read(pickled), Opaque)
    assert read(pickled, {pair: lambda *parts: list(parts)}) == ["x"]


def test_no_attribute_of_a_known_function_is_touched() -> None:
    def known() -> None:
        return None

    # GLOBAL, then BUILD with (None, {"__defaults__": (1,)}): Python's own reader would set it.
    program = b"\x80\x02cm\nf\nN}X\x0c\x00\x00\x00__defaults__K\x01\x85s\x86b."
    assert read(program, {"m f": known}) is known
    assert known.__defaults__ is None
    assert not vars(known)


@pytest.mark.parametrize(
    "program",
    [
        b"",
        b"\x80\x02",
        b"\x80\x02.",
        b"\x80\x02(.",
        b"\x80\x02h\x05.",
        b"\x80\x02t.",
        b"\x80\x02]K\x01",
        b"\x80\x02X\xff\xff\xff\x7fabc.",
        b"\x80\x02NNR.",
        b"\x80\x02N)R.",
        b"\x80\x02}(K\x01u.",
        b"\x80\x02\x8b\xff\xff\xff\x7f1.",
        b"\xff\xfe",
        b"(i__main__\nx\n.",
        b"\x80\x02cm\nf\nK\x01\x86\x93.",
        b"\x80\x04K\x01K\x02\x93.",
        b"\x80\x02X\x01\x00\x00\x00\xff.",
    ],
)
def test_damage_is_a_value_error(program: bytes) -> None:
    with pytest.raises(ValueError, match="its list of contents"):
        read(program)


def test_a_length_that_no_file_justifies_is_refused() -> None:
    with pytest.raises(ValueError, match="more than 16 MiB"):
        read(bytes(MAX_BYTES + 1))


def test_a_key_nested_deeply_is_left_out() -> None:
    assert read(b"\x80\x02}K\x01" + b"\x85" * 30_000 + b"K\x02s.") == {}


LIST_IN_ITSELF = b"\x80\x02]q\x00h\x00a."
DICT_IN_ITSELF = b"\x80\x02}q\x00K\x01]h\x00as."


@pytest.mark.parametrize(
    ("program", "words"),
    [
        (b"\x80\x02" + b"]" * 30_000 + b"a" * 29_999 + b".", "nested more than 200 deep"),
        (b"\x80\x02K\x01" + b"\x85" * 30_000 + b".", "nested more than 200 deep"),
        (LIST_IN_ITSELF, "contains itself"),
        (DICT_IN_ITSELF, "contains itself"),
        (b"\x80\x02]" + b"K\x01a" * MAX_STEPS + b".", "steps"),
        (pickle.dumps({2**64 + key: None for key in range(200)}), "many keys of more than 64 bits"),
        (b"\x80\x02X\x03\x00\x00\x00\xed\xa0\x80.", "not UTF-8"),
    ],
    ids=["lists", "tuples", "list", "dict", "steps", "key", "surrogate"],
)
def test_what_has_no_end_is_refused(program: bytes, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        read(program)


def test_what_is_shared_counts_at_every_place() -> None:
    shared: list[Any] = ["ha"]
    for _ in range(10):
        shared = [shared, shared]
    assert read(pickle.dumps(shared)) == shared
    for _ in range(40):
        shared = [shared, shared]
    with pytest.raises(ValueError, match="stands for more than 2,097,152 values"):
        read(pickle.dumps(shared))


@given(data=st.binary(max_size=60))
@examples(2)
def test_any_bytes_are_a_value_or_a_value_error(data: bytes) -> None:
    try:
        read(b"\x80\x02" + data)
    except ValueError as error:
        assert "\n" not in str(error)


@given(value=VALUES, position=st.floats(0, 0.999), flip=st.integers(1, 255))
@examples(2)
def test_damaged_pickles_are_a_value_or_a_value_error(
    value: Any, position: float, flip: int
) -> None:
    data = bytearray(pickle.dumps(value, protocol=2))
    data[int(position * len(data))] ^= flip
    try:
        read(bytes(data))
    except ValueError as error:
        assert "\n" not in str(error)


def test_a_text_with_an_unknown_escape_is_refused_without_a_warning() -> None:
    with pytest.raises(ValueError, match="list of contents"):
        read(b"S'\\q'\n.")
