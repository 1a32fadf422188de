"""`torchrun -m mdl train` with two processes on this machine."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from tests.mdl import calls
from tests.mdl.calls import HANGS_S, Command, environment
from training.checkpoint.checkpoint import load_checkpoint

SMALL = ("s-fc", *calls.SMALL, "--precision", "fp64", "--dropout", "0.1")
RUN = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")


def start(*arguments: str, folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*RUN, "-m", "mdl", "train", *arguments],
        cwd=folder,
        env=environment(),
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def finish(process: subprocess.Popen[str]) -> tuple[int, str, list[str]]:
    """Exit code, stdout, and those lines of stderr that are ours and not torchrun's."""
    out, err = process.communicate(timeout=HANGS_S)
    return process.returncode, out, [line for line in err.splitlines() if line.startswith("error:")]


def wait_for_epochs(count: int, run: Path, process: subprocess.Popen[str]) -> None:
    metrics = run / "metrics.jsonl"
    deadline = time.monotonic() + HANGS_S
    while not (metrics.exists() and len(metrics.read_text().splitlines()) >= count):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)


def find_rank(rank: int, launcher: subprocess.Popen[str]) -> int:
    """Process number of one of the ranks that a launcher started."""
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            parent = (entry / "stat").read_text().rpartition(")")[2].split()[1]
            variables = (entry / "environ").read_bytes().split(b"\0")
        except OSError:  # It has ended, or is another user's.
            continue
        if parent == str(launcher.pid) and f"RANK={rank}".encode() in variables:
            return int(entry.name)
    raise AssertionError(f"no rank {rank}")


@pytest.mark.slow
@pytest.mark.process
def test_two_ranks_give_what_one_gives(mdl: Command, tmp_path: Path) -> None:
    process = start(*SMALL, "--epochs", "2", "--out", "two", "--json", folder=tmp_path)
    code, out, errors = finish(process)
    assert (code, errors) == (0, [])
    found = json.loads(out)["metrics"]
    alone = mdl("train", *SMALL, "--epochs", "2", "--out", str(tmp_path / "one"), "--json")
    assert alone.returncode == 0, alone.stderr
    for key, expected in json.loads(alone.stdout)["metrics"].items():
        if key == "num_nonzeros":
            assert found[key] == expected
        elif key not in ("seconds", "images_per_second", "memory_bytes"):
            assert found[key] == pytest.approx(expected, abs=1e-9), key
    states = [load_checkpoint(tmp_path / name).state for name in ("two", "one")]
    for name, value in states[1].items():
        torch.testing.assert_close(states[0][name], value, rtol=0, atol=1e-9)
    assert sorted(entry.name for entry in (tmp_path / "two").iterdir()) == [
        "checkpoint.pt",
        "config.json",
        "metrics.jsonl",
    ]


@pytest.mark.slow
@pytest.mark.process
@pytest.mark.skipif(not Path("/proc").is_dir(), reason="finds processes in /proc")
@pytest.mark.parametrize("victim", [0, 1])
def test_a_killed_rank_ends_the_run_and_leaves_a_good_checkpoint(
    victim: int, mdl: Command, tmp_path: Path
) -> None:
    process = start(*SMALL, "--epochs", "100000", "--out", "run", folder=tmp_path)
    wait_for_epochs(3, tmp_path / "run", process)
    os.kill(find_rank(victim, process), signal.SIGKILL)
    code, out, errors = finish(process)
    assert code != 0
    assert out == ""
    assert errors == [
        f"error: rank {victim} of 2 is gone; run/checkpoint.pt holds the last good state; "
        "resume with torchrun ... -m mdl train --resume run"
    ]
    assert load_checkpoint(tmp_path / "run").training is not None


@pytest.mark.slow
@pytest.mark.process
def test_a_stop_is_followed_by_all_ranks_and_saved(tmp_path: Path) -> None:
    process = start(*SMALL, "--epochs", "100000", "--out", "run", folder=tmp_path)
    wait_for_epochs(2, tmp_path / "run", process)
    process.send_signal(signal.SIGTERM)
    _, out, errors = finish(process)
    assert (out, errors) == ("", [])
    saved = load_checkpoint(tmp_path / "run").training
    assert saved is not None
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    assert saved["step"] >= json.loads(lines[-1])["step"] >= 16


@pytest.mark.slow
@pytest.mark.process
def test_a_mistake_is_told_once(tmp_path: Path) -> None:
    arguments = (*SMALL, "--num-train", "1", "--out", "run")
    code, out, errors = finish(start(*arguments, folder=tmp_path))
    assert (code, out) == (1, "")
    assert errors == ["error: training needs at least 2 images, not 1"]


@pytest.mark.slow
@pytest.mark.process
def test_wrong_usage_is_told_once(tmp_path: Path) -> None:
    arguments = ("s-fc", "--batch-size", "1", "--device", "cpu", "--out", "run")
    code, out, errors = finish(start(*arguments, folder=tmp_path))
    assert (code, out) == (1, "")  # torchrun's own code
    assert errors == ["error: --batch-size must be >= 2, not 1"]


def test_shards_need_several_ranks(mdl: Command) -> None:
    done = mdl("train", "s-fc", "--shard", "always")
    assert done.returncode == 2
    assert done.stderr.splitlines()[0] == (
        "mdl train: --shard always needs several ranks; start them with torchrun"
    )
