"""Checksums of a store's files: a bit that is changed is noticed when the file is read.

JSON has one among its values, over all the others as Python writes them. An .npz file has one
behind its end, where NumPy does not look. Files of stores of before have none and are read.
"""

import hashlib
import json
import zipfile
from collections.abc import Mapping
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.data.npz_source import read_array

_NAME = "checksum"
_NUM_BYTES = 16
_MARK = b"mdl-npz:"
_ZIP_END, _ZIP_END_BYTES = b"PK\x05\x06", 22


def checked_json(values: Mapping[str, Any]) -> str:
    """Values as JSON on one line, with the first 16 bytes of SHA-256 of all of them."""
    return _dump({**values, _NAME: _checksum(_dump(values).encode()).hex()})


def without_checksum(values: Any) -> dict[str, Any]:
    """The values alone.

    Raises:
        ValueError: Not a JSON object.
    """
    if not isinstance(values, dict):
        raise ValueError("not a JSON object")
    return {name: value for name, value in values.items() if name != _NAME}


def check_values(values: dict[str, Any]) -> None:
    """Refuse values that are not what was written.

    Args:
        values: As `training.system.checks.load_json` reads them, every number exactly.

    Raises:
        ValueError: There is a checksum and it does not fit them.
    """
    text = _dump(without_checksum(values))
    if _NAME in values and values[_NAME] != _checksum(text.encode()).hex():
        raise ValueError("its checksum does not fit the rest")


def pack_array(array: NDArray[Any], name: str) -> bytes:
    """The bytes of an .npz file of one array, and behind its end a checksum."""
    packed = BytesIO()
    np.savez_compressed(packed, **{name: array})  # type: ignore[arg-type]
    return packed.getvalue() + _MARK + _checksum(packed.getvalue())


def unpack_array(data: bytes, name: str, *, max_bytes: int) -> NDArray[Any]:
    """The inverse of `pack_array`.

    Raises:
        DataError, ValueError, TypeError, KeyError, EOFError, RuntimeError,
        zipfile.BadZipFile, zlib.error: It is damaged, or has more bytes.
    """
    packed, mark, checksum = (
        data[: -len(_MARK) - _NUM_BYTES],
        data[:-_NUM_BYTES],
        data[-_NUM_BYTES:],
    )
    if not mark.endswith(_MARK):
        packed = data
        if not data[-_ZIP_END_BYTES:].startswith(_ZIP_END):
            raise ValueError("bytes follow its end")
    elif checksum != _checksum(packed):
        raise ValueError("its checksum does not fit the rest")
    with zipfile.ZipFile(BytesIO(packed)) as archive:
        if archive.getinfo(f"{name}.npy").file_size > max_bytes:
            raise ValueError(f"an array of more than {max_bytes >> 20} MiB")
        return read_array(archive, f"{name}.npy", name)


def _dump(values: Mapping[str, Any]) -> str:
    return json.dumps(values, sort_keys=True, allow_nan=False)


def _checksum(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()[:_NUM_BYTES]
