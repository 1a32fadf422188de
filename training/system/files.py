"""Files that are either the old one or the new one, whole, whatever happens in between."""

import os
import re
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO


def write_atomically(path: Path | str, write: Callable[[BinaryIO], None]) -> None:
    """Replace the file at `path` by what `write` writes.

    The bytes go to a hidden file in the same folder, are forced to disk, and take the place of the
    old file in one rename. A reader, or a crash at any moment, sees the old file or the new one.
    When `write` fails, the old file stays and nothing is left behind; only a killed process
    leaves its hidden `.<name>.<random>.tmp`. A symbolic link stays and its target is replaced.

    Args:
        path: The file; its folder must exist.
        write: Called once with a binary file open for writing.

    Raises:
        OSError: The folder is missing or full or may not be written to, or `path` is a folder.
    """
    target = Path(os.path.realpath(path))
    if target.is_dir():
        raise IsADirectoryError(f"{path} is a folder; a file cannot take its place")
    if not target.parent.is_dir():
        raise FileNotFoundError(
            f"{target.parent} is not a folder, so {target.name} cannot go there"
        )
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(6)}.tmp")
    try:
        with temporary.open("xb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync_folder(target.parent)


def write_text_atomically(path: Path | str, text: str) -> None:
    """Replace the file at `path` by `text` in UTF-8, as `write_atomically` does.

    Line ends are written as they are.
    """
    data = text.encode()

    def write(file: BinaryIO) -> None:
        file.write(data)

    write_atomically(path, write)


def remove_leftovers(path: Path | str) -> None:
    """Delete what killed processes left of `write_atomically` to `path`; others' files stay.

    No other process may be writing to `path`.
    """
    target = Path(os.path.realpath(path))
    name = re.compile(rf"\.{re.escape(target.name)}\.[0-9a-f]{{12}}\.tmp")
    for entry in target.parent.iterdir():
        if name.fullmatch(entry.name):
            entry.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    """Force the rename itself to disk, where the system lets one open a folder."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
