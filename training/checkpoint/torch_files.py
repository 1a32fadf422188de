"""Reads `torch.save` files without running code, and keeps to values that hold none."""

import pickle
import warnings
import zipfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from training.errors import CheckpointError

_ZIP_START = b"PK\x03\x04"
_PICKLE_START = b"\x80"


def read_torch_file(path: Path) -> Any:
    """Tensors and plain values of a file, on the CPU.

    Only the zip format is read, with `weights_only=True` and the invariants of sparse tensors
    checked. The file is read, not mapped: a mapped file that another process cuts short, or that
    goes away on a network drive, would end this process.

    Raises:
        CheckpointError: One line that says why the file cannot be used.
    """
    _check_container(path)
    try:
        invariants = torch.sparse.check_sparse_tensor_invariants()  # type: ignore[no-untyped-call]
        with warnings.catch_warnings(), invariants:
            warnings.simplefilter("ignore")
            return torch.load(path, map_location="cpu", weights_only=True, mmap=False)
    except Exception as error:  # A malformed file raises whatever the reader trips over.
        raise CheckpointError(f"{path}: {_explain(error)}") from error


def _check_container(path: Path) -> None:
    """Refuse all that is not a whole zip archive as `torch.save` writes it."""
    try:
        if not path.exists():
            raise CheckpointError(f"{path}: no such file; give a checkpoint or a run folder")
        if not path.is_file():
            raise CheckpointError(f"{path}: not a regular file; give a checkpoint or a run folder")
        with path.open("rb") as file:
            start = file.read(4096)
        if not start.startswith(_ZIP_START):
            raise CheckpointError(f"{path}: {_describe_start(start)}")
        with zipfile.ZipFile(path) as archive:
            records = archive.infolist()
    except OSError as error:
        reason = error.strerror or str(error)
        raise CheckpointError(f"{path}: cannot be read ({reason})") from error
    except (zipfile.BadZipFile, ValueError, NotImplementedError) as error:
        raise CheckpointError(f"{path}: cut short or damaged; copy it again") from error
    names = [record.filename for record in records]
    is_stored = all(record.compress_type == zipfile.ZIP_STORED for record in records)
    if not is_stored or not any(name.endswith("/data.pkl") for name in names):
        raise CheckpointError(
            f"{path}: a zip archive, but not one that torch.save wrote; give a checkpoint that "
            "mdl train wrote"
        )


def _describe_start(start: bytes) -> str:
    if not start:
        return "the file is empty; copy it again, or train anew"
    if start.startswith(_PICKLE_START):
        return (
            "a pickle, which could run code when it is read; nothing was run; save it with "
            "torch.save in its zip format"
        )
    characters = start.decode("utf-8", errors="replace")
    is_text = all(character.isprintable() or character.isspace() for character in characters)
    what = "a text file, not a checkpoint" if is_text else "not a checkpoint"
    return f"{what}; give a checkpoint that mdl train wrote"


def _explain(error: Exception) -> str:
    reason = " ".join(str(error).split())
    if isinstance(error, pickle.UnpicklingError) and "GLOBAL" in reason:
        return (
            "holds Python objects, which could run code when they are read; nothing was run; give "
            "a checkpoint of tensors and plain values"
        )
    if "is not satisfied" in reason:
        return f"a sparse tensor in it is corrupt ({reason.rstrip('.')}); copy it again"
    if isinstance(error, MemoryError) or "not enough memory" in reason:
        return "too large for this machine's memory"
    return f"cut short or damaged ({type(error).__name__}); copy it again"


def plain_copy(value: Any, where: str, *, allow_tensors: bool = False) -> Any:
    """A copy made of None, bool, int, float, str, list, tuple, dict and, if allowed, tensors.

    Subclasses of these, such as NumPy's float64 or an enumeration of strings, become the plain
    type. Tensors come back detached, on the CPU and with no more storage than they need.

    Args:
        value: Any value; dicts must have str or int keys.
        where: What the value is called in an error.
        allow_tensors: Whether dense tensors may be among them.

    Raises:
        ValueError: Names the first part that is something else.

    >>> plain_copy({"a": [1, (2.5, None)]}, "metrics")
    {'a': [1, (2.5, None)]}
    """
    if value is None or isinstance(value, bool):
        return value
    for kind in (int, float, str):
        if isinstance(value, kind):
            return kind(value)
    if isinstance(value, list | tuple):
        parts = [
            plain_copy(part, f"{where}[{index}]", allow_tensors=allow_tensors)
            for index, part in enumerate(value)
        ]
        return parts if isinstance(value, list) else tuple(parts)
    if isinstance(value, dict):
        return {
            _plain_key(key, where): plain_copy(
                part, f"{where}[{key!r}]", allow_tensors=allow_tensors
            )
            for key, part in value.items()
        }
    if allow_tensors and isinstance(value, Tensor) and value.layout == torch.strided:
        return compact_tensor(value)
    kinds = "numbers, text, lists and dicts" + (" and dense tensors" if allow_tensors else "")
    raise ValueError(f"{where} is a {type(value).__name__}; only {kinds} can be there")


def compact_tensor(tensor: Tensor) -> Tensor:
    """The tensor detached, on the CPU, contiguous, and alone in its storage.

    It shares memory with `tensor` where that is so already.

    Raises:
        ValueError: A sparse tensor.
    """
    if tensor.layout != torch.strided:
        raise ValueError(f"tensors must be dense, not {tensor.layout}")
    plain = tensor.detach().cpu().contiguous()
    is_alone = plain.untyped_storage().nbytes() == plain.numel() * plain.element_size()
    return plain if is_alone else plain.clone()


def _plain_key(key: Any, where: str) -> str | int:
    if isinstance(key, bool) or not isinstance(key, str | int):
        raise ValueError(f"{where} has the key {key!r}; keys must be text or integers")
    return str(key) if isinstance(key, str) else int(key)
