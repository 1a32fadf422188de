"""`mdl train --policy`: the table travels with the run, and mistakes get one line."""

import json
import signal
import time
from pathlib import Path

import pytest
import torch

from tests.mdl import calls
from tests.mdl.calls import HANGS_S, Command, start_process
from training.checkpoint.checkpoint import load_checkpoint

SMALL = ("train", "s-fc", *calls.SMALL)
TABLE = [[["Rotate", 0.9, 0.9], ["Invert", 0.5, 0.0]], [["Color", 1, 0.2], ["Cutout", 1, 1]]]


@pytest.mark.slow
@pytest.mark.process
def test_a_table_goes_on_with_the_run_after_its_file_is_gone(mdl: Command, tmp_path: Path) -> None:
    table = tmp_path / "table.json"
    table.write_text(json.dumps({"source": "test", "subpolicies": TABLE}))
    arguments = (*SMALL, "--policy", str(table), "--epochs", "30")
    done = mdl(*arguments, "--out", str(tmp_path / "whole"))
    assert done.returncode == 0, done.stderr
    text = " ".join(done.stderr.split())
    assert "Augmentation policy: table.json." in text
    assert "policy table that the paper used" not in text
    cut = tmp_path / "cut"
    process = start_process(*arguments, "--out", cut, folder=tmp_path)
    deadline = time.monotonic() + HANGS_S
    while not (cut / "checkpoint.pt").exists():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.005)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=HANGS_S)
    assert load_checkpoint(cut).training is not None
    table.unlink()
    done = mdl("train", "--resume", str(cut))
    assert done.returncode == 0, done.stderr
    assert "Augmentation policy: table.json." in " ".join(done.stderr.split())
    config = json.loads((cut / "config.json").read_text())["config"]["augmentation"]
    assert (config["policy"], config["policy_table"]) == ("table.json", TABLE)
    states = [load_checkpoint(tmp_path / name).state for name in ("whole", "cut")]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_the_paper_recipe_says_which_policy_runs(mdl: Command, tmp_path: Path) -> None:
    done = mdl(
        *SMALL,
        "--recipe",
        "paper-400",
        "--epochs",
        "1",
        "--policy",
        "autoaugment-cifar10",
        "--cutout",
        "2",
        "--out",
        str(tmp_path / "run"),
    )
    assert done.returncode == 0, done.stderr
    text = " ".join(done.stderr.split())
    assert "Augmentation policy: autoaugment-cifar10." in text
    assert "does not have the policy table that the paper used" in text
    assert "--policy FILE" in text


def test_policies_change_the_weights_and_none_does_not(mdl: Command, tmp_path: Path) -> None:
    states = []
    for number, policy in enumerate(((), ("--policy", "none"), ("--policy", "trivial"))):
        run = tmp_path / str(number)
        done = mdl(*SMALL, *policy, "--epochs", "1", "--out", str(run))
        assert done.returncode == 0, done.stderr
        states.append(load_checkpoint(run).state)
    plain, none, trivial = states
    assert all(torch.equal(plain[name], none[name]) for name in plain)
    assert not all(torch.equal(plain[name], trivial[name]) for name in plain)


@pytest.mark.parametrize(
    ("contents", "words"),
    [
        (None, "is not a file; give a JSON table, or one of none, trivial, rand"),
        ("[[[", "is not JSON"),
        (b"\xff\xfe", "is not JSON"),
        ("[]", "must be a list of sub-policies, each a list of [name, probability, level]"),
        ("7", "each a list of [name, probability, level], such as"),
        ('{"policies": []}', 'must have "subpolicies", a list of sub-policies'),
        ('[[["Rotate", 0.5, 2]]]', "sub-policy 1, operation 1: level must lie in [0, 1], not 2"),
    ],
)
def test_bad_tables_get_one_line(
    contents: str | bytes | None, words: str, mdl: Command, tmp_path: Path
) -> None:
    path = tmp_path / "table.json"
    if contents is not None:
        path.write_bytes(contents if isinstance(contents, bytes) else contents.encode())
    done = mdl(*SMALL, "--policy", str(path), "--out", str(tmp_path / "run"))
    assert done.returncode == 2
    line, _ = done.stderr.splitlines()
    assert line.startswith(f"mdl train: --policy {path}")
    assert words in line
    assert not (tmp_path / "run").exists()


def test_a_run_that_goes_on_keeps_its_policy(mdl: Command) -> None:
    done = mdl("train", "--resume", "nowhere", "--policy", "rand")
    assert done.returncode == 2
    assert "--policy cannot change a resumed run" in " ".join(done.stderr.split())
