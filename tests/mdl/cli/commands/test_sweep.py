"""`mdl sweep`, its trials in this process but for one sweep that is stopped."""

import json
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from tests.mdl.calls import HANGS_S, Command, start_process
from tests.mdl.experiments.answers import fits_a_screen

pytestmark = pytest.mark.usefixtures("trials_here")

SMALL = (
    "sweep",
    "s-fc",
    "--grid",
    "small",
    "--method",
    "sgd",
    "--image-size",
    "8",
    "--num-train",
    "120",
    "--num-test",
    "40",
    "--base-channels",
    "1",
    "--batch-size",
    "20",
    "--precision",
    "fp32",
    "--device",
    "cpu",
)
TINY = (*SMALL, "--epochs", "1", "--threads", "1", "--workers", "2")


def stored(store: Path) -> dict[str, dict[str, Any]]:
    """Results by key, as their file has them."""
    lines = (store / "results.jsonl").read_text().splitlines()
    return {values["key"]: values for values in map(json.loads, lines)}


@pytest.fixture(scope="module")
def store(mdl: Command, trials_here: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a sweep of four trials that is finished."""
    folder = tmp_path_factory.mktemp("swept") / "store"
    done = mdl(*TINY, "--store", str(folder))
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("Chosen by validation accuracy")
    assert "4 of 4 trials finished, 0 failed, 0 missing; --full shows them." in done.stdout
    assert fits_a_screen(done.stdout)
    assert "trained without the 12 held-out images" in done.stdout
    assert "--then retrain" in done.stdout
    return folder


@pytest.mark.slow
def test_collecting_again_trains_nothing_and_tells_the_same(mdl: Command, store: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in store.rglob("*") if path.is_file()}
    told = []
    for arguments in ((), ("--collect",)):
        done = mdl(*TINY, "--store", str(store), "--json", *arguments)
        assert done.returncode == 0, done.stderr
        told.append(json.loads(done.stdout))
    assert told[0] == told[1]
    assert told[0]["complete"]
    assert {trial["status"] for trial in told[0]["trials"]} == {"finished"}
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_only_what_was_chosen_shows_its_test_error(mdl: Command, store: Path) -> None:
    report = json.loads(mdl(*TINY, "--store", str(store), "--json", "--collect").stdout)
    assert not any("test" in name for trial in report["trials"] for name in trial)
    key = report["selected"]["keys"][0]
    result = stored(store)[key]
    test = result["test"]
    assert report["selected"]["test_error"] == test["num_errors"] / test["num_samples"]
    errors = [trial["validation_error"] for trial in report["trials"]]
    assert report["selected"]["validation_error"] == min(errors)


def test_retraining_takes_the_chosen_settings_on_all_images(mdl: Command, store: Path) -> None:
    done = mdl(*TINY, "--store", str(store), "--then", "retrain", "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    (final,) = report["retrained"]
    result = stored(store)[final["key"]]
    assert result["validation"] is None
    assert result["train"]["num_samples"] == 120
    for name, value in report["selected"]["settings"].items():
        assert result["config"][name] == value


def test_one_trial_by_its_number(mdl: Command, tmp_path: Path) -> None:
    listed = json.loads(mdl(*TINY, "--list", "--json").stdout)["trials"]
    assert [trial["number"] for trial in listed] == [1, 2, 3, 4]
    done = mdl(*TINY, "--store", str(tmp_path), "--index", "3", "--json")
    assert done.returncode == 0, done.stderr
    trial = json.loads(done.stdout)
    assert (trial["number"], trial["key"]) == (3, listed[2]["key"])
    assert list(stored(tmp_path)) == [listed[2]["key"]]
    collected = mdl(*TINY, "--store", str(tmp_path), "--collect")
    assert collected.returncode == 0
    assert "1 of 4 trials finished, 0 failed, 3 missing" in collected.stdout
    assert collected.stdout.startswith("Best so far")
    assert "Test accuracy" not in collected.stdout


def test_failed_trials_are_tried_again_told_and_kept(mdl: Command, tmp_path: Path) -> None:
    arguments = (*TINY, "--store", str(tmp_path), "--lr", "1e12", "--index", "1")
    done = mdl(*arguments, "--retries", "1")
    assert done.returncode == 1
    assert done.stderr.count("not finite") == 2
    assert "Traceback" not in done.stderr
    collected = mdl(*TINY, "--store", str(tmp_path), "--lr", "1e12", "--collect", "--json")
    report = json.loads(collected.stdout)
    assert (report["num_failed"], report["num_missing"]) == (1, 3)
    assert "not finite" in report["trials"][0]["message"]
    assert report["selected"] is None


def test_all_trials_are_shown_when_asked_for(mdl: Command, store: Path) -> None:
    done = mdl(*TINY, "--store", str(store), "--collect", "--full")
    assert done.returncode == 0, done.stderr
    assert "best first" in done.stdout and "nonzeros" in done.stdout
    assert "4 of 4 trials finished, 0 failed, 0 missing." in done.stdout
    next_steps = done.stdout.partition("Next:")[2]
    assert "mdl sweep s-fc" in next_steps and "--full" not in next_steps


@pytest.mark.slow
@pytest.mark.process
def test_a_signal_stops_with_all_saved(tmp_path: Path) -> None:
    arguments = (*SMALL, "--epochs", "100000", "--threads", "1", "--store", "store")
    process = start_process(*arguments, folder=tmp_path)
    deadline = time.monotonic() + HANGS_S
    while not list((tmp_path / "store").glob("runs/*/metrics.jsonl")):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=HANGS_S)
    assert process.returncode == 128 + signal.SIGTERM
    assert "Traceback" not in err
    assert "Stopped and saved. Resume with: mdl sweep s-fc" in err
    assert len(list((tmp_path / "store").glob("runs/*/checkpoint.pt"))) == 1


@pytest.mark.parametrize(("method", "number"), [("beta-lasso", 50), ("sgd", 20)])
def test_the_list_of_the_paper_is_numbered(method: str, number: int, mdl: Command) -> None:
    done = mdl("sweep", "s-fc", "--method", method, "--list")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"{number} trials: s-fc α=150 by {method}, 400 epochs;")
    assert f"#SBATCH --array=1-{number}" in done.stdout
    assert fits_a_screen(done.stdout)
    listed = json.loads(mdl("sweep", "s-fc", "--method", method, "--list", "--json").stdout)
    keys = {trial["key"] for trial in listed["trials"]}
    assert len(keys) == number
    full = mdl("sweep", "s-fc", "--method", method, "--list", "--full").stdout
    assert all(key in full for key in keys)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("s-fcc",), 2, "NETWORK must be one of d-conv"),
        (("s-fc", "--grid", "large"), 2, "large"),
        (("s-fc", "--list", "--collect"), 2, "choose one of --index, --list and --collect"),
        (("s-fc", "--index", "51"), 2, "--index must be from 1 to 50, not 51"),
        (("s-fc", "--index", "0"), 2, "--index must be from 1 to 50, not 0"),
        (("s-fc", "--index", "1", "--engine", "ray"), 2, "leave out --engine ray"),
        (("s-fc", "--method", "sgd", "--beta", "1"), 2, "belongs to --method beta-lasso"),
        (("s-fc", "--lr", "0"), 2, "--lr must be > 0"),
        (("s-fc", "--validation", "0"), 2, "--validation"),
        (("s-fc", "--seeds", "0"), 2, "--seeds"),
        (("s-fc", "--workers", "0"), 2, "--workers"),
        (("s-fc", "--hidden-units", "9"), 2, "takes no --hidden-units"),
        (("s-fc", "--policy", "none.json"), 2, "--policy none.json is not a file"),
        (("s-fc", "--data", "no/such/folder"), 1, "no/such/folder"),
    ],
)
def test_mistakes_get_one_line(
    arguments: tuple[str, ...], code: int, words: str, mdl: Command
) -> None:
    done = mdl("sweep", *arguments)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    assert words in " ".join(done.stderr.split())
    assert done.stdout == ""


def test_a_damaged_result_is_named(mdl: Command, tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    path.write_text("{")
    done = mdl(*TINY, "--store", str(tmp_path), "--collect")
    assert done.returncode == 1
    assert f"{path}: line 1 is damaged" in done.stderr
    assert "Traceback" not in done.stderr


def test_total_shrinkages_are_swept_with_the_penalties_beside_them(
    mdl: Command, tmp_path: Path
) -> None:
    asked = (*TINY, "--method", "beta-lasso", "--shrinkage", "5", "--shrinkage", "10,2.5")
    listed = json.loads(mdl(*asked, "--list", "--json").stdout)["trials"]
    assert [(each["shrinkage_conv"], each["shrinkage_fc"]) for each in listed] == [
        (5, 5),
        (10, 2.5),
    ]
    assert {each["l1_conv"] for each in listed} == {None}
    done = mdl(*asked, "--store", str(tmp_path / "store"), "--full")
    assert done.returncode == 0, done.stderr
    # 108 images in batches of 20 are 5 steps, so λ is 5 / √(3·3·8²) / (6/2), or twice that.
    assert "0.0694" in done.stdout
    assert "0.139" in done.stdout
    assert mdl(*TINY, "--shrinkage", "5").returncode == 2
    wrong = mdl(*asked, "--shrinkage", "1,2,3")
    assert wrong.returncode == 2
    assert "takes one number such as 10, or two such as 10,2.5" in wrong.stderr
