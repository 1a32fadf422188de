import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch

from mdl.experiments.engines.engine import Engine, Outcome
from mdl.experiments.engines.local_engine import LocalEngine
from mdl.experiments.engines.trial_progress import TrialProgress
from mdl.experiments.store.result_store import ResultStore
from mdl.experiments.store.run_result import run_key
from training.checkpoint.checkpoint import load_checkpoint
from training.spec.config import DataConfig, TrainConfig
from training.system.locks import lock_holder, run_lock

QUICK = TrainConfig(
    network="s-conv",
    base_channels=1,
    data=DataConfig(image_size=8, num_train=64, num_test=32),
    method="sgd",
    epochs=2,
    batch_size=32,
    precision="fp32",
)
LONG = replace(QUICK, epochs=300)
ENGINE = LocalEngine(workers=2, threads=1, device="cpu")
# A parent of its own, as the command line is one: it ends with 128 and the signal's number.
PARENT = """
import json, sys
from pathlib import Path
from mdl.experiments.engines.local_engine import LocalEngine
from mdl.experiments.store.result_store import ResultStore
from mdl.experiments.engines.trial_progress import TrialProgress
from training.spec.config import TrainConfig
from training.system.signals import StopRequest
configs = [TrainConfig.from_dict(each) for each in json.loads(sys.argv[2])]
engine = LocalEngine(workers=2, threads=1, device="cpu")
with StopRequest() as stop, TrialProgress() as progress:
    outcome = engine.run(configs, ResultStore(Path(sys.argv[1])), progress=progress, stop=stop)
print(len(outcome.finished), len(outcome.failed), outcome.stopped)
sys.exit(128 + stop.signal_number if outcome.stopped and stop.signal_number else 0)
"""


@dataclass
class StopWhen:
    """Asks to stop as soon as a condition holds."""

    condition: Callable[[], bool] = lambda: False

    @property
    def requested(self) -> bool:
        return self.condition()


def run(configs: list[TrainConfig], store: ResultStore, stop: StopWhen | None = None) -> Outcome:
    engine: Engine = ENGINE
    with TrialProgress() as progress:
        return engine.run(configs, store, progress=progress, stop=stop or StopWhen())


