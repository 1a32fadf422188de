"""What is read of a run folder, whole or not, and of a checkpoint file."""

import json
import shutil
from pathlib import Path

import pytest

from mdl.report.run_files import read_runs, short_names


def test_a_finished_run(trained: Path) -> None:
    (run,) = read_runs([trained])
    assert run.is_finished and run.checkpoint is not None
    assert [point.epoch for point in run.points] == [1, 2, 3, 4]
    assert (run.name, run.num_epochs) == ("run", 4)
    assert run.layer_names == ("conv1", "fc1", "fc2")
    assert run.config["network"] == "s-fc" and run.versions["torch"]


def test_the_checkpoint_of_a_run_folder_stands_for_the_folder(trained: Path) -> None:
    (run,) = read_runs([trained / "checkpoint.pt"])
    assert len(run.points) == 4


def test_a_checkpoint_alone_has_its_last_epoch(trained: Path, tmp_path: Path) -> None:
    shutil.copy(trained / "checkpoint.pt", tmp_path / "net.pt")
    (run,) = read_runs([tmp_path / "net.pt"])
    assert [point.epoch for point in run.points] == [4]
    assert (run.name, run.config["network"]) == ("net", "s-fc")


def test_a_run_that_saved_no_network_yet(trained: Path, tmp_path: Path) -> None:
    shutil.copy(trained / "config.json", tmp_path)
    (run,) = read_runs([tmp_path])
    assert not run.is_finished and run.checkpoint is None and run.points == ()


def test_mistakes_are_named(trained: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no such run"):
        read_runs([tmp_path / "nothing"])
    with pytest.raises(ValueError, match=r"a folder without checkpoint\.pt"):
        read_runs([tmp_path])
    with pytest.raises(ValueError, match="given twice"):
        read_runs([trained, trained / "checkpoint.pt"])
    for text in ("[1]", "{", "[" * 100_000):
        (tmp_path / "config.json").write_text(text)
        with pytest.raises(ValueError, match=r"config\.json"):
            read_runs([tmp_path])
    (tmp_path / "config.json").write_text(json.dumps({"config": 3}))
    assert read_runs([tmp_path])[0].config == {}


def test_names_tell_runs_apart() -> None:
    places = [Path("/a/x/run"), Path("/b/x/run"), Path("/b/y/run"), Path("/other")]
    assert short_names(places) == ["a/x/run", "b/x/run", "y/run", "other"]
