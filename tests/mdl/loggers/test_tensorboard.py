"""Event files read back by TensorBoard's own reader."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mdl.loggers.tensorboard import TensorBoardLogger, log_folder
from tests.mdl import calls
from tests.mdl.calls import HANGS_S, environment

pytest.importorskip("tensorboard", reason="tensorboard is not installed: pip install tensorboard")

from tensorboard.backend.event_processing.event_accumulator import TENSORS, EventAccumulator

SMALL = ("train", "s-fc", *calls.SMALL, "--validation", "32", "--log-to", "tensorboard")


def read(run: Path) -> EventAccumulator:
    events = EventAccumulator(str(log_folder(run)), size_guidance={TENSORS: 0, "scalars": 0})
    return events.Reload()


def scalars(run: Path, name: str) -> dict[int, float]:
    points = read(run).Scalars(name)
    values = {point.step: point.value for point in points}
    assert len(values) == len(points), "an epoch shows twice"
    return values


def config_texts(run: Path) -> list[str]:
    tensors = read(run).Tensors("config/text_summary")
    return [tensor.tensor_proto.string_val[0].decode() for tensor in tensors]


def test_every_number_and_the_configuration_are_there(make_run, epochs) -> None:
    run = make_run()
    log = TensorBoardLogger(run)
    for metrics in epochs:
        log.on_epoch(metrics)
    log.close(finished=True)
    assert set(read(run.folder).Tags()["scalars"]) == set(run.values(epochs[0]))
    for name, value in run.values(epochs[2]).items():
        points = scalars(run.folder, name)
        assert list(points) == [1, 2, 3]
        assert points[3] == pytest.approx(value)
    (text,) = config_texts(run.folder)
    assert all(line.startswith("    ") for line in text.splitlines())
    assert json.loads(text) == run.config


def test_an_epoch_is_on_disk_before_the_next(make_run, epochs) -> None:
    run = make_run()
    log = TensorBoardLogger(run)
    log.on_epoch(epochs[0])
    assert list(scalars(run.folder, "lr")) == [1]
    log.close(finished=False)


@pytest.mark.parametrize("num_logged", [0, 1, 2, 3])
@pytest.mark.parametrize("num_done", [0, 1, 2])
def test_a_run_that_goes_on_shows_each_epoch_once(
    num_logged: int, num_done: int, make_run, epochs
) -> None:
    """The first piece logged more epochs than its checkpoint has, or fewer, or none."""
    run = make_run()
    if num_logged:
        log = TensorBoardLogger(run)
        for metrics in epochs[:num_logged]:
            log.on_epoch(metrics)
        log.close(finished=False)
    log = TensorBoardLogger(make_run(num_done))
    for metrics in epochs[num_done:]:
        log.on_epoch(metrics)
    log.close(finished=True)
    assert scalars(run.folder, "loss/train") == pytest.approx({1: 2.5, 2: 1.25, 3: 2.5 / 3})
    assert len(config_texts(run.folder)) == 1
    times = [point.wall_time for point in read(run.folder).Scalars("lr")]
    assert times == sorted(times)


def test_a_file_of_the_same_second_by_a_process_of_a_larger_number_is_read_first(
    make_run, epochs
) -> None:
    run = make_run()
    log = TensorBoardLogger(run)
    log.on_epoch(epochs[0])
    log.close(finished=False)
    (old,) = log_folder(run.folder).iterdir()
    second = int(time.time())
    old.rename(old.with_name(f"events.out.tfevents.{second:010d}.zzz.99999999.0"))
    log = TensorBoardLogger(make_run(1))
    log.close(finished=True)
    assert scalars(run.folder, "loss/train") == {1: 2.5}


@pytest.mark.slow
@pytest.mark.process
def test_a_killed_run_and_its_resumption_are_one_log(mdl, start_training, tmp_path: Path) -> None:
    process = start_training(*SMALL, "--epochs", "30", num_epochs=3)
    run = tmp_path / "run"
    process.send_signal(signal.SIGKILL)
    process.communicate()
    done = mdl("train", "--resume", str(run), "--log-to", "tensorboard")
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    for name, key in (("loss/train", "train_loss"), ("accuracy/validation", "validation_accuracy")):
        expected = {line["epoch"]: line[key] for line in lines}
        assert scalars(run, name) == pytest.approx(expected)
    nonzeros = scalars(run, "nonzeros/conv1")
    assert list(nonzeros) == list(range(1, 31))
    weights = 8 * 8 * 3 * 4 * 4  # of s-fc at α = 1 on 8x8 images
    assert scalars(run, "nonzero_share/conv1")[30] == pytest.approx(nonzeros[30] / weights)
    (text,) = config_texts(run)
    assert json.loads(text) == json.loads((run / "config.json").read_text())["config"]


@pytest.mark.slow
@pytest.mark.process
def test_a_stopped_run_says_how_to_go_on_with_its_log(start_training) -> None:
    process = start_training(*SMALL, "--epochs", "100000", num_epochs=1)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=HANGS_S)
    assert process.returncode == 128 + signal.SIGTERM
    assert "mdl train --resume run --log-to tensorboard" in " ".join(err.split())


@pytest.mark.slow
@pytest.mark.process
def test_of_two_ranks_one_logs(tmp_path: Path) -> None:
    """Also that torchrun passes the option on: it takes --log for one of its own."""
    launch = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
    done = subprocess.run(
        [sys.executable, *launch, "-m", "mdl", *SMALL, "--epochs", "2", "--out", "run"],
        cwd=tmp_path,
        text=True,
        capture_output=True,
        check=False,
        timeout=HANGS_S,
        env=environment(),
    )
    assert done.returncode == 0, done.stderr
    assert len(list(log_folder(tmp_path / "run").iterdir())) == 1
    assert list(scalars(tmp_path / "run", "loss/train")) == [1, 2]


def test_an_outage_does_not_end_the_run(
    mdl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from torch.utils import tensorboard

    def fail(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tensorboard.SummaryWriter, "add_scalar", fail)
    done = mdl(*SMALL, "--epochs", "2", "--out", tmp_path / "run", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["status"] == "finished"
    text = " ".join(done.stderr.split())
    assert text.count("--log-to tensorboard failed") == 1
    assert "No space left on device); training continues without this log." in text
