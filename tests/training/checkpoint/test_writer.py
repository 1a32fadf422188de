"""Writing beside the training: whole files, of one moment each, whatever happens in between."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from training.checkpoint import writer as checkpoint_writer
from training.checkpoint.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from training.checkpoint.writer import CheckpointWriter, Snapshot
from training.errors import TrainingError
from training.networks.models import build_network
from training.spec.architectures import NetworkSpec
from training.system import files

SPEC = NetworkSpec(name="s-fc", image_size=4, num_classes=2, in_channels=1, base_channels=1)


def make_checkpoint(step: int) -> Checkpoint:
    """One whose every number tells its step."""
    state = {name: value.detach() for name, value in build_network(SPEC).state_dict().items()}
    for value in state.values():
        value.fill_(step)
    return Checkpoint(
        network=SPEC, state=state, training={"step": step, "moment": torch.full((5,), step)}
    )


def step_of(path: Path) -> int:
    """The one step that every number of a file tells."""
    checkpoint = load_checkpoint(path)
    assert checkpoint.training is not None
    tensors = [*checkpoint.state.values(), checkpoint.training["moment"]]
    steps = {int(value) for tensor in tensors for value in tensor.flatten()}
    assert steps == {checkpoint.training["step"]}
    return steps.pop()


class Gate:
    """A `save_checkpoint` that waits to be let through before it looks at what it was given."""

    def __init__(self) -> None:
        self.begun, self.open = threading.Event(), threading.Event()

    def __call__(self, checkpoint: Checkpoint, path: Path) -> None:
        self.begun.set()
        assert self.open.wait(30)
        save_checkpoint(checkpoint, path)


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    made = Gate()
    monkeypatch.setattr(checkpoint_writer, "save_checkpoint", made)
    yield made
    made.open.set()


def ask_for_ever(writer: CheckpointWriter) -> None:
    while True:
        writer.is_busy()


def break_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full)


def test_it_writes_the_file_that_save_checkpoint_writes(tmp_path: Path) -> None:
    checkpoint = make_checkpoint(3)
    save_checkpoint(checkpoint, tmp_path / "a.pt")
    with CheckpointWriter(tmp_path / "b.pt") as writer:
        writer.submit(checkpoint)
    assert (tmp_path / "a.pt").read_bytes() == (tmp_path / "b.pt").read_bytes()
    assert writer.num_written == 1
    assert writer.processor_seconds > 0
    assert writer.elapsed_seconds > 0


def test_what_changes_during_the_write_is_not_in_it(tmp_path: Path, gate: Gate) -> None:
    path = tmp_path / "checkpoint.pt"
    checkpoint = make_checkpoint(1)
    with CheckpointWriter(path) as writer:
        writer.submit(checkpoint)
        assert gate.begun.wait(30)
        assert writer.is_busy()
        for value in checkpoint.state.values():
            value.fill_(2)
        gate.open.set()
    assert step_of(path) == 1


def test_a_second_one_waits_for_the_first_and_the_newest_stays(tmp_path: Path, gate: Gate) -> None:
    path = tmp_path / "checkpoint.pt"
    with CheckpointWriter(path) as writer:
        writer.submit(make_checkpoint(1))
        threading.Timer(0.05, gate.open.set).start()
        writer.submit(make_checkpoint(2))
        writer.submit(make_checkpoint(3))
    assert step_of(path) == 3
    assert writer.num_written == 3


def test_writing_now_comes_after_what_is_under_way(tmp_path: Path, gate: Gate) -> None:
    path = tmp_path / "checkpoint.pt"
    with CheckpointWriter(path) as writer:
        writer.submit(make_checkpoint(1))
        threading.Timer(0.05, gate.open.set).start()
        writer.write_now(make_checkpoint(2))
        assert step_of(path) == 2
        assert not writer.is_busy()
    assert step_of(path) == 2


def test_a_full_disk_is_told_at_the_next_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "checkpoint.pt"
    save_checkpoint(make_checkpoint(1), path)
    with CheckpointWriter(path) as writer:
        with monkeypatch.context() as broken:
            break_disk(broken)
            for call in (
                writer.finish,
                lambda: writer.submit(make_checkpoint(3)),
                lambda: ask_for_ever(writer),
            ):
                writer.submit(make_checkpoint(2))
                with pytest.raises(TrainingError) as caught:
                    call()
                message = str(caught.value)
                assert message.startswith(f"{path}: ")
                assert "No space left on device" in message
                assert f"resume_from {tmp_path}" in message
                assert "\n" not in message
        assert step_of(path) == 1
        writer.submit(make_checkpoint(4))  # told once, then it goes on
    assert step_of(path) == 4
    assert [entry.name for entry in tmp_path.iterdir()] == ["checkpoint.pt"]


def test_a_failure_is_told_at_the_end_at_the_latest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    break_disk(monkeypatch)
    with (
        pytest.raises(TrainingError, match="No space left"),
        CheckpointWriter(tmp_path / "checkpoint.pt") as writer,
    ):
        writer.submit(make_checkpoint(1))


def test_another_exception_is_the_one_that_is_seen_and_the_write_is_whole(
    tmp_path: Path, gate: Gate
) -> None:
    path = tmp_path / "checkpoint.pt"
    with pytest.raises(KeyError, match="mine"), CheckpointWriter(path) as writer:
        writer.submit(make_checkpoint(5))
        threading.Timer(0.05, gate.open.set).start()
        raise KeyError("mine")
    assert step_of(path) == 5


def test_writing_now_does_not_care_for_an_older_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "checkpoint.pt"
    with CheckpointWriter(path) as writer:
        with monkeypatch.context() as broken:
            break_disk(broken)
            writer.submit(make_checkpoint(1))
            with pytest.raises(OSError, match="No space left"):
                writer.write_now(make_checkpoint(2))
            writer.submit(make_checkpoint(3))
            while writer._writing is not None and not writer._writing.done():
                pass
        writer.write_now(make_checkpoint(4))
    assert step_of(path) == 4


def test_what_cannot_be_saved_is_named(tmp_path: Path) -> None:
    checkpoint = make_checkpoint(1)
    checkpoint.metrics["bad"] = object()
    with (
        pytest.raises(TrainingError, match=r"metrics\['bad'\] is a object"),
        CheckpointWriter(tmp_path / "checkpoint.pt") as writer,
    ):
        writer.submit(checkpoint)


KILLED = """
import os, random, signal, sys, time
from pathlib import Path
import torch
from tests.training.checkpoint.test_writer import make_checkpoint, step_of
from training.checkpoint.checkpoint import save_checkpoint
from training.checkpoint.writer import CheckpointWriter, Snapshot

