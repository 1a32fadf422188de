"""Every command that takes a run takes one of every precision."""

import json
from pathlib import Path

import pytest
import torch

from tests.mdl.calls import Command
from training.checkpoint.checkpoint import load_checkpoint

TINY = ("--image-size", "8", "--num-train", "60", "--num-test", "20", "--base-channels", "1")
TRAINING = (*TINY, "--batch-size", "20", "--epochs", "1", "--device", "cpu")
QUICK = ("--epochs", "1", "--batch-size", "20", "--trials", "1", "--threads", "1")
CALLS: dict[str, tuple[str, ...]] = {
    "evaluate": ("evaluate", "RUN"),
    "fresh": ("evaluate", "RUN", "--fresh", "20"),
    "nonzeros": ("nonzeros", "RUN", "--full"),
    "bound": ("bound", "RUN", "--bits", "8", "--full"),
    "filters": ("filters", "RUN", "--out", "RUN/filters.png"),
    "embed": ("embed", "RUN", "--as", "s-fc", "--out", "RUN/twin.pt"),
    "embedded": ("evaluate", "RUN/twin.pt"),
    "encode": ("encode", "RUN", "-o", "RUN/net.mdl"),
    "decode": ("decode", "RUN/net.mdl", "-o", "RUN/net.pt"),
    "certify": ("certify", "RUN", "-o", "RUN/cert", "--bits", "8"),
    "verify": ("verify", "RUN/cert"),
    "compress": ("compress", "RUN", "-o", "RUN/short", *QUICK),
    "report": ("report", "RUN", "-o", "RUN/page.html", "--bits", "8"),
}


@pytest.mark.parametrize(
    "precision",
    ["fp64", *(pytest.param(each, marks=pytest.mark.slow) for each in ("fp32", "bf16"))],
)
def test_every_command_on_a_run(precision: str, mdl: Command, tmp_path: Path) -> None:
    run = tmp_path / "run"
    done = mdl("train", "s-conv", *TRAINING, "--precision", precision, "--out", run)
    assert done.returncode == 0, done.stderr
    wide = load_checkpoint(run).state["conv1.weight"].dtype
    assert wide == (torch.float64 if precision == "fp64" else torch.float32)
    for name, call in CALLS.items():
        done = mdl(*(word.replace("RUN", str(run)) for word in call))
        assert done.returncode == 0, (name, done.stderr)
    found = json.loads(mdl("evaluate", run, "--json").stdout)
    assert found["splits"]["test"]["num_errors"] == load_checkpoint(run).metrics["test_errors"]


@pytest.mark.parametrize("precision", ["fp64", pytest.param("bf16", marks=pytest.mark.slow)])
def test_a_sweep(precision: str, mdl: Command, trials_here: None, tmp_path: Path) -> None:
    grid = ("--grid", "small", "--method", "sgd", "--validation", "10", "--store", tmp_path)
    done = mdl("sweep", "s-conv", *grid, *TRAINING, "--precision", precision, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["num_finished"] == 4
