from pathlib import Path

import pytest

from training.run.run_folder import RunFolder, create_run_folder


def test_runs_are_numbered_and_never_reused(tmp_path: Path) -> None:
    root = tmp_path / "runs"
    first = create_run_folder("s-fc", root=root)
    second = create_run_folder("s-conv", root=root)
    assert [first.path.name, second.path.name] == ["0001-s-fc", "0002-s-conv"]
    (root / "0041-old").mkdir()
    assert create_run_folder("s-fc", root=root).path.name == "0042-s-fc"


def test_out_is_the_run_folder_and_must_be_empty(tmp_path: Path) -> None:
    out = tmp_path / "deep" / "here"
    assert create_run_folder("s-fc", out=out).path == out
    (out / "notes.txt").write_text("mine")
    with pytest.raises(ValueError, match=r"^out .* not an empty folder; .*resume_from"):
        create_run_folder("s-fc", out=out)
    with pytest.raises(ValueError, match=r"^out "):
        create_run_folder("s-fc", out=out / "notes.txt")
    assert (out / "notes.txt").read_text() == "mine"


def test_metrics_lose_a_torn_line_and_what_will_be_done_again(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    assert folder.read_metrics() == []
    for epoch in (1, 2, 3):
        folder.append_metrics({"epoch": epoch, "loss": 0.5})
    with folder.metrics.open("a") as file:
        file.write('{"epoch": 4, "lo')
    assert [line["epoch"] for line in folder.read_metrics()] == [1, 2, 3]
    folder.keep_metrics_until(2)
    folder.append_metrics({"epoch": 3, "loss": 0.25})
    assert [line["loss"] for line in folder.read_metrics()] == [0.5, 0.5, 0.25]


def test_metrics_of_version_1_are_read_and_a_later_version_is_refused(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.metrics.write_text('{"epoch": 1, "certified": {"conv1": 0.5}}\n')
    assert folder.read_metrics() == [{"epoch": 1, "screened": {"conv1": 0.5}, "version": 2}]
    folder.metrics.write_text('{"epoch": 1, "version": 3}\n')
    with pytest.raises(ValueError, match="version 3, and this mdl reads 2"):
        folder.read_metrics()
