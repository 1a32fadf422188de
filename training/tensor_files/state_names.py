"""Finds the state dict in what a checkpoint file holds, under the names that its module has."""

from collections.abc import Mapping
from typing import Any

from training.tensor_files.plain_pickle import Opaque
from training.tensor_files.stored_tensor import StoredRows, StoredTensor, printable, shorten

WRAPPERS = ("state_dict_ema", "model_ema", "state_dict", "model", "model_state_dict")
"""Keys that a state dict may lie under; where there are several, the first one is taken."""

_PREFIX = "module."
_COMPILED = "_orig_mod."
_MAX_DEPTH = 3


def find_state(contents: Any, key: str | None = None) -> tuple[str, dict[str, Any]]:
    """Where the state dict lies, and it itself.

    Args:
        contents: What the file holds.
        key: The key that it lies under; None looks under `WRAPPERS` and then at the top.

    Raises:
        ValueError: There is none.
    """
    where = []
    if key is not None:
        if not isinstance(contents, dict) or key not in contents:
            raise ValueError(f"has no key {shorten(key)}; give another --key")
        where.append(key)
        contents = contents[key]
    while len(where) < _MAX_DEPTH and isinstance(contents, dict):
        # A dict comes before an object: a whole model may lie beside its state dict.
        found = [name for name in WRAPPERS if isinstance(contents.get(name), dict)]
        found += [name for name in WRAPPERS if isinstance(contents.get(name), Opaque)]
        if not found:
            break
        where.append(found[0])
        contents = contents[found[0]]
    if isinstance(contents, Opaque):
        raise ValueError(
            f"holds an object of class {printable(contents.name)}, which is not made here; save "
            "its state_dict()"
        )
    if not isinstance(contents, dict) or not _has_tensor(contents):
        raise ValueError("no state dict was found in it; save model.state_dict()")
    for name in contents:
        if not isinstance(name, str):
            raise ValueError(f"a tensor's name must be text, not {type(name).__name__}")
    return ".".join(where), dict(contents)


def strip_wrappers(state: Mapping[str, Any]) -> dict[str, Any]:
    """The same tensors under the names that the bare module has.

    DataParallel puts `module.` in front of every name, torch.compile puts `_orig_mod.` in front of
    the names of what it compiled. `module.` goes only where every name has it.

    Raises:
        ValueError: Two names become one.

    >>> strip_wrappers({"module._orig_mod.a": 1, "module.b._orig_mod.c": 2})
    {'a': 1, 'b.c': 2}
    """
    names = {name: name.replace(_COMPILED, "") for name in state}
    while names and all(short.startswith(_PREFIX) for short in names.values()):
        names = {name: short.removeprefix(_PREFIX) for name, short in names.items()}
    stripped: dict[str, Any] = {}
    for name, short in names.items():
        if short in stripped:
            raise ValueError(f"two tensors have the name {shorten(short)} without their prefixes")
        stripped[short] = state[name]
    return stripped


def _has_tensor(contents: Mapping[Any, Any]) -> bool:
    return any(isinstance(value, StoredTensor | StoredRows) for value in contents.values())
