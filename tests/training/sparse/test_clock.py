"""A clock that waits for a device before it starts and before it stops."""

import time

import pytest
import torch

from training.sparse import clock
from training.sparse.clock import measure_seconds


def test_a_call_takes_at_least_as_long_as_it_sleeps():
    assert 0.004 <= measure_seconds(lambda: time.sleep(0.004), torch.device("cpu")) < 1


def test_a_device_that_works_aside_is_waited_for_around_each_round(monkeypatch):
    events = []
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device: events.append(str(device)))
    seconds = measure_seconds(lambda: events.append("call"), torch.device("cuda", 1))
    calls = ["call"] * clock._NUM_CALLS_ASIDE
    assert events == ["call"] + ["cuda:1", *calls, "cuda:1"] * clock._NUM_ROUNDS
    assert 0 < seconds < 1


@pytest.mark.cuda
def test_the_time_of_a_product_on_cuda_is_that_of_its_events():
    device = torch.device("cuda", 0)
    numbers = torch.randn(4096, 4096, device=device)
    start, stop = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    measured = measure_seconds(lambda: numbers @ numbers, device)
    start.record()
    for _ in range(8):
        _ = numbers @ numbers
    stop.record()
    torch.cuda.synchronize(device)
    assert measured == pytest.approx(start.elapsed_time(stop) / 8000, rel=0.5)
