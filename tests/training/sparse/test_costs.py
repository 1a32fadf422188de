"""When a sparse step pays, by numbers worked out by hand; and that the measurement runs."""

import itertools
import math
from dataclasses import asdict

import pytest
import torch

from training.sparse import costs
from training.sparse.costs import LayerCosts, measure_costs, measure_seconds, typical_costs

COSTS = LayerCosts(dense=1.0, open_rows=0.4, fixed=0.1, entry=0.001)


def test_seconds_of_a_sparse_step() -> None:
    """0.1 + 0.001 · 200 + (1 - 0.75) · 0.4 = 0.4."""
    assert COSTS.sparse(200, 0.75) == pytest.approx(0.4)


def test_a_hand_over_must_pay_although_nothing_is_screened() -> None:
    """0.1 + 0.4 + 0.001 n < 0.95 up to n = 449."""
    assert COSTS.pays(449)
    assert not COSTS.pays(451)


def test_a_layer_goes_back_only_once_it_is_slower_than_dense() -> None:
    """0.1 + 0.2 + 0.001 n > 1.02 from n = 721 on, if half of the rows are screened."""
    assert not COSTS.loses(719, 0.5)
    assert COSTS.loses(721, 0.5)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("with_input_gradient", [True, False])
def test_every_part_is_measured(dtype: torch.dtype, with_input_gradient: bool) -> None:
    before = torch.get_rng_state()
    costs = measure_costs((40, 30), batch=16, dtype=dtype, with_input_gradient=with_input_gradient)
    assert all(math.isfinite(each) and each >= 0 for each in asdict(costs).values())
    assert costs.dense > 0
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("with_input_gradient", [True, False])
def test_typical_costs_are_those_of_a_step(with_input_gradient: bool) -> None:
    """By hand for (3, 2) and a batch of 5."""
    costs = typical_costs((3, 2), batch=5, with_input_gradient=with_input_gradient)
    products = 3 if with_input_gradient else 2
    assert costs.dense == pytest.approx(14e-12 * products * 6 * 5)
    assert costs.open_rows == pytest.approx(20e-12 * 6 * 5)
    assert costs.fixed == pytest.approx(1.5e-9 * 5 * 5)
    assert costs.entry == pytest.approx(25e-12 * products * 5)


def test_the_best_of_the_rounds_counts_and_the_first_call_does_not(monkeypatch):
    now = [0.0]
    lengths = iter([100.0, 4.0, 3.0, 5.0])  # of calls: the first one warms up

    def call():
        now[0] += next(lengths)

    monkeypatch.setattr(costs.time, "perf_counter", lambda: now[0])
    assert measure_seconds(call, torch.device("cpu")) == 3.0
    assert next(lengths, None) is None


def test_a_device_that_works_aside_is_waited_for_around_each_round(monkeypatch):
    events = []
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device: events.append(str(device)))
    monkeypatch.setattr(costs.time, "perf_counter", itertools.count().__next__)
    seconds = measure_seconds(lambda: events.append("call"), torch.device("cuda", 1))
    calls = ["call"] * costs._NUM_CALLS_ASIDE
    assert events == ["call"] + ["cuda:1", *calls, "cuda:1"] * costs._NUM_ROUNDS
    assert seconds == 1 / costs._NUM_CALLS_ASIDE


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
