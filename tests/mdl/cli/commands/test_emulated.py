"""Arithmetic that the processor only emulates is said once, on stderr, by whatever trains."""

import signal
from pathlib import Path

import pytest

from mdl.experiments.reproduce.reproduction import Reproduction
from tests.mdl.calls import Command

pytestmark = pytest.mark.usefixtures("trials_here")

LINE = (
    "bf16 is emulated on this processor (no AVX512_BF16, AMX or Arm bf16 instructions): "
    "slower than --precision fp32"
)
GLYPHS = (
    "--image-size",
    "8",
    "--num-train",
    "60",
    "--num-test",
    "20",
    "--base-channels",
    "1",
    "--batch-size",
    "20",
    "--epochs",
    "1",
    "--device",
    "cpu",
)
SWEEP = ("sweep", "s-fc", "--grid", "small", "--method", "sgd", "--threads", "1", *GLYPHS)


def count_lines(mdl: Command, *arguments: object, code: int = 0) -> int:
    done = mdl(*arguments)
    assert done.returncode == code, done.stderr
    assert "is emulated" not in done.stdout
    return " ".join(done.stderr.split()).count(LINE)


@pytest.fixture
def emulating(monkeypatch: pytest.MonkeyPatch) -> None:
    """No instructions for bfloat16."""
    monkeypatch.setattr("training.run.precision.bf16_instructions", lambda: "")


@pytest.mark.usefixtures("emulating")
def test_training_says_it(mdl: Command, tmp_path: Path) -> None:
    train = ("train", "s-fc", *GLYPHS, "--out", tmp_path / "run")
    assert count_lines(mdl, *train, "--precision", "bf16") == 1


@pytest.mark.usefixtures("emulating")
def test_a_reproduction_says_it(
    mdl: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopped = Reproduction(failed={}, signal_number=signal.SIGINT)
    monkeypatch.setattr("mdl.experiments.reproduce.reproduction.train_all", lambda *_: stopped)
    reproduce = ("reproduce", "table1", "--scale", "smoke", "--device", "cpu", "--store", tmp_path)
    assert count_lines(mdl, *reproduce, code=130) == 1
    assert count_lines(mdl, *reproduce, "--precision", "fp32", code=130) == 0


@pytest.mark.usefixtures("emulating")
def test_the_choice_that_training_makes_needs_no_word(mdl: Command, tmp_path: Path) -> None:
    assert count_lines(mdl, "train", "s-fc", *GLYPHS, "--out", tmp_path / "run") == 0


@pytest.mark.usefixtures("emulating")
def test_a_sweep_says_it_once_for_all_its_trials(mdl: Command, tmp_path: Path) -> None:
    assert count_lines(mdl, *SWEEP, "--store", tmp_path) == 1
    assert count_lines(mdl, *SWEEP, "--store", tmp_path, "--collect") == 0


def test_nothing_is_said_where_it_is_not_emulated(
    mdl: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.run.precision.bf16_instructions", lambda: "AVX512_BF16")
    train = ("train", "s-fc", *GLYPHS, "--precision", "bf16", "--out", tmp_path / "run")
    assert count_lines(mdl, *train) == 0
