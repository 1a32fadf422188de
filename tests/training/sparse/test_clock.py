"""A clock that waits for a device before it starts and before it stops."""

import itertools

import pytest
import torch

from training.sparse import clock
from training.sparse.clock import measure_seconds


def test_the_best_of_the_rounds_counts_and_the_first_call_does_not(monkeypatch):
    now = [0.0]
    lengths = iter([100.0, 4.0, 3.0, 5.0])  # of calls: the first one warms up

    def call():
        now[0] += next(lengths)

    monkeypatch.setattr(clock.time, "perf_counter", lambda: now[0])
    assert measure_seconds(call, torch.device("cpu")) == 3.0
    assert next(lengths, None) is None


def test_a_device_that_works_aside_is_waited_for_around_each_round(monkeypatch):
    events = []
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device: events.append(str(device)))
    monkeypatch.setattr(clock.time, "perf_counter", itertools.count().__next__)
    seconds = measure_seconds(lambda: events.append("call"), torch.device("cuda", 1))
    calls = ["call"] * clock._NUM_CALLS_ASIDE
    assert events == ["call"] + ["cuda:1", *calls, "cuda:1"] * clock._NUM_ROUNDS
    assert seconds == 1 / clock._NUM_CALLS_ASIDE


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
