"""Atomic writes: the old file or the new one, and nothing else in the folder."""

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pytest

from training.errors import CheckpointError
from training.system.files import FileBytes, write_atomically, write_text_atomically


def names_in(folder: Path) -> list[str]:
    return [child.name for child in folder.iterdir()]


def test_writes_a_new_file_and_replaces_an_old_one(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    write_text_atomically(path, "α = 8\n")
    assert path.read_bytes() == "α = 8\n".encode()
    write_text_atomically(path, "second\r\n")
    assert path.read_bytes() == b"second\r\n"
    assert names_in(tmp_path) == ["config.json"]


@pytest.mark.parametrize("failure", [ValueError, KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("old", [None, b"old"])
def test_failure_in_the_middle_leaves_the_old_file_and_no_other(
    tmp_path: Path, failure: type[BaseException], old: bytes | None
) -> None:
    path = tmp_path / "checkpoint.pt"
    if old is not None:
        path.write_bytes(old)

    def write(file: BinaryIO) -> None:
        file.write(b"half of the new")
        raise failure("stop")

    with pytest.raises(failure):
        write_atomically(path, write)
    assert [child.read_bytes() for child in tmp_path.iterdir()] == ([] if old is None else [old])


def test_failure_of_the_rename_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def refuse(self: Path, target: Path) -> Path:
        raise PermissionError(13, "no", str(target))

    monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises(PermissionError):
        write_atomically(path, lambda file: None)
    assert names_in(tmp_path) == ["file"]
    assert path.read_bytes() == b"old"


def test_the_old_file_is_there_until_all_is_written_and_on_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    events = []
    fsync, replace = os.fsync, Path.replace

    def watch_fsync(descriptor: int) -> None:
        is_folder = stat.S_ISDIR(os.fstat(descriptor).st_mode)
        size = None if is_folder else os.fstat(descriptor).st_size
        events.append(("fsync", size, path.read_bytes()))
        fsync(descriptor)

    def watch_replace(self: Path, target: Path) -> Path:
        events.append(("rename", None, path.read_bytes()))
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", watch_fsync)
    monkeypatch.setattr(Path, "replace", watch_replace)
    write_atomically(path, lambda file: file.write(b"the new"))  # type: ignore[arg-type, return-value]
    assert events == [("fsync", 7, b"old"), ("rename", None, b"old"), ("fsync", None, b"the new")]


def test_new_file_has_the_permissions_that_open_would_give(tmp_path: Path) -> None:
    write_text_atomically(tmp_path / "atomic", "x")
    (tmp_path / "plain").write_text("x")
    modes = [(tmp_path / name).stat().st_mode for name in ("atomic", "plain")]
    assert modes[0] == modes[1]


def test_a_symbolic_link_stays_and_its_target_changes(tmp_path: Path) -> None:
    (tmp_path / "real").write_text("old")
    (tmp_path / "link").symlink_to("real")
    write_text_atomically(tmp_path / "link", "new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_text() == "new"


def test_refuses_a_folder_and_a_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError, match="is a folder"):
        write_text_atomically(tmp_path, "x")
    with pytest.raises(FileNotFoundError, match="is not a folder"):
        write_text_atomically(tmp_path / "missing" / "file", "x")
    assert names_in(tmp_path) == []


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
