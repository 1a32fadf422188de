"""Atomic writes: the old file or the new one, and nothing else in the folder."""

import os
import stat
from pathlib import Path
from typing import BinaryIO

import pytest

from training.system.files import write_atomically, write_text_atomically


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
