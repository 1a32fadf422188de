"""W&B offline, its files read back; without an answer of the service; and without a login."""

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from mdl.loggers.wandb import WandbLogger, check_login, memory_file
from tests.mdl import calls
from tests.mdl.calls import HANGS_S, call_process
from tests.mdl.loggers.wandb_files import configuration, history

wandb = pytest.importorskip("wandb", reason="wandb is not installed: pip install wandb")

SMALL = ("train", "s-fc", *calls.SMALL, "--log-to", "wandb")


@pytest.fixture(autouse=True)
def no_account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nothing of what this machine's user has set up for W&B, and a session for each test."""
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    for name in ("HOME", "WANDB_CONFIG_DIR", "WANDB_CACHE_DIR", "WANDB_DATA_DIR"):
        monkeypatch.setenv(name, str(tmp_path / "home"))
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    yield
    wandb.teardown()


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")


def files(run: Path) -> list[Path]:
    """The files of W&B by the time when they were begun."""
    return sorted(run.glob("wandb/*run-*/run-*.wandb"), key=lambda path: path.stat().st_mtime)


def epochs_of(run: Path) -> list[int]:
    return [line["_step"] for path in files(run) for line in history(path)]


def log_epochs(run, epochs, *, finished: bool) -> list[str]:
    notes: list[str] = []
    log = WandbLogger(run, notes.append)
    for metrics in epochs:
        log.on_epoch(metrics)
    log.close(finished=finished)
    wandb.teardown()  # W&B's own process writes the file, and is done only now
    return notes


@pytest.mark.usefixtures("offline")
def test_every_number_and_the_configuration_are_there(make_run, epochs) -> None:
    run = make_run()
    assert log_epochs(run, epochs, finished=True) == []
    (path,) = files(run.folder)
    assert path.parent.name.startswith("offline-run-")
    lines = history(path)
    assert [line["_step"] for line in lines] == [1, 2, 3]
    for line, metrics in zip(lines, epochs, strict=True):
        assert run.values(metrics).items() <= line.items()
    assert run.config.items() <= configuration(path).items()


@pytest.mark.usefixtures("offline")
@pytest.mark.parametrize(("num_logged", "num_done"), [(0, 2), (1, 2), (2, 2), (3, 1)])
def test_a_run_that_goes_on_gives_each_epoch_once(
    num_logged: int, num_done: int, make_run, epochs
) -> None:
    """The first piece logged more epochs than its checkpoint has, or fewer, or none."""
    if num_logged:
        log_epochs(make_run(), epochs[:num_logged], finished=False)
    run = make_run(num_done)
    log_epochs(run, epochs[num_done:], finished=True)
    assert epochs_of(run.folder) == [1, 2, 3]
    names = {path.stem for path in files(run.folder)}
    assert names == {f"run-{json.loads(memory_file(run.folder).read_text())['id']}"}


@pytest.mark.usefixtures("offline")
@pytest.mark.parametrize("damage", ["", "[]", '{"id": "x"}', '{"id": "x", "epoch": "many"}'])
def test_a_damaged_memory_begins_a_new_run(damage: str, make_run, epochs) -> None:
    run = make_run(1)
    memory_file(run.folder).parent.mkdir()
    memory_file(run.folder).write_text(damage)
    log_epochs(run, epochs[1:], finished=True)
    assert epochs_of(run.folder) == [1, 2, 3]


def test_a_service_without_answer_sends_the_log_offline(
    make_run, epochs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("WANDB_API_KEY", "a" * 40)
    monkeypatch.setenv("WANDB_INIT_TIMEOUT", "2")
    run = make_run()
    (note,) = log_epochs(run, epochs, finished=True)
    place = next(run.folder.glob("wandb/offline-run-*"))
    assert note.startswith("--log-to wandb: the service does not answer (")
    assert note.endswith(f"W&B is offline for this run; send it later with: wandb sync {place}")
    assert [line["_step"] for line in history(next(place.glob("*.wandb")))] == [1, 2, 3]


def test_disabled_keeps_nothing(make_run, epochs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "disabled")
    run = make_run()
    check_login()
    log_epochs(run, epochs, finished=True)
    assert list(run.folder.iterdir()) == []


@pytest.mark.process
def test_who_is_not_logged_in_is_told_before_anything_is_written(tmp_path: Path) -> None:
    done = call_process(*SMALL, "--epochs", "1", "--out", "run", folder=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines()[-1] == (
        "error: --log-to wandb: W&B does not know who you are: run wandb login once, or set "
        "WANDB_MODE=offline"
    )
    assert "Loading" not in done.stderr
    assert not (tmp_path / "run").exists()


@pytest.mark.process
@pytest.mark.usefixtures("offline")
def test_a_stopped_run_and_its_resumption_are_one_run_of_wandb(
    start_training, tmp_path: Path
) -> None:
    process = start_training(*SMALL, "--epochs", "30", num_epochs=1)
    run = tmp_path / "run"
    os.killpg(process.pid, signal.SIGINT)  # as Ctrl-C does: W&B's own processes get it too
    out, err = process.communicate(timeout=HANGS_S)
    assert (process.returncode, out) == (128 + signal.SIGINT, "")
    assert "Traceback" not in err
    assert "mdl train --resume run --log-to wandb" in " ".join(err.split())
    done = call_process("train", "--resume", "run", "--log-to", "wandb", "--json", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["status"] == "finished"
    assert epochs_of(run) == list(range(1, 31))
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    losses = [line["loss/train"] for path in files(run) for line in history(path)]
    assert losses == [line["train_loss"] for line in lines]
