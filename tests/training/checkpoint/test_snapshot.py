"""A snapshot: the same values, memory of its own, and the same memory the next time."""

from typing import Any

import pytest
import torch
from torch import Tensor

from training.checkpoint.checkpoint import Checkpoint
from training.checkpoint.snapshot import Snapshot
from training.networks.models import build_network
from training.spec.architectures import NetworkSpec

SPEC = NetworkSpec(name="s-fc", image_size=4, num_classes=2, in_channels=1, base_channels=1)


def make_checkpoint(device: str = "cpu", **training: Any) -> Checkpoint:
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
    checkpoint = make_checkpoint()
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
        snapshot.take(make_checkpoint())
        places.append([tensor.data_ptr() for tensor in all_tensors(snapshot.read())])
    assert places[0] == places[1] == places[2]


def test_what_is_new_or_has_another_shape_or_type_gets_memory_of_its_own() -> None:
    snapshot = Snapshot()
    for extra in (None, torch.ones(2), torch.ones(3), torch.ones(3, dtype=torch.float64), None):
        snapshot.take(make_checkpoint(extra=extra))
        found = snapshot.read().training
        assert found is not None
        if extra is None:
            assert found["extra"] is None
        else:
            assert torch.equal(found["extra"], extra)
            assert found["extra"].dtype == extra.dtype


def test_tensors_of_any_layout_come_out_row_by_row() -> None:
    snapshot = Snapshot()
    snapshot.take(make_checkpoint(turned=torch.arange(6).view(2, 3).t(), shared=torch.ones(9)[2:4]))
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
    checkpoint = make_checkpoint("cuda", big=weight)
    for step in range(1, 6):
        weight.fill_(step)
        snapshot.take(checkpoint)
        for _ in range(20):
            weight.add_(1)  # queued behind the copy, while it may still be on its way
        found = snapshot.read().training
        assert found is not None
        assert found["big"].device.type == "cpu"
        assert bool((found["big"] == step).all())
