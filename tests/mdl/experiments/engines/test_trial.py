import json
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from mdl.experiments.engines import trial
from mdl.experiments.engines.trial import EXIT_BUSY, run_trial
from mdl.experiments.store.result_store import ResultStore
from mdl.experiments.store.run_result import RunResult, run_key
from tests.mdl.calls import Done, run_here
from training.checkpoint.checkpoint import load_checkpoint
from training.data.loading import load_dataset
from training.errors import CheckpointError, DataError
from training.run.progress import EpochMetrics
from training.run.provenance import collect_versions
from training.sparse import costs, replicas
from training.sparse.costs import LayerCosts
from training.spec.config import DataConfig, TrainConfig
from training.system.locks import RunBusyError, run_lock

CPU = torch.device("cpu")
EAGER = LayerCosts(dense=1.0, fixed=0.0, open_rows=0.0, entry=0.0)
CONFIG = TrainConfig(
    network="s-fc",
    base_channels=1,
    data=DataConfig(image_size=8, num_train=96, num_test=32, validation=32),
    l1_conv=1e-3,
    epochs=3,
    batch_size=16,
    precision="fp32",
)


class Watch:
    """Counts epochs, and asks to stop after a number of steps."""

    def __init__(self, stop_after: int | None = None) -> None:
        self.epochs: list[int] = []
        self.steps: list[int] = []
        self._stop_after = stop_after

    @property
    def requested(self) -> bool:
        return self._stop_after is not None and len(self.steps) >= self._stop_after

    def on_step(self, step: int, num_steps: int) -> None:
        self.steps.append(step)

    def on_epoch(self, metrics: EpochMetrics) -> None:
        self.epochs.append(metrics.epoch)

    def on_note(self, line: str) -> None:
        pass


def run(config: TrainConfig, store: ResultStore, watch: Watch) -> RunResult | None:
    return run_trial(config, store, device=CPU, watch=nullcontext((watch, watch)))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[ResultStore, RunResult]:
    store = ResultStore(tmp_path_factory.mktemp("whole"))
    watch = Watch()
    result = run(CONFIG, store, watch)
    assert result is not None
    assert watch.epochs == [1, 2, 3]
    assert watch.steps == list(range(1, 13))
    return store, result


def test_a_trial_leaves_a_result_and_the_run(whole: tuple[ResultStore, RunResult]) -> None:
    store, result = whole
    assert store.find(CONFIG) == result
    assert (result.key, result.config, result.data_name) == (run_key(CONFIG), CONFIG, "glyphs")
    assert result.train.num_samples == 64
    assert result.validation is not None
    assert (result.validation.num_samples, result.test.num_samples) == (32, 32)
    assert [point.epoch for point in result.history] == [1, 2, 3]
    assert result.history[-1].test_accuracy == pytest.approx(result.test.accuracy)
    assert result.history[-1].num_nonzeros == result.num_nonzeros
    assert result.seconds == result.history[-1].seconds
    assert result.versions["torch"] == collect_versions()["torch"]
    assert result.versions["num_threads"] == torch.get_num_threads()
    checkpoint = load_checkpoint(store.run_folder(CONFIG).checkpoint)
    assert checkpoint.training is None
    assert checkpoint.num_nonzeros == result.num_nonzeros
    config = json.loads(store.run_folder(CONFIG).config.read_text())
    assert config["config"] == json.loads(json.dumps(CONFIG.to_dict()))
    assert not store.lock_path(run_key(CONFIG)).exists()


def test_what_is_there_is_not_trained_again(whole: tuple[ResultStore, RunResult]) -> None:
    store, result = whole
    watch = Watch()
    moved = replace(CONFIG, recipe="paper-400")  # the same run under another name
    assert run(moved, store, watch) == result
    assert watch.steps == []


@pytest.mark.sample(3)
@pytest.mark.parametrize("stop_after", [1, 4, 6, 12])
def test_a_stopped_trial_goes_on_to_the_same_result(
    stop_after: int, whole: tuple[ResultStore, RunResult], tmp_path: Path
) -> None:
    store = ResultStore(tmp_path)
    first, second = Watch(stop_after), Watch()
    assert run(CONFIG, store, first) is None
    assert store.find(CONFIG) is None
    result = run(CONFIG, store, second)
    assert first.steps + second.steps == list(range(1, 13))
    assert result is not None
    ours, theirs = (
        load_checkpoint(each.run_folder(CONFIG).checkpoint).state for each in (store, whole[0])
    )
    assert all(torch.equal(value, theirs[name]) for name, value in ours.items())
    expected = whole[1]
    for name in ("train", "validation", "test", "num_nonzeros", "description", "locality"):
        assert getattr(result, name) == getattr(expected, name)
    assert [point.num_nonzeros for point in result.history] == [
        point.num_nonzeros for point in expected.history
    ]


