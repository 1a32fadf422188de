import json
from pathlib import Path

import pytest

from training.run.run_folder import RunFolder, check_run_folder, new_run_folder
from training.system.locks import RunBusyError


def make(root: Path, name: str = "s-fc") -> Path:
    with new_run_folder(name, root=root) as folder:
        return folder.path


def test_runs_are_numbered_and_never_reused(tmp_path: Path) -> None:
    root = tmp_path / "runs"
    assert [make(root).name, make(root, "s-conv").name] == ["0001-s-fc", "0002-s-conv"]
    (root / "0041-old").mkdir()
    assert make(root).name == "0042-s-fc"


def test_out_is_the_run_folder_and_must_be_empty(tmp_path: Path) -> None:
    out = tmp_path / "deep" / "here"
    with new_run_folder("s-fc", out=out) as folder:
        assert folder == RunFolder(out)
    assert not list(out.iterdir())
    (out / "notes.txt").write_text("mine")
    with (
        pytest.raises(ValueError, match=r"^out .* not an empty folder; .*resume_from"),
        new_run_folder("s-fc", out=out),
    ):
        pass
    with pytest.raises(ValueError, match=r"^out "), new_run_folder("", out=out / "notes.txt"):
        pass
    assert [entry.read_text() for entry in out.iterdir()] == ["mine"]


def test_a_run_ended_before_its_first_checkpoint_is_begun_anew(tmp_path: Path) -> None:
    for name in ("run.lock", ".checkpoint.pt.0123456789ab.tmp", ".config.json.0123456789ab.tmp"):
        (tmp_path / name).write_text("1234567 elsewhere\n")
    check_run_folder(tmp_path)
    RunFolder(tmp_path).write_config({"config": {}, "versions": {}})
    (tmp_path / "notes.txt").write_text("mine")
    with new_run_folder("s-fc", out=tmp_path):
        assert not list(tmp_path.glob(".config.json.*"))
    for name in ("checkpoint.pt", "metrics.jsonl"):
        (tmp_path / name).touch()
        with pytest.raises(ValueError, match="not an empty folder"):
            check_run_folder(tmp_path)
        (tmp_path / name).unlink()
    # Another program's file of that name is no run of ours.
    (tmp_path / "config.json").write_text(json.dumps({"architectures": ["LlamaForCausalLM"]}))
    with pytest.raises(ValueError, match="not an empty folder"):
        check_run_folder(tmp_path)


def test_a_folder_has_one_run_at_a_time(tmp_path: Path) -> None:
    with new_run_folder("s-fc", out=tmp_path) as folder:
        folder.write_config({"config": {}, "versions": {}})
        with (
            pytest.raises(RunBusyError, match=r"run.lock: process \d+ works on it; wait"),
            new_run_folder("s-fc", out=tmp_path),
        ):
            pass
        folder.append_metrics({"epoch": 1})
        with pytest.raises(RunBusyError, match="works on it"):
            check_run_folder(tmp_path)
        with pytest.raises(RunBusyError), RunFolder(tmp_path).hold():
            pass
    with RunFolder(tmp_path).hold() as again:
        again.keep_metrics_until(1)


def test_a_folder_that_another_has_taken_the_place_of_is_not_written(tmp_path: Path) -> None:
    out, lock = tmp_path / "run", tmp_path / "run" / "run.lock"
    with new_run_folder("s-fc", out=out) as folder:
        lock.unlink()
        with new_run_folder("s-fc", out=out):
            for write in (
                lambda: folder.append_metrics({"epoch": 1}),
                lambda: folder.keep_metrics_until(1),
                lambda: folder.write_config({}),
            ):
                with pytest.raises(FileNotFoundError, match="removed or replaced"):
                    write()
        assert not list(out.iterdir())


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
