"""Reads by position: any piece, from any thread, and one clear error where the file ends."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from training.errors import CheckpointError
from training.system.file_bytes import FileBytes


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "bytes"
    file.write_bytes(bytes(range(256)) * 64)
    return file


def test_any_piece(path: Path) -> None:
    with FileBytes(path) as source:
        assert source.num_bytes == 16384
        assert source.read(300, 3) == bytes([44, 45, 46])
        assert source.read(16384, 0) == b""
        buffer = np.zeros(2, dtype="<u2")
        source.read_into(1, buffer)
        assert buffer.tolist() == [1 + 256 * 2, 3 + 256 * 4]


def test_threads_do_not_move_each_others_place(path: Path) -> None:
    whole = path.read_bytes()
    with FileBytes(path) as source, ThreadPoolExecutor(4) as pool:
        starts = list(range(0, 16000, 37))
        pieces = list(pool.map(lambda start: source.read(start, 100), starts))
    assert pieces == [whole[start : start + 100] for start in starts]


def test_a_file_that_is_cut_short_meanwhile_is_one_error_and_no_signal(path: Path) -> None:
    with FileBytes(path) as source:
        os.truncate(path, 1000)
        assert len(source.read(0, 1000)) == 1000
        with pytest.raises(CheckpointError, match="ended while it was read"):
            source.read(999, 2)


def test_refusals(path: Path, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for other, words in (
        (tmp_path, "a folder"),
        (tmp_path / "pipe", "not a regular file"),
        (tmp_path / "nothing", "no such file"),
        (tmp_path / ("x" * 300), "cannot be read"),
    ):
        with pytest.raises(CheckpointError, match=words):
            FileBytes(other)
    source = FileBytes(path)
    source.close()
    with pytest.raises(CheckpointError, match="cannot be read"):
        source.read(0, 1)
    with FileBytes(path) as source, pytest.raises(CheckpointError, match="cannot be read"):
        source.read(-1, 1)