def test_a_finished_run_that_was_not_measured_is_measured(
    whole: tuple[ResultStore, RunResult], tmp_path: Path
) -> None:
    """As when the process is killed between the two."""
    store = ResultStore(tmp_path)
    assert run(CONFIG, store, Watch()) is not None
    store.path.unlink()
    store.record_failure(CONFIG, "killed")
    watch = Watch()
    result = run(CONFIG, store, watch)
    assert watch.steps == []
    assert result is not None
    assert result.description == whole[1].description
    assert not store.failure_path(run_key(CONFIG)).exists()


def test_a_folder_with_another_run_is_not_gone_on_with(
    whole: tuple[ResultStore, RunResult], tmp_path: Path
) -> None:
    store, other = ResultStore(tmp_path), replace(CONFIG, seed=1)
    folder = store.run_folder(other)
    folder.path.mkdir(parents=True)
    folder.checkpoint.write_bytes(whole[0].run_folder(CONFIG).checkpoint.read_bytes())
    with pytest.raises(CheckpointError, match="another configuration; delete the folder"):
        run(other, store, Watch())


def test_other_images_under_the_same_name_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = ResultStore(tmp_path)
    assert run(CONFIG, store, Watch(stop_after=2)) is None
    other = load_dataset(replace(CONFIG.data, seed=1))
    monkeypatch.setattr("mdl.experiments.engines.trial.load_dataset", lambda config: other)
    with pytest.raises(DataError, match="not the images"):
        run(CONFIG, store, Watch())


def test_two_processes_do_not_train_the_same_run(tmp_path: Path) -> None:
    store = ResultStore(tmp_path)
    with run_lock(store.lock_path(run_key(CONFIG))), pytest.raises(RunBusyError):
        run(CONFIG, store, Watch())
    assert not list(store.run_folder(CONFIG).path.iterdir())


def test_long_runs_are_not_evaluated_after_every_epoch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trial, "NUM_EVALUATIONS", 3)
    config = replace(CONFIG, epochs=7, data=replace(CONFIG.data, num_train=32, validation=0))
    result = run(config, ResultStore(tmp_path), Watch())
    assert result is not None
    measured = [point.epoch for point in result.history if point.test_accuracy is not None]
    assert measured == [2, 4, 6, 7]
    assert result.validation is None


def call(*arguments: object) -> Done:
    return run_here(trial.main, "trial", "--device", "cpu", *arguments)


def test_the_process_says_in_one_line_what_is_wrong(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    bad = replace(CONFIG, data=replace(CONFIG.data, source="no/such/place", num_train=None))
    path.write_text(json.dumps({"config": bad.to_dict()}))
    store = ("--store", tmp_path / "store", "--config", path)
    done = call(*store, "--key", "0" * 16)
    assert done.returncode == 2
    assert done.stderr == f"error: --key {'0' * 16}: {path} has key {run_key(bad)}\n"
    done = call(*store, "--key", run_key(bad))
    assert done.returncode == 1
    assert done.stderr.startswith("error: no data at 'no/such/place'")
    assert done.stderr.count("\n") == 1


def test_the_process_tells_that_a_run_is_busy(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"config": CONFIG.to_dict()}))
    store = ResultStore(tmp_path / "store")
    with run_lock(store.lock_path(run_key(CONFIG))):
        done = call("--store", store.root, "--config", path, "--key", run_key(CONFIG))
    assert done.returncode == EXIT_BUSY
    assert "works on it; wait for its end" in done.stderr


def test_no_clock_decides_what_becomes_sparse(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Layers that would be timed by `mdl train` are not: the same trial gives the same bits."""
    monkeypatch.setattr(costs, "SMALLEST_LAYER", 1)
    monkeypatch.setattr(replicas, "LARGEST_DENSITY", 1.0)
    monkeypatch.setattr(replicas, "measure_costs", None)
    asked = []
    monkeypatch.setattr(
        replicas, "typical_costs", lambda *args, **shape: asked.append(shape) or EAGER
    )
    results = [run(CONFIG, ResultStore(tmp_path / name), Watch()) for name in ("a", "b")]
    assert asked
    assert all(result is not None for result in results)
    first, second = (load_checkpoint(tmp_path / name / "runs" / run_key(CONFIG)) for name in "ab")
    for name, value in first.state.items():
        assert torch.equal(value, second.state[name])
