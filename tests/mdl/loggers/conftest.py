"""A run of three epochs as logs see it, and real runs that are stopped."""

import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from mdl.loggers.logger import LoggedRun
from tests.mdl.calls import HANGS_S, start_process
from training.run.progress import EpochMetrics

FIRST = EpochMetrics(
    epoch=1,
    step=10,
    lr=0.1,
    train_loss=2.5,
    train_accuracy=0.25,
    validation_accuracy=None,
    test_accuracy=0.5,
    seconds=30.0,
    images_per_second=1000.0,
    num_nonzeros={"conv1": 50, "fc1": 5},
    screened={"conv1": 0.75},
)
EPOCHS = tuple(
    replace(FIRST, epoch=epoch, step=10 * epoch, train_loss=2.5 / epoch, seconds=30.0 * epoch)
    for epoch in (1, 2, 3)
)


@pytest.fixture
def epochs() -> tuple[EpochMetrics, ...]:
    return EPOCHS


@pytest.fixture
def make_run(tmp_path: Path) -> Callable[..., LoggedRun]:
    """The run, after as many epochs as asked for."""
    folder = tmp_path / "0001-s-fc"
    folder.mkdir()

    def make(num_done: int = 0) -> LoggedRun:
        return LoggedRun(
            folder=folder,
            config={"network": "s-fc", "epochs": 3, "data": {"source": "glyphs"}},
            num_weights={"conv1": 100, "fc1": 5},
            history=EPOCHS[:num_done],
        )

    return make


@pytest.fixture
def start_training(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts `mdl` into tmp_path/run, in a session of its own, and waits for so many epochs."""
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: str, num_epochs: int) -> subprocess.Popen[str]:
        process = start_process(*arguments, "--out", "run", folder=tmp_path, own_session=True)
        started.append(process)
        metrics = tmp_path / "run" / "metrics.jsonl"
        deadline = time.monotonic() + HANGS_S
        while not metrics.exists() or metrics.read_bytes().count(b"\n") < num_epochs:
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.005)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()
