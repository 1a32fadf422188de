"""Reads `.safetensors` files: a length, a JSON header, and raw numbers. No torch.

    8 bytes      N, length of the header, little-endian
    N bytes      JSON: {name: {"dtype": .., "shape": [..], "data_offsets": [begin, end]}, ..}
    the rest     the numbers; offsets count from here, and every byte belongs to one tensor

Nothing in the header is believed before it is checked against the file.
"""

import json
from collections.abc import Mapping
from typing import Any

from training.errors import CheckpointError
from training.system.checks import check_keys, load_json
from training.system.files import FileBytes
from training.system.text import shorten
from training.tensor_files.stored_tensor import NUMBER_TYPES, StoredTensor, is_shape

MAX_HEADER_BYTES = 1 << 25
"""Longest header that is read, some 200,000 tensors; the format itself allows three times that."""

_PREFIX_BYTES = 8
_FIELDS = {"dtype", "shape", "data_offsets"}
_DTYPES = {
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
    "F8_E4M3": "float8_e4m3fn",
    "F8_E5M2": "float8_e5m2",
    "F8_E8M0": "float8_e8m0fnu",
    "I64": "int64",
    "I32": "int32",
    "I16": "int16",
    "I8": "int8",
    "U64": "uint64",
    "U32": "uint32",
    "U16": "uint16",
    "U8": "uint8",
    "BOOL": "bool",
    "C64": "complex64",
}


def looks_like_safetensors(start: bytes, num_bytes: int) -> bool:
    """Whether a file of so many bytes may be one, by its first bytes (9 at least)."""
    if len(start) <= _PREFIX_BYTES or start[_PREFIX_BYTES : _PREFIX_BYTES + 1] != b"{":
        return False
    return int.from_bytes(start[:_PREFIX_BYTES], "little") <= num_bytes - _PREFIX_BYTES


def read_safetensors(source: FileBytes) -> dict[str, StoredTensor]:
    """Its tensors by name, in the order of the file; their numbers stay in it.

    Raises:
        CheckpointError: The header is damaged or does not fit the file.
    """
    try:
        start, header = _read_header(source)
        return _parse(header, source, start)
    except (ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise CheckpointError(f"{source.path}: {reason}; copy it again") from error


def _read_header(source: FileBytes) -> tuple[int, Mapping[str, Any]]:
    if source.num_bytes < _PREFIX_BYTES + 2:
        raise ValueError("too short for a safetensors file")
    length = int.from_bytes(source.read(0, _PREFIX_BYTES), "little")
    if length > MAX_HEADER_BYTES:
        raise ValueError(f"its header says it has {length} bytes, above {MAX_HEADER_BYTES}")
    start = _PREFIX_BYTES + length
    if start > source.num_bytes:
        raise ValueError("cut short in its header")
    text = source.read(_PREFIX_BYTES, length)
    if not text.startswith(b"{"):
        raise ValueError("not a safetensors file: its header is not JSON")
    try:
        header = load_json(text)
    except UnicodeDecodeError as error:
        raise ValueError("its header is not UTF-8") from error
    except json.JSONDecodeError as error:
        raise ValueError("its header is not JSON") from error
    if not isinstance(header, dict):
        raise ValueError("its header is not a JSON object")
    return start, header


def _parse(header: Mapping[str, Any], source: FileBytes, start: int) -> dict[str, StoredTensor]:
    placed = []
    for name, fields in header.items():
        if name == "__metadata__":
            if not isinstance(fields, dict) or not all(type(v) is str for v in fields.values()):
                raise ValueError("its __metadata__ must map text to text")
            continue
        if not isinstance(fields, dict):
            raise ValueError(f"{shorten(name)} in its header is not an object")
        check_keys(f"{shorten(name)} in its header", fields, _FIELDS)
        placed.append((_parse_place(name, fields), name, fields))
    placed.sort(key=lambda each: each[0])
    tensors, expected = {}, 0
    for (begin, end), name, fields in placed:
        if begin != expected:
            raise ValueError(
                f"{shorten(name)} overlaps another tensor, or bytes before it are no tensor's"
            )
        tensors[name] = _parse_tensor(name, fields, source, start + begin, end - begin)
        expected = end
    if start + expected != source.num_bytes:
        raise ValueError(
            f"its tensors take {expected} bytes but {source.num_bytes - start} are there"
        )
    return tensors


def _parse_place(name: str, fields: Mapping[str, Any]) -> tuple[int, int]:
    offsets = fields["data_offsets"]
    if not isinstance(offsets, list) or len(offsets) != 2 or not is_shape(tuple(offsets)):
        raise ValueError(f"data_offsets of {shorten(name)} are not two integers >= 0")
    begin, end = offsets
    if begin > end:
        raise ValueError(f"data_offsets of {shorten(name)} end before they begin")
    return begin, end


def _parse_tensor(
    name: str, fields: Mapping[str, Any], source: FileBytes, start: int, num_bytes: int
) -> StoredTensor:
    dtype, shape = fields["dtype"], fields["shape"]
    if not isinstance(dtype, str) or dtype not in _DTYPES:
        raise ValueError(
            f"{shorten(name)} has the dtype {shorten(str(dtype))}, which mdl does not know"
        )
    if not isinstance(shape, list) or not is_shape(tuple(shape)):
        raise ValueError(f"the shape of {shorten(name)} is not a list of integers >= 0")
    tensor = StoredTensor(
        shape=tuple(shape), number_type=NUMBER_TYPES[_DTYPES[dtype]], source=source, start=start
    )
    if tensor.num_bytes != num_bytes:
        raise ValueError(
            f"{shorten(name)} of shape {list(shape)} and dtype {dtype} needs "
            f"{tensor.num_bytes} bytes, not {num_bytes}"
        )
    return tensor
