"""Saving beside the training: continues bit for bit, tells what is wrong, and is not silent."""

import errno
import itertools
import threading
from functools import partial
from pathlib import Path

import pytest
import torch

from tests.training.run.test_loop import CPU, Watch, make_config, make_dataset, run, without_times
from training.checkpoint import writer as checkpoint_writer
from training.checkpoint.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from training.checkpoint.writer import CheckpointWriter
from training.errors import TrainingError
from training.run import run_checkpoints, save_schedule
from training.run.loop import train
from training.run.run_folder import RunFolder
from training.run.save_schedule import SaveInterval
from training.system import files

STEPS_PER_EPOCH = 4


class Crash(Watch):
    """Loses the run after a given number of steps, with no chance to save."""

    def __init__(self, after: int) -> None:
        super().__init__()
        self.after = after

    def on_step(self, step: int, num_steps: int) -> None:
        if step == self.after:
            raise InterruptedError("crash")


def train_and_watch(folder: Path, watch: Watch, interval: SaveInterval, **settings: object) -> None:
    folder.mkdir(exist_ok=True)
    train(
        config=make_config(**settings),
        dataset=make_dataset(),
        folder=RunFolder(folder),
        device=CPU,
        progress=watch,
        stop=watch,
        save_every=interval,
    )


@pytest.mark.sample(3)
@pytest.mark.parametrize("method", ["beta-lasso", "sgd"])
@pytest.mark.parametrize("saved", [1, 3, 4, 6, 11])
def test_a_crashed_run_goes_on_from_what_was_written_beside_it(
    method: str, saved: int, tmp_path: Path
) -> None:
    settings: dict[str, object] = (
        {}
        if method == "beta-lasso"
        else {"l1_conv": 0.0, "l1_fc": 0.0, "momentum": 0.9, "weight_decay": 1e-3}
    )
    config = make_config(method=method, **settings)
    whole = run(config, tmp_path / "whole")
    with pytest.raises(InterruptedError):
        train_and_watch(
            tmp_path / "cut",
            Crash(saved + 1),
            SaveInterval(count=saved, unit="steps"),
            method=method,
            **settings,
        )
    checkpoint = load_checkpoint(tmp_path / "cut")
    assert checkpoint.training is not None
    assert checkpoint.training["step"] == saved
    assert checkpoint.metrics.get("epoch", 0) == saved // STEPS_PER_EPOCH
    resumed = run(config, tmp_path / "cut", resume=True)
    for name, value in whole.checkpoint.state.items():
        assert torch.equal(value, resumed.checkpoint.state[name]), name
    first, second = (RunFolder(tmp_path / name).read_metrics() for name in ("whole", "cut"))
    assert without_times(first) == without_times(second)


def test_saving_often_does_not_change_the_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(save_schedule, "MAX_SHARE", 1e9)
    whole = run(make_config(), tmp_path / "whole").checkpoint.state
    train_and_watch(tmp_path / "saved", Watch(), SaveInterval(count=1, unit="steps"))
    saved = load_checkpoint(tmp_path / "saved").state
    assert all(torch.equal(whole[name], saved[name]) for name in whole)


def test_a_full_disk_ends_the_run_with_the_last_good_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sync, calls = files.os.fsync, itertools.count(1)

    def full_from_the_second_file_on(descriptor: int) -> None:
        if next(calls) > 2:  # a file and its folder
            raise OSError(errno.ENOSPC, "No space left on device")
        sync(descriptor)

    monkeypatch.setattr(files.os, "fsync", full_from_the_second_file_on)
    with pytest.raises(TrainingError, match=r"No space left on device.*--resume"):
        train_and_watch(tmp_path / "run", Watch(), SaveInterval(count=1, unit="steps"))
    kept = load_checkpoint(tmp_path / "run").training
    assert kept is not None
    assert kept["step"] == 0
    assert not list((tmp_path / "run").glob(".*"))


def test_what_a_killed_process_left_is_removed_and_nothing_else(tmp_path: Path) -> None:
    for name in (".checkpoint.pt.0123456789ab.tmp", ".other.pt.0123456789ab.tmp", "notes.tmp"):
        (tmp_path / name).write_text("x")
    run(make_config(epochs=1), tmp_path)
    names = {entry.name for entry in tmp_path.iterdir()}
    assert names == {".other.pt.0123456789ab.tmp", "notes.tmp", "checkpoint.pt", "metrics.jsonl"}


def test_one_that_would_cost_too_much_is_left_out_and_told_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds = itertools.count()
    schedule = partial(save_schedule.SaveSchedule, clock=lambda: next(seconds))
    cost = property(lambda self: 0.1 * self._writer.num_written)  # of 0.02 a step that may be spent
    monkeypatch.setattr(run_checkpoints, "SaveSchedule", schedule)
    monkeypatch.setattr(run_checkpoints.RunCheckpoints, "_cost", cost)
    monkeypatch.setattr(CheckpointWriter, "is_busy", CheckpointWriter.finish)  # no luck involved
    saved = []

    def save(checkpoint: Checkpoint, path: Path) -> None:
        saved.append(checkpoint.training)
        save_checkpoint(checkpoint, path)

    monkeypatch.setattr(checkpoint_writer, "save_checkpoint", save)
    watch = Watch()
    train_and_watch(tmp_path / "run", watch, SaveInterval(count=1, unit="steps"), epochs=10)
    # At the start, at step 1, then every 5 steps or so of the 36 before the last, and at the end.
    assert 6 <= len(saved) <= 2 + 1 + 36 / 5
    (note,) = watch.notes
    assert note.startswith("Checkpoints come less often than every step: one takes ")
    assert note.endswith("0.1 s from the training, and saving keeps to 2% of the time.")


def test_one_that_is_due_during_a_write_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So the loop never waits for the disk, and what is written next is newer."""
    step_reached, steps = threading.Event(), []

    def slow_save(checkpoint: Checkpoint, path: Path) -> None:
        if checkpoint.training is not None and checkpoint.training["step"] == 2:
            assert step_reached.wait(30)
        steps.append(None if checkpoint.training is None else checkpoint.training["step"])
        save_checkpoint(checkpoint, path)

    class Reach(Watch):
        def on_step(self, step: int, num_steps: int) -> None:
            if step == 9:
                step_reached.set()

    monkeypatch.setattr(checkpoint_writer, "save_checkpoint", slow_save)
    monkeypatch.setattr(save_schedule, "MAX_SHARE", 1e9)
    train_and_watch(tmp_path / "run", Reach(), SaveInterval(count=2, unit="steps"))
    assert steps[:2] == [0, 2]
    assert not {4, 6, 8} & set(steps)
    assert steps[-1] is None
