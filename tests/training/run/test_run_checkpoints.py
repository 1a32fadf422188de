"""Saving beside the training: continues bit for bit, tells what is wrong, and is not silent."""

import errno
import itertools
import re
import shutil
import tempfile
import threading
from functools import partial
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.training.run.test_loop import Watch, make_config, make_dataset, run, without_times
from training.checkpoint import writer as checkpoint_writer
from training.checkpoint.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from training.checkpoint.writer import CheckpointWriter
from training.distributed.run_options import RunOptions
from training.errors import TrainingError
from training.run import run_checkpoints
from training.run.loop import run_training
from training.run.run_checkpoints import MAX_SHARE, SaveSchedule
from training.run.run_folder import RunFolder
from training.spec.config import SaveInterval
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
    run_training(
        config=make_config(**settings),
        dataset=make_dataset(),
        folder=RunFolder(folder),
        progress=watch,
        stop=watch,
        options=RunOptions(save_every=interval),
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
    monkeypatch.setattr(run_checkpoints, "MAX_SHARE", 1e9)
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
    with pytest.raises(
        TrainingError,
        match=r"checkpoint.pt: No space left on device; the state is lost.*resume_from",
    ):
        train_and_watch(tmp_path / "run", Watch(), SaveInterval(count=1, unit="steps"))
    kept = load_checkpoint(tmp_path / "run").training
    assert kept is not None
    assert kept["step"] == 0
    assert not list((tmp_path / "run").glob(".*"))


@pytest.mark.parametrize("kind", ["checkpoint", "metrics", "gone"])
def test_a_state_that_its_folder_does_not_take_is_saved_elsewhere(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And goes on from there to the weights of a run that nothing has cut."""
    whole = run(make_config(), tmp_path / "whole").checkpoint.state
    folder, other = tmp_path / "run", tmp_path / "other"
    other.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(other))
    replace, appended = Path.replace, RunFolder.append_metrics

    def full(self: Path, target: Path) -> Path:
        if target.is_relative_to(folder) and target.exists():
            raise OSError(errno.ENOSPC, "No space left on device")
        return replace(self, target)

    def removed(self: RunFolder, values: dict[str, object]) -> None:
        if kind == "gone":
            shutil.rmtree(folder)
        elif kind == "metrics" and values["epoch"] == 2:
            raise OSError(errno.EROFS, "Read-only file system", str(self.metrics))
        appended(self, values)

    if kind != "gone":
        monkeypatch.setattr(Path, "replace", full)
    monkeypatch.setattr(RunFolder, "append_metrics", removed)
    with pytest.raises(TrainingError) as caught:
        train_and_watch(folder, Watch(), SaveInterval(count=9 if kind == "metrics" else 1))
    (saved,) = other.iterdir()
    files = {"checkpoint": "checkpoint.pt", "metrics": "metrics.jsonl", "gone": "metrics.jsonl"}
    words = {"checkpoint": "No space left", "metrics": "Read-only", "gone": "No such file"}
    assert str(caught.value).startswith(f"{folder / files[kind]}: {words[kind]}")
    assert f"is saved in {saved}; put its files back" in str(caught.value)
    monkeypatch.undo()
    resumed = run(make_config(), saved, resume=True)
    assert all(torch.equal(whole[name], resumed.checkpoint.state[name]) for name in whole)
    epochs = [line["epoch"] for line in RunFolder(saved).read_metrics()]
    assert epochs == ([1, 2, 3] if kind != "gone" else [1, 2, 3][-len(epochs) :])


def test_a_state_that_its_folder_takes_after_all_stays_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: RunFolder, values: dict[str, object]) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(self.metrics))

    monkeypatch.setattr(RunFolder, "append_metrics", full)
    words = f"after step 4 is saved in {tmp_path}: resume_from it"
    with pytest.raises(TrainingError, match=re.escape(words)):
        run(make_config(), tmp_path)
    monkeypatch.undo()
    assert run(make_config(), tmp_path, resume=True).status == "finished"
    assert [line["epoch"] for line in RunFolder(tmp_path).read_metrics()] == [1, 2, 3]


def test_a_run_that_cannot_begin_has_lost_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(TrainingError, match=r"No space left on device; nothing is lost yet"):
        run(make_config(), tmp_path)
    assert not list(tmp_path.iterdir())


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
    schedule = partial(SaveSchedule, clock=lambda: next(seconds))
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
    monkeypatch.setattr(run_checkpoints, "MAX_SHARE", 1e9)
    train_and_watch(tmp_path / "run", Reach(), SaveInterval(count=2, unit="steps"))
    assert steps[:2] == [0, 2]
    assert not {4, 6, 8} & set(steps)
    assert steps[-1] is None


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(
    ("text", "count", "unit", "words"),
    [
        ("1", 1, "epochs", "every epoch"),
        ("25", 25, "epochs", "every 25 epochs"),
        ("500steps", 500, "steps", "every 500 steps"),
        ("1steps", 1, "steps", "every step"),
        ("90s", 90, "seconds", "every 90 seconds"),
        (" 10m", 600, "seconds", "every 600 seconds"),
        ("2h", 7200, "seconds", "every 7200 seconds"),
    ],
)
def test_intervals_are_read(text: str, count: int, unit: str, words: str) -> None:
    interval = SaveInterval.parse(text)
    assert (interval.count, interval.unit, str(interval)) == (count, unit, words)


@pytest.mark.parametrize(
    "text", ["", "0", "0s", "-1", "1.5", "10 m", "10min", "m", "1e3", "9999999999"]
)
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"epochs such as 5, steps such as 500steps, or a time"):
        SaveInterval.parse(text)


def test_a_count_below_one_is_refused() -> None:
    with pytest.raises(ValueError, match="must be >= 1, not 0"):
        SaveInterval(count=0)


@pytest.mark.parametrize(
    ("text", "expected"), [("1", [4, 8, 12]), ("2", [8]), ("3steps", [3, 6, 9, 12])]
)
def test_epochs_and_steps_are_due_at_their_multiples(text: str, expected: list[int]) -> None:
    schedule = SaveSchedule(SaveInterval.parse(text), steps_per_epoch=4)
    assert [step for step in range(1, 13) if schedule.is_due(step)] == expected


def test_a_time_is_due_once_it_has_passed_since_the_last_save() -> None:
    clock = Clock()
    schedule = SaveSchedule(SaveInterval.parse("10s"), steps_per_epoch=4, clock=clock)
    saved = []
    for step in range(1, 11):
        clock.now += 3
        if schedule.is_due(step) and schedule.begin_save(0.0):
            saved.append(clock.now - 100)
    assert saved == [12, 24]


def run_saves(epoch: float, cost: float, num_epochs: int) -> list[float]:
    """Times at which saves begin, where each costs the same."""
    clock = Clock()
    schedule = SaveSchedule(SaveInterval(), steps_per_epoch=1, clock=clock)
    times: list[float] = []
    for step in range(1, num_epochs + 1):
        clock.now += epoch
        if schedule.is_due(step) and schedule.begin_save(cost * len(times)):
            times.append(clock.now - 100)
    return times


@given(epoch=st.floats(0.01, 1e4), share=st.floats(0, MAX_SHARE * 0.999))
def test_what_fits_is_saved_as_often_as_asked(epoch: float, share: float) -> None:
    assert len(run_saves(epoch, share * epoch, 30)) == 30


@given(epoch=st.floats(0.01, 100), cost=st.floats(1e-4, 100))
def test_saving_keeps_to_its_share_and_little_is_lost(epoch: float, cost: float) -> None:
    times = run_saves(epoch, cost, 60)
    assert times[0] == pytest.approx(epoch)
    for number, moment in enumerate(times[1:], start=2):
        assert number * cost <= MAX_SHARE * moment * (1 + 1e-9)
    for earlier, later in itertools.pairwise(times):
        assert later - earlier <= 2 * cost / MAX_SHARE + epoch + 1e-6
