"""Reads `torch.save` files from anywhere without running code from them and without warnings."""

import pickle
import warnings
import zipfile
from pathlib import Path
from typing import Any

import torch

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
