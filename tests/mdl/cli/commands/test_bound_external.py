"""`mdl bound` of other programs' files, as a process and in this one."""

import json
import re
from pathlib import Path

import pytest
import torch
import typer

from mdl.cli.commands.bound import bound
from mdl.terminal.progress import ReadingProgress
from tests.analysis.describe.test_external_network import make_network
from training.errors import CheckpointError

CORPUS = Path(__file__).resolve().parents[3] / "data" / "external"


def test_as_a_process(mdl, tmp_path: Path) -> None:
    path = tmp_path / "net.pt"
    torch.save({"epoch": 9, "state_dict": make_network().state_dict()}, path)
    done = mdl(
        "bound", str(path), "--samples", "60000", "--train-errors", "1200", "--bits", "8", "--full"
    )
    assert done.returncode == 0, done.stderr
    for words in (
        "under 'state_dict'",
        "2 BatchNorms found",
        "1.bn_scale",
        "training, given",
        "given, not measured",
        "mdl encode",
        "mdl decode net.mdl --state-dict",
        "Theorem 2, as printed",
        "True error <= ",
        "binomial tail",
    ):
        assert words in done.stdout, words
    assert done.stderr == ""

    missing = mdl("bound", str(path), "--samples", "60000")
    assert missing.returncode == 2
    assert missing.stdout == ""
    assert len(missing.stderr.splitlines()) == 1
    for words in ("error: ", "without the network's code", "--train-errors", "mdl decode"):
        assert words in missing.stderr


def test_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bound(CORPUS / "good.safetensors", json=True, samples=100, train_errors=3)
    values = json.loads(capsys.readouterr().out)
    assert values["errors"] == "given"
    assert values["num_weights"] == 42
    bound(CORPUS / "good.safetensors", json=True, lengths_only=True)
    assert json.loads(capsys.readouterr().out)["bound"] is None


def test_lengths_need_no_errors(capsys: pytest.CaptureFixture[str]) -> None:
    bound(CORPUS / "good_wrapped.pt", lengths_only=True, full=True)
    text = capsys.readouterr().out
    assert re.search(r"all tensors\W+42\W", text)
    assert "Bounds on the true error" not in text
    assert "True error" not in text


def test_a_batch_norm_without_statistics_gets_no_certificate(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = {"n.weight": torch.ones(2), "n.num_batches_tracked": torch.tensor(4)}
    torch.save(state, tmp_path / "a.pt")
    with pytest.raises(typer.Exit) as caught:
        bound(tmp_path / "a.pt", samples=100, train_errors=3)
    assert caught.value.exit_code == 1
    text = capsys.readouterr().out
    assert "a.pt: no certificate. No bound can be quoted" in " ".join(text.split())
    assert "rue error <=" not in text
    assert "no one function to bound" in " ".join(text.split())


def test_options_reach_the_reader(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    contents = {
        "teacher": {
            "w": torch.ones(3),
            "ids": torch.arange(2),
            "running_mean": torch.zeros(1),
            "running_var": torch.tensor([0.25 - 1e-3]),
        },
        "model": {"w": torch.ones(5)},
    }
    torch.save(contents, tmp_path / "a.pt")
    bound(
        tmp_path / "a.pt", json=True, lengths_only=True, key="teacher", fixed=["id*"], bn_eps=1e-3
    )
    values = json.loads(capsys.readouterr().out)
    assert values["num_weights"] == 5
    assert values["num_distinct"] == 3  # 1, the scale 2, and 0
    assert values["fixed"] == ["ids"]
    with pytest.raises(CheckpointError, match="has no key 'nothing'"):
        bound(tmp_path / "a.pt", lengths_only=True, key="nothing")


def test_impossible_errors_are_refused() -> None:
    for options in ({"train_errors": 11}, {"train_errors": 1, "test_errors": 3}):
        with pytest.raises(typer.BadParameter):
            bound(CORPUS / "good.pt", samples=10, **options)


def test_names_from_a_file_cannot_write_to_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save({"a\x1b[31mb": torch.ones(2), "[red]c": torch.ones(1)}, tmp_path / "a.pt")
    bound(tmp_path / "a.pt", samples=10, train_errors=1)
    text = capsys.readouterr().out
    assert "a\\x1b[31mb" in text
    assert "\x1b[31m" not in text
    assert "[red]c" in text


def test_progress_prints_a_line_a_tenth_of_large_files(capsys: pytest.CaptureFixture[str]) -> None:
    with ReadingProgress() as progress:
        for done in range(0, 101):
            progress.on_bytes(done << 25, 100 << 25)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 10
    assert lines[4] == "read 1.6 of 3.1 GiB"
    with ReadingProgress() as progress:
        progress.on_bytes(5, 10)
    assert capsys.readouterr().err == ""
