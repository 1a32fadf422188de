"""Where a state dict lies: customary keys, nested keys, and messages that name the keys."""

from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from tests.examples import examples
from training.errors import CheckpointError
from training.tensor_files.open import open_tensor_file
from training.tensor_files.state_dict import WRAPPERS, find_state, strip_wrappers
from training.tensor_files.stored_tensor import NUMBER_TYPES, StoredTensor

W, V = torch.ones(2, 3), torch.zeros(7)


def optimizer_state() -> dict[str, Any]:
    model = nn.Linear(3, 2)
    optimizer = torch.optim.Adam(model.parameters())
    model(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    return optimizer.state_dict()


def save(contents: Any, folder: Path) -> Path:
    torch.save(contents, folder / "a.pt")
    return folder / "a.pt"


@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_every_wrapper_is_found_and_said(wrapper: str, tmp_path: Path) -> None:
    path = save({"epoch": 3, wrapper: {"w": W}, "optimizer": optimizer_state()}, tmp_path)
    with open_tensor_file(path) as file:
        assert (file.key, list(file), file.beside) == (wrapper, ["w"], ())
        assert file.title == f"a.pt under {wrapper!r}"


@pytest.mark.parametrize(
    ("contents", "key", "beside"),
    [
        ({"params": {"w": W}, "params_ema": {"w": W}}, "params_ema", ("params",)),
        ({"generator": {"w": W}, "discriminator": {"w": W}}, "generator", ("discriminator",)),
        ({"my_weights": {"w": W}, "epoch": 3}, "my_weights", ()),
        ({"run": {"model": {"state_dict": {"w": W}}}}, "run.model.state_dict", ()),
        (
            {"state_dict": {"w": torch.ones(900)}, "callbacks": {"s": {"t": V[:2]}}},
            "state_dict",
            (),
        ),
        ({"net": {"w": W}, "ema": {"decay": 0.9, "shadow_params": [W, V]}}, "net", ()),
        ({"model": {"layers": 3, "width": 4}, "weights_of_it": {"w": W}}, "weights_of_it", ()),
        ({"optimizer_states": [optimizer_state()], "state_dict": {"w": W}}, "state_dict", ()),
        ({1: {"w": W}}, "1", ()),
    ],
)
def test_what_is_taken(contents: Any, key: str, beside: tuple[str, ...], tmp_path: Path) -> None:
    with open_tensor_file(save(contents, tmp_path)) as file:
        assert (file.key, file.beside) == (key, beside)


@pytest.mark.parametrize(
    ("key", "size"),
    [
        ("net", 6),
        ("runs.best", 7),
        ("runs.last.ema", 6),
        ("a.b.c", 6),
        ("a.b.d", 7),
        ("models.1", 7),
        ("7", 6),
    ],
)
def test_nested_keys(key: str, size: int, tmp_path: Path) -> None:
    contents = {
        "net": {"w": W},
        "runs": {"best": {"w": V}, "last": {"ema": {"w": W}, "raw": {"w": V}}},
        "a.b": {"c": {"w": W}},  # a name with a dot in it
        "a": {"b.d": {"w": V}},
        "models": [{"w": W}, {"w": V}],
        7: {"w": W},
    }
    with open_tensor_file(save(contents, tmp_path), key) as file:
        assert file["w"].num_numbers == size
        assert file.key == key


@pytest.mark.parametrize(
    ("contents", "key", "words"),
    [
        (
            {"G": {"w": W}, "D": {"w": V}, "epoch": 3},
            None,
            r"under several keys: its keys are 'D' \(7 numbers\), 'G' \(6 numbers\), 'epoch'; say "
            "which with key",
        ),
        ({"run": {"a": {"w": W}, "b": {"w": V}}}, None, r"'run\.b' \(7 numbers\), 'run\.a'"),
        ({"net": {"w": W}}, "nte", r"has no key 'nte'; its key is 'net' \(6 numbers\); give"),
        ({"net": {"x": {"w": W}}}, "net.y", r"has no key 'net\.y'; its key is 'net\.x'"),
        ({"net": {"w": W}}, "net.w", "under 'net.w' it holds one tensor without a name"),
        ({"net": {"w": W}}, "net.w.v", "has no key 'net.w.v'; it is a tensor"),
        ({"acc": 3.0, "net": {"w": W}}, "acc", "holds a value of type float, no state dict"),
        (
            {"models": [{"w": W}, {"w": V}]},
            None,
            "a list of 2; say which with key, such as 'models.0'",
        ),
        ({"models": [{"w": W}]}, "models.5", "has no key 'models.5'; it is a list of 1"),
        ({"w": W, "extra": {"v": V}}, None, r"at its top and below: its keys are 'extra'"),
        ({"w": W, "b": V}, "w", "a state dict itself, without keys above it; leave key out"),
        (optimizer_state(), None, "holds the state of an optimizer, not a network"),
        ({"opt": optimizer_state(), "epoch": 1}, None, "holds the state of an optimizer"),
        (W, None, r"one tensor without a name; save a dict, such as \{'weight': tensor\}"),
        ([W, V], None, "a list of 2 tensors without names; save model.state_dict"),
        ({"a": W.numpy()}, None, r"holds NumPy arrays; save \{name: torch.from_numpy\(array\)"),
        (nn.Linear(2, 2), None, "an object of class torch.nn.modules.linear.Linear"),
        (
            {"model": nn.Linear(2, 2), "ema": None},
            None,
            "under 'model' it holds an object of class",
        ),
        ({"a": 1, "b": "x"}, None, "no state dict was found in it: its keys are 'a', 'b'; save"),
        ({}, None, "it is empty"),
        ({f"k{n}": n for n in range(9)}, None, r"'k5' and 3 more"),
    ],
)
def test_messages_name_the_keys(contents: Any, key: str | None, words: str, tmp_path: Path) -> None:
    path = save(contents, tmp_path)
    with pytest.raises(CheckpointError, match=words) as caught:
        open_tensor_file(path, key)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)
    assert "0x" not in str(caught.value)