def start_parent(configs: list[TrainConfig], store: ResultStore) -> subprocess.Popen[str]:
    texts = json.dumps([config.to_dict() for config in configs])
    return subprocess.Popen(
        [sys.executable, "-c", PARENT, str(store.root), texts],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 600
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def has_begun(config: TrainConfig, store: ResultStore) -> bool:
    return len(store.run_folder(config).read_metrics()) >= 3


def holder(config: TrainConfig, store: ResultStore) -> int:
    """The process that trains a run."""
    return int(store.lock_path(run_key(config)).read_text().split()[0])


def check_trained_once(config: TrainConfig, store: ResultStore) -> None:
    """Every epoch is there once, and the log has no epoch twice, so none was trained twice."""
    epochs = [line["epoch"] for line in store.run_folder(config).read_metrics()]
    assert epochs == list(range(1, config.epochs + 1))
    log = (store.run_folder(config).path / "trial.log").read_text()
    lines = [line.split()[1] for line in log.splitlines() if line.startswith("epoch ")]
    assert lines == [f"{epoch}/{config.epochs}" for epoch in epochs]


def weights(config: TrainConfig, store: ResultStore) -> torch.Tensor:
    return load_checkpoint(store.run_folder(config).checkpoint).state["conv1.weight"]


@pytest.mark.slow
@pytest.mark.process
def test_failures_do_not_end_the_others_and_are_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = ResultStore(tmp_path)
    bad = replace(QUICK, data=replace(QUICK.data, source="no/such/place"))
    other = replace(QUICK, seed=1)
    outcome = run([QUICK, bad, other, QUICK], store)
    assert [result.config for result in outcome.finished] == [QUICK, other]
    assert not outcome.stopped
    assert list(outcome.failed) == [run_key(bad)]
    assert outcome.failed[run_key(bad)].startswith("no data at 'no/such/place'")
    failure = json.loads(store.failure_path(run_key(bad)).read_text())
    assert failure["message"] == outcome.failed[run_key(bad)]
    assert failure["num_tries"] == 2  # one retry
    assert failure["config"] == bad.to_dict()
    err = capsys.readouterr().err
    assert "[3/3]" in err
    assert err.count("is tried again") == 1
    for config in (QUICK, other):
        check_trained_once(config, store)
        assert ResultStore(store.root).find(config) is not None

    logs = [store.run_folder(config).path / "trial.log" for config in (QUICK, other)]
    before = [log.read_bytes() for log in logs]
    assert run([QUICK, other], store).finished == outcome.finished
    assert [log.read_bytes() for log in logs] == before  # nothing was started


@pytest.mark.slow
@pytest.mark.process
def test_a_killed_trial_is_tried_again_and_goes_on(tmp_path: Path) -> None:
    store = ResultStore(tmp_path)
    killed: list[int] = []

    def kill_once() -> bool:
        if not killed and has_begun(LONG, store):
            killed.append(holder(LONG, store))
            os.kill(killed[0], signal.SIGKILL)
        return False

    outcome = run([LONG], store, StopWhen(kill_once))
    assert len(killed) == 1
    assert len(outcome.finished) == 1
    epochs = [line["epoch"] for line in store.run_folder(LONG).read_metrics()]
    assert epochs == list(range(1, LONG.epochs + 1))
    assert not store.failure_path(run_key(LONG)).exists()  # it was there until the retry


@pytest.mark.slow
@pytest.mark.process
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_batch_whose_parent_ends_goes_on_where_it_was(
    number: signal.Signals, tmp_path: Path
) -> None:
    store, whole = ResultStore(tmp_path / "cut"), ResultStore(tmp_path / "whole")
    configs = [LONG, replace(LONG, seed=1)]
    parent = start_parent(configs, store)
    wait_until(lambda: parent.poll() is not None or any(has_begun(c, store) for c in configs))
    parent.send_signal(number)
    out, err = parent.communicate()
    if number == signal.SIGTERM:
        assert parent.returncode == 128 + number, err
        assert out == "0 0 True\n"
        assert not any(lock_holder(store.lock_path(run_key(config))) for config in configs)
    assert store.all() == []
    # At once, while the trials of a parent that was killed may still be saving.
    outcome = run(configs, store)
    assert [result.config for result in outcome.finished] == configs
    assert outcome.failed == {}
    for config in configs:
        check_trained_once(config, store)
    expected = run(configs[:1], whole).finished[0]
    assert torch.equal(weights(LONG, store), weights(LONG, whole))
    assert outcome.finished[0].test == expected.test


@pytest.mark.slow
@pytest.mark.process
def test_two_engines_on_one_store_share_the_work(tmp_path: Path) -> None:
    store = ResultStore(tmp_path)
    configs = [replace(QUICK, seed=seed, epochs=200) for seed in range(2)]
    parents = [start_parent(configs, store) for _ in range(2)]
    for parent in parents:
        out, err = parent.communicate(timeout=600)
        assert parent.returncode == 0, err
        assert out == "2 0 False\n"
    for config in configs:
        check_trained_once(config, store)


def test_a_run_of_another_process_is_waited_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = ResultStore(tmp_path)
    looks = []

    def give_up() -> bool:
        looks.append(1)
        return len(looks) > 3

    with run_lock(store.lock_path(run_key(QUICK))):
        outcome = run([QUICK], store, StopWhen(give_up))
    assert outcome == Outcome(finished=(), failed={}, stopped=True)
    assert capsys.readouterr().err.count("another process works on it") == 1
    assert not list(store.run_folder(QUICK).path.iterdir())


@pytest.mark.parametrize(("name", "value"), [("workers", 0), ("threads", 0), ("retries", -1)])
def test_numbers_outside_their_range_are_named(name: str, value: int) -> None:
    with pytest.raises(ValueError, match=f"--{name} must be >="):
        LocalEngine(**{name: value})  # type: ignore[arg-type]
