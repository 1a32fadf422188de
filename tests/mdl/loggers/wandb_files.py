"""Reads the file that W&B keeps offline: records in protocol buffers, in the blocks of LevelDB."""

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_BLOCK, _FILE_HEADER, _RECORD_HEADER = 32_768, 7, 7
_FULL, _LAST = 1, 4


def read_records(path: Path) -> list[Any]:
    """All records of a file, in order."""
    from wandb.proto import wandb_internal_pb2  # need not be installed

    return [wandb_internal_pb2.Record.FromString(data) for data in _read_pieces(path.read_bytes())]


def _read_pieces(data: bytes) -> Iterator[bytes]:
    position, parts = _FILE_HEADER, b""
    while position + _RECORD_HEADER <= len(data):
        left = _BLOCK - position % _BLOCK
        if left < _RECORD_HEADER:
            position += left
            continue
        _, length, kind = struct.unpack_from("<IHB", data, position)
        position += _RECORD_HEADER
        if kind == 0:
            break
        parts += data[position : position + length]
        position += length
        if kind in (_FULL, _LAST):
            yield parts
            parts = b""


def history(path: Path) -> list[dict[str, Any]]:
    """What was logged, step by step."""
    return [
        {item.key or ".".join(item.nested_key): json.loads(item.value_json) for item in line}
        for line in (
            record.history.item for record in read_records(path) if record.HasField("history")
        )
    ]


def configuration(path: Path) -> dict[str, Any]:
    """The configuration as the run was begun with."""
    (run,) = (record.run for record in read_records(path) if record.HasField("run"))
    return {
        item.key or ".".join(item.nested_key): json.loads(item.value_json)
        for item in run.config.update
    }