def test_lists_of_tensors_and_types_of_numbers(tmp_path: Path) -> None:
    contents = {"w": [W, V], "x": (None, V), "kind": torch.float16, "q": torch.qint8}
    with open_tensor_file(save(contents, tmp_path)) as file:
        assert list(file) == ["w[0 of 2]", "w[1 of 2]", "x[1 of 2]"]
        assert file.others == {}


def test_words_that_wrappers_of_modules_add() -> None:
    names = {
        "module._fsdp_wrapped_module.a._checkpoint_wrapped_module.w": 1,
        "module._orig_mod.b": 2,
    }
    assert strip_wrappers(names) == {"a.w": 1, "b": 2}


def test_shared_dicts_take_no_time() -> None:
    inner: dict[str, Any] = {"n": 1}
    for _ in range(40):
        inner = {f"k{place}": inner for place in range(200)}
    with pytest.raises(ValueError, match="no state dict"):
        find_state(inner)


STORED = StoredTensor(shape=(3,), number_type=NUMBER_TYPES["float32"], source=None, start=0)  # type: ignore[arg-type]
NAMES = st.text("ab.", min_size=1, max_size=3)
TREES = st.recursive(
    st.dictionaries(NAMES, st.just(STORED), min_size=1, max_size=2),
    lambda inner: st.dictionaries(NAMES, inner, min_size=1, max_size=2),
    max_leaves=6,
)


@given(TREES)
@examples(2)
def test_what_is_found_without_a_key_is_found_by_the_key_that_is_said(tree: dict[str, Any]) -> None:
    try:
        found = find_state(tree)
    except ValueError:
        return
    again = find_state(tree, found.key) if found.key else found
    if "." not in "".join(tree):  # with dots in names another path may have the same key
        assert again.state == found.state
    assert all(isinstance(each, StoredTensor) for each in found.state.values())


def test_what_a_value_is_called(tmp_path: Path) -> None:
    contents = {"w": W, "f": dict, "o": OrderedDict, "gaps": torch.ones(4, 6)[:, ::2]}
    with open_tensor_file(save(contents, tmp_path)) as file:
        assert file.others == {
            "f": "an object of class __builtin__.dict",
            "o": "a Python class or function",
            "gaps": "a tensor that is not stored number by number (call .contiguous())",
        }