torch.set_num_threads(1)
path = Path(sys.argv[1]) / "checkpoint.pt"
steps, draw = [], random.Random(1)
save_checkpoint(make_checkpoint(0), path)
# At least forty, and more until one was killed in the middle of a write.
while len(steps) < 40 or (len(steps) < 400 and not list(path.parent.glob(".*.tmp"))):
    begun, begins = os.pipe()
    child = os.fork()
    if child == 0:
        with CheckpointWriter(path) as writer:
            for step in range(1, 10**6):
                writer.submit(make_checkpoint(step))
                if step == 3:  # the first is there, however busy the machine is
                    os.write(begins, b"x")
    os.close(begins)
    assert os.read(begun, 1) == b"x"
    os.close(begun)
    time.sleep(draw.uniform(0, 0.02))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    steps.append(step_of(path))
print(*steps)
"""


@pytest.mark.slow
@pytest.mark.process
def test_killed_at_any_moment_it_leaves_a_whole_file(tmp_path: Path) -> None:
    """Processes that do nothing but write, each killed at a random moment."""
    root = Path(__file__).resolve().parents[3]
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path)],
        cwd=root,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        text=True,
        capture_output=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    steps = [int(step) for step in done.stdout.split()]
    assert len(steps) >= 40
    assert min(steps) >= 1
    assert max(steps) > 1
    leftovers = list(tmp_path.glob(".checkpoint.pt.*.tmp"))
    assert leftovers  # so some were killed in the middle of a write
    files.remove_leftovers(tmp_path / "checkpoint.pt")
    assert [entry.name for entry in tmp_path.iterdir()] == ["checkpoint.pt"]


def make_nested(device: str = "cpu", **training: Any) -> Checkpoint:
    network = build_network(SPEC).to(device)
    return Checkpoint(
        network=SPEC,
        state={name: value.detach() for name, value in network.state_dict().items()},
        metrics={"loss": 0.5, "counts": {"fc1": 3}},
        training={"step": 7, "order": [torch.arange(4, device=device), "x", (2, None)]} | training,
    )


def tensors_of(value: Any) -> list[Tensor]:
    if isinstance(value, dict):
        return [each for part in value.values() for each in tensors_of(part)]
    if isinstance(value, list | tuple):
        return [each for part in value for each in tensors_of(part)]
    return [value] if isinstance(value, Tensor) else []


def all_tensors(checkpoint: Checkpoint) -> list[Tensor]:
    return tensors_of([checkpoint.state, checkpoint.training])


def test_later_changes_do_not_reach_it() -> None:
    checkpoint = make_nested()
    before = [tensor.clone() for tensor in all_tensors(checkpoint)]
    snapshot = Snapshot()
    snapshot.take(checkpoint)
    for tensor in all_tensors(checkpoint):
        tensor.zero_()
    checkpoint.metrics["counts"]["fc1"] = 0
    taken = snapshot.read()
    assert all(
        torch.equal(left, right) for left, right in zip(all_tensors(taken), before, strict=True)
    )
    assert taken.metrics == {"loss": 0.5, "counts": {"fc1": 3}}
    assert taken.training is not None
    assert taken.training["order"][1:] == ["x", (2, None)]
    assert taken.state.keys() == checkpoint.state.keys()


def test_the_next_one_uses_the_same_memory() -> None:
    snapshot = Snapshot()
    places = []
    for _ in range(3):
        snapshot.take(make_nested())
        places.append([tensor.data_ptr() for tensor in all_tensors(snapshot.read())])
    assert places[0] == places[1] == places[2]


def test_what_is_new_or_has_another_shape_or_type_gets_memory_of_its_own() -> None:
    snapshot = Snapshot()
    for extra in (None, torch.ones(2), torch.ones(3), torch.ones(3, dtype=torch.float64), None):
        snapshot.take(make_nested(extra=extra))
        found = snapshot.read().training
        assert found is not None
        if extra is None:
            assert found["extra"] is None
        else:
            assert torch.equal(found["extra"], extra)
            assert found["extra"].dtype == extra.dtype


def test_tensors_of_any_layout_come_out_row_by_row() -> None:
    snapshot = Snapshot()
    snapshot.take(make_nested(turned=torch.arange(6).view(2, 3).t(), shared=torch.ones(9)[2:4]))
    found = snapshot.read().training
    assert found is not None
    assert found["turned"].tolist() == [[0, 3], [1, 4], [2, 5]]
    assert found["turned"].is_contiguous()
    assert found["shared"].untyped_storage().nbytes() == 8


def test_reading_before_taking_is_refused() -> None:
    with pytest.raises(ValueError, match="take"):
        Snapshot().read()


@pytest.mark.cuda
def test_on_cuda_the_next_steps_do_not_reach_it() -> None:
    snapshot = Snapshot()
    weight = torch.zeros(2**24, device="cuda")
    checkpoint = make_nested("cuda", big=weight)
    for step in range(1, 6):
        weight.fill_(step)
        snapshot.take(checkpoint)
        for _ in range(20):
            weight.add_(1)  # queued behind the copy, while it may still be on its way
        found = snapshot.read().training
        assert found is not None
        assert found["big"].device.type == "cpu"
        assert bool((found["big"] == step).all())
