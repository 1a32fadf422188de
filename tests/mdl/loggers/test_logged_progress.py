"""Logs are chosen by name, and no run is lost to one of them."""

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from mdl.loggers.logged_progress import LOGS, LoggedProgress, check_logs
from mdl.terminal.errors import OptionError

ROOT = Path(__file__).resolve().parents[3]


class Shown:
    """Keeps what it is told."""

    def __init__(self):
        self.steps, self.epochs, self.notes = [], [], []

    def on_step(self, step, num_steps):
        self.steps.append((step, num_steps))

    def on_epoch(self, metrics):
        self.epochs.append(metrics.epoch)

    def on_note(self, line):
        self.notes.append(line)


class Log:
    """A log in memory that fails in the epoch `fails_in`; 0 is the start, -1 the end."""

    def __init__(self, fails_in=None):
        self.fails_in, self.epochs, self.finished = fails_in, [], None

    def open(self, run, tell):
        self.fail(0)
        return self

    def on_epoch(self, metrics):
        self.fail(metrics.epoch)
        self.epochs.append(metrics.epoch)

    def close(self, *, finished):
        self.fail(-1)
        self.finished = finished

    def fail(self, where):
        if where == self.fails_in:
            raise ConnectionError("no answer\nfrom the service")


def run_epochs(make_run, epochs, *logs):
    shown = Shown()
    choice = {str(number): log.open for number, log in enumerate(logs)}
    with LoggedProgress(shown, list(choice), make_run(), logs=choice) as progress:
        for metrics in epochs:
            progress.on_step(metrics.step, 30)
            progress.on_epoch(metrics)
    return shown


def test_all_is_passed_on(make_run, epochs):
    log = Log()
    shown = run_epochs(make_run, epochs, log)
    assert shown.steps == [(10, 30), (20, 30), (30, 30)]
    assert shown.epochs == log.epochs == [1, 2, 3]
    assert log.finished is True
    assert shown.notes == []


def test_a_run_that_stops_early_is_not_finished(make_run, epochs):
    log = Log()
    run_epochs(make_run, epochs[:2], log)
    assert log.finished is False
    log = Log()
    with (
        pytest.raises(RuntimeError),
        LoggedProgress(Shown(), ["it"], make_run(), logs={"it": log.open}) as progress,
    ):
        progress.on_epoch(epochs[2])
        raise RuntimeError
    assert log.finished is False


@pytest.mark.parametrize("fails_in", [0, 1, 2, 3])
def test_a_log_that_fails_is_left_out_and_told_once(fails_in, make_run, epochs):
    failing, other = Log(fails_in), Log()
    shown = run_epochs(make_run, epochs, failing, other)
    assert shown.epochs == other.epochs == [1, 2, 3]
    assert failing.epochs == list(range(1, fails_in))
    assert failing.finished is None
    assert shown.notes == [
        "--log-to 0 failed (no answer from the service); training continues without this log."
    ]


def test_a_log_that_cannot_be_closed_is_told(make_run, epochs):
    shown = run_epochs(make_run, epochs, Log(-1))
    assert shown.notes == [
        "--log-to 0 failed (no answer from the service); its last epochs may be missing."
    ]


def test_a_log_named_twice_is_one(make_run, epochs):
    log = Log()
    with LoggedProgress(Shown(), ["it", "it"], make_run(), logs={"it": log.open}) as progress:
        progress.on_epoch(epochs[0])
    assert log.epochs == [1]


@pytest.mark.parametrize("spec", [None, SimpleNamespace(origin=None)])
@pytest.mark.parametrize("name", list(LOGS))
def test_a_missing_package_is_told_with_its_extra(name, spec, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda asked: spec)
    with pytest.raises(OptionError) as caught:
        check_logs([name])
    assert str(caught.value).startswith(f"--log-to {name} needs the package {name}")
    assert str(caught.value).endswith(f"pip install {name}")


@pytest.mark.parametrize("name", list(LOGS))
def test_a_missing_package_ends_the_command_before_it_begins(name, mdl, tmp_path, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda asked, *rest: None if asked == name else find(asked, *rest),
    )
    out = tmp_path / "run"
    done = mdl("train", "s-fc", "--log-to", name, "--device", "cpu", "--out", out)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines()[0] == (
        f"mdl train: --log-to {name} needs the package {name}, which is not installed: "
        f"pip install {name}"
    )
    assert not out.exists()


@pytest.mark.slow
@pytest.mark.process
def test_without_the_flag_no_package_of_a_log_is_loaded(tmp_path):
    code = (
        "import sys\n"
        "from mdl.cli.app import build_app\n"
        "build_app()(['train', 's-fc', '--image-size', '8', '--num-train', '64', '--num-test',"
        " '16', '--base-channels', '1', '--batch-size', '32', '--epochs', '1', '--device', 'cpu',"
        f" '--out', {str(tmp_path / 'run')!r}], standalone_mode=False)\n"
        "print([name for name in sys.modules if name.split('.')[0] in ('tensorboard', 'wandb')"
        " or 'utils.tensorboard' in name])\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[]"
