"""Where in a file's contents the state dict lies, and the names that its tensors have there."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from training.errors import ConfigError
from training.system.text import MAX_NAME, printable, shorten
from training.tensor_files.plain_pickle import Opaque
from training.tensor_files.quantized import QuantizedTensor
from training.tensor_files.stored_tensor import StoredRows, StoredTensor

WRAPPERS = (
    "state_dict_ema",
    "model_ema",
    "ema_state_dict",
    "params_ema",
    "ema",
    "g_ema",
    "state_dict",
    "model_state_dict",
    "model",
    "module",
    "net",
    "network",
    "network_weights",
    "params",
    "weights",
    "generator",
)
"""Keys that a state dict may lie under; where there are several, the first one is taken."""

_PREFIX = "module."
_ADDED = ("_orig_mod.", "_fsdp_wrapped_module.", "_checkpoint_wrapped_module.")
_MAX_DEPTH = 4
_MAX_KEYS = 6


@dataclass(frozen=True, kw_only=True)
class FoundState:
    """A state dict in the contents of a file.

    Attributes:
        key: Where it lies, with dots between the keys; "" at the top.
        state: It.
        beside: Keys under which there are other tensors that were passed over.
    """

    key: str
    state: dict[str, Any]
    beside: tuple[str, ...]


def find_state(contents: Any, key: str | None = None) -> FoundState:
    """Find the state dict.

    It is taken from under `WRAPPERS`, or from under the one key that has tensors below it.

    Args:
        contents: What the file holds.
        key: The key that it lies under, with dots between nested ones; None looks for it.

    Raises:
        ValueError: There is none, or there are several; the message names the keys.
    """
    where: list[str] = []
    beside: list[str] = []
    if key is not None:
        where, contents = _follow(contents, key, [])
    while isinstance(contents, dict) and len(where) < _MAX_DEPTH:
        name, others = _step(contents, where)
        if name is None:
            break
        beside += [_join(where, other) for other in others]
        where.append(str(name))
        contents = contents[name]
    _check_state(contents, where)
    return FoundState(key=".".join(where), state=dict(contents), beside=tuple(beside))


def strip_wrappers(state: Mapping[str, Any]) -> dict[str, Any]:
    """The same tensors under the names that the bare module has.

    DataParallel puts `module.` in front of every name; torch.compile, FSDP and checkpointing of
    activations put words of their own in front of the names of what they wrap. `module.` goes only
    where every name has it.

    Raises:
        ValueError: Two names become one.

    >>> strip_wrappers({"module._orig_mod.a": 1, "module.b._orig_mod.c": 2})
    {'a': 1, 'b.c': 2}
    """
    names = dict(zip(state, state, strict=True))
    for word in _ADDED:
        names = {name: short.replace(word, "") for name, short in names.items()}
    while names and all(short.startswith(_PREFIX) for short in names.values()):
        names = {name: short.removeprefix(_PREFIX) for name, short in names.items()}
    stripped: dict[str, Any] = {}
    for name, short in names.items():
        if short in stripped:
            raise ValueError(f"two tensors have the name {shorten(short)} without their prefixes")
        stripped[short] = state[name]
    return stripped


def is_tensor(value: Any) -> bool:
    """Whether it is a tensor of any kind."""
    return isinstance(value, StoredTensor | StoredRows | QuantizedTensor)


def describe_value(value: Any) -> str:
    """What something is that is no dense tensor, for messages."""
    if isinstance(value, Opaque):
        name = printable(value.name, 2 * MAX_NAME)
        if name.startswith("numpy") and name.endswith("_reconstruct"):
            return "a NumPy array"
        return name if name.startswith("a ") else f"an object of class {name}"
    if callable(value):
        return "a Python class or function"
    return (
        "a sparse tensor"
        if isinstance(value, StoredRows)
        else f"a value of type {type(value).__name__}"
    )


def _follow(contents: Any, key: str, before: list[str]) -> tuple[list[str], Any]:
    """The value that a key with dots leads to; names may hold dots, so the longest is tried first.

    Raises:
        ConfigError: There is none.
    """
    names: list[Any] = []
    if isinstance(contents, dict):
        names = [each for each in contents if key == str(each) or key.startswith(f"{each}.")]
    elif isinstance(contents, list | tuple):
        names = [each for each in range(len(contents)) if key.partition(".")[0] == str(each)]
    failed = ConfigError.naming(
        "has no key {}; {}; give another {key}",
        shorten(_join(before, key)),
        _list_keys(contents, before),
    )
    for name in sorted(names, key=lambda each: -len(str(each))):
        if key == str(name):
            return [key], contents[name]
        try:
            inner = [*before, str(name)]
            where, found = _follow(contents[name], key[len(str(name)) + 1 :], inner)
        except ConfigError as error:
            failed = error
        else:
            return [str(name), *where], found
    raise failed


def _step(contents: Mapping[Any, Any], where: list[str]) -> tuple[Any, list[str]]:
    """The key to go down, or None if this is the state dict; and other keys that hold tensors."""
    if _is_optimizer(contents):
        return None, []
    inner = {
        name: size
        for name, value in contents.items()
        if not is_tensor(value) and (size := _num_numbers(value, _MAX_DEPTH - 1, set()))
    }
    for name in WRAPPERS:
        if name in inner:
            least = inner[name] / 100  # what is far smaller is no network beside this one
            return name, [str(each) for each in inner if each != name and inner[each] > least]
    has_tensors = any(is_tensor(value) for value in contents.values())
    if len(inner) == 1 and not has_tensors:
        return next(iter(inner)), []
    if inner:
        have = _list_keys(contents, where)
        if has_tensors:
            raise ConfigError.naming(
                "tensors lie at its top and below: {}; save the state dict alone, or say which "
                "with {key}",
                have,
            )
        raise ConfigError.naming("tensors lie under several keys: {}; say which with {key}", have)
    if not has_tensors:  # a whole model is passed over where its state dict lies beside it
        whole = (name for name in WRAPPERS if isinstance(contents.get(name), Opaque))
        return next(whole, None), []
    return None, []


def _is_optimizer(value: Any) -> bool:
    return isinstance(value, dict) and "param_groups" in value and "state" in value


def _num_numbers(value: Any, depth: int, seen: set[int]) -> int:
    """How many numbers tensors with names have in it; those of an optimizer do not count."""
    if not isinstance(value, dict | list | tuple) or id(value) in seen or _is_optimizer(value):
        return 0
    seen.add(id(value))
    own, inner = 0, list(value)
    if isinstance(value, dict):
        inner = list(value.values())
        named = (each for name, each in value.items() if isinstance(name, str))
        own = sum(int(each.num_numbers) for each in named if is_tensor(each) and each.shape)
    return own + (sum(_num_numbers(each, depth - 1, seen) for each in inner) if depth else 0)


def _check_state(contents: Any, where: list[str]) -> None:
    at = f"under {shorten('.'.join(where))} it " if where else ""
    if isinstance(contents, Opaque):
        name = printable(contents.name, MAX_NAME)
        raise ValueError(
            f"{at}holds an object of class {name}, which is not made here; save its state_dict()"
        )
    if is_tensor(contents):
        raise ValueError(
            f"{at}holds one tensor without a name; save a dict, such as {{'weight': tensor}}"
        )
    if isinstance(contents, list | tuple) and any(map(is_tensor, contents)):
        count = sum(map(is_tensor, contents))
        raise ValueError(
            f"{at}holds a list of {count:,} tensors without names; save model.state_dict()"
        )
    if isinstance(contents, list | tuple) and any(isinstance(each, dict) for each in contents):
        raise ConfigError.naming(
            "{}holds a list of {}; say which with {key}, such as {}",
            at,
            len(contents),
            shorten(_join(where, 0)),
        )
    if not isinstance(contents, dict):
        raise ValueError(
            f"{at}holds {describe_value(contents)}, no state dict; save model.state_dict()"
        )
    if _is_optimizer(contents):
        raise ValueError(
            f"{at}holds the state of an optimizer, not a network; save model.state_dict()"
        )
    for name in contents:
        if not isinstance(name, str):
            raise ValueError(f"a tensor's name must be text, not {type(name).__name__}")
    if any(map(_holds_tensors, contents.values())):
        return
    if any(describe_value(value) == "a NumPy array" for value in contents.values()):
        raise ValueError(f"{at}holds NumPy arrays; save {{name: torch.from_numpy(array), ...}}")
    if any(map(_is_optimizer, contents.values())):
        raise ValueError(
            f"{at}holds the state of an optimizer, not a network; save model.state_dict()"
        )
    have = _list_keys(contents, where)
    raise ValueError(f"no state dict was found in it: {have}; save model.state_dict()")


def _holds_tensors(value: Any) -> bool:
    return is_tensor(value) or (isinstance(value, list | tuple) and any(map(is_tensor, value)))


def _list_keys(contents: Any, where: list[str]) -> str:
    """The keys of a dict, those with tensors below them first, as --key takes them."""
    if isinstance(contents, list | tuple):
        return f"it is a list of {len(contents):,}"
    if not isinstance(contents, dict):
        return f"it is {describe_value(contents)}" if not is_tensor(contents) else "it is a tensor"
    sizes = {name: _num_numbers(value, _MAX_DEPTH - 1, set()) for name, value in contents.items()}
    names = sorted(contents, key=lambda name: -sizes[name])
    shown = [
        shorten(_join(where, name)) + (f" ({sizes[name]:,} numbers)" if sizes[name] else "")
        for name in names
    ]
    more = f" and {len(shown) - _MAX_KEYS:,} more" if len(shown) > _MAX_KEYS else ""
    listed = ", ".join(shown[:_MAX_KEYS])
    return (
        f"its key{' is' if len(shown) == 1 else 's are'} {listed}{more}" if shown else "it is empty"
    )


def _join(where: list[str], name: object) -> str:
    return ".".join([*where, str(name)])
