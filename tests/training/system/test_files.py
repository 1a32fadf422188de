"""Atomic writes: the old file or the new one, and nothing else in the folder."""

import os
import socket
import stat
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pytest

from training.errors import CheckpointError, DataError, OutOfMemoryError
from training.system import memory
from training.system.files import (
    FileBytes,
    read_bytes,
    read_text,
    write_atomically,
    write_text_atomically,
)


class StoreError(ValueError):
    """An error of the kind that the opener itself catches from the system."""


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
def short_path() -> Iterator[Path]:
    """A folder whose name leaves room for a socket's, which has 107 bytes at most."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


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


def irregular(folder: Path) -> list[Path]:
    """Files that are not regular, each by itself and behind a link."""
    os.mkfifo(folder / "pipe")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.fspath(folder / "socket"))
    made = [folder / "pipe", folder / "socket", Path("/dev/zero"), Path(os.devnull)]
    for index, path in enumerate(list(made)):
        link = folder / f"link{index}"
        link.symlink_to(path)
        made.append(link)
    return made


def test_nothing_but_a_regular_file_is_opened_and_nothing_is_waited_for(short_path: Path) -> None:
    for each in irregular(short_path):
        with pytest.raises(CheckpointError, match="not a regular file; give a checkpoint"):
            FileBytes(each)
        with pytest.raises(DataError, match=rf"^{each}: not a regular file; give a list$"):
            read_bytes(each, what="a list", cap=9, error=DataError)
        with pytest.raises(DataError, match="not a regular file; give a list"):
            read_text(each, what="a list", error=DataError, missing="")


def test_a_pipe_that_takes_a_files_place_between_two_looks_is_refused(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    regular = path.stat()
    os.mkfifo(tmp_path / "pipe")
    monkeypatch.setattr(Path, "stat", lambda self: regular)
    with pytest.raises(CheckpointError, match="not a regular file"):
        FileBytes(tmp_path / "pipe")


def test_a_file_is_as_large_as_its_kind_can_be_and_no_larger(tmp_path: Path) -> None:
    path = tmp_path / "sparse"
    path.write_bytes(b"four")
    assert read_bytes(path, what="a word", cap=4) == b"four"
    os.truncate(path, 200 * 10**9)
    with pytest.raises(CheckpointError, match=r"200\.0 GB, but a word has at most 4 bytes; give"):
        read_bytes(path, what="a word", cap=4)
    with pytest.raises(CheckpointError, match=r"a checkpoint has at most 68\.7 GB"):
        FileBytes(path)


def test_memory_is_asked_for_before_a_file_is_read(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "available_memory", lambda: 1000)
    with pytest.raises(OutOfMemoryError, match=r"16\.4 kB of memory, and 1\.0 kB is available"):
        read_bytes(path, what="bytes", cap=1 << 20)


def test_text_and_what_is_not(tmp_path: Path) -> None:
    path = tmp_path / "text"
    path.write_bytes("α\r\n".encode())
    assert read_text(path, what="a text") == "α\r\n"
    path.write_bytes(b"\xff")
    with pytest.raises(CheckpointError, match="not text in UTF-8; give a text"):
        read_text(path, what="a text")
    assert read_text(tmp_path / "none", what="a text", missing="else") == "else"
    assert read_bytes(tmp_path / "none", what="a text", cap=1, missing=b"") == b""
    with pytest.raises(StoreError, match="no such file; give a text"):
        read_text(tmp_path / "none", what="a text", error=StoreError)


def test_refusals(path: Path, tmp_path: Path) -> None:
    for other, words in (
        (tmp_path, "a folder"),
        (tmp_path / "nothing", "no such file"),
        (path / "below", "cannot be read"),
        (tmp_path / ("x" * 300), "cannot be read"),
        (tmp_path / "zero\0", "cannot be read"),
    ):
        with pytest.raises(CheckpointError, match=words):
            FileBytes(other)
    source = FileBytes(path)
    source.close()
    with pytest.raises(CheckpointError, match="cannot be read"):
        source.read(0, 1)
    with FileBytes(path) as source, pytest.raises(CheckpointError, match="cannot be read"):
        source.read(-1, 1)
