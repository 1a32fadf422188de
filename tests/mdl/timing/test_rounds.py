"""Rounds: who is called when, what is timed, and when it ends."""

import itertools

import pytest
import torch

from mdl.timing import rounds
from mdl.timing.rounds import LONG_S, MIN_ROUNDS, PATIENCE, SHORT_S, Pace, Piece, time_rounds

CPU = torch.device("cpu")


def pace(**settings):
    return Pace(**({"device": CPU, "rounds": 4, "budget_s": 100.0} | settings))


def test_every_piece_once_a_round_behind_its_preparation():
    calls = []
    pieces = {
        "plain": lambda: calls.append("run"),
        "prepared": Piece(run=lambda: calls.append("go"), prepare=lambda: calls.append("prepare")),
    }
    time_rounds(pieces, pace(rounds=2, num_warmups=1, num_calls=3))
    warm = ["run", "prepare", "go"]
    assert calls == warm + 2 * ["run", "run", "run", "prepare", "go"]


def test_preparation_is_not_timed(monkeypatch):
    clock = {"now": 0.0}
    monkeypatch.setattr(rounds.time, "perf_counter", lambda: clock["now"])

    def spend(seconds):
        clock["now"] += seconds

    piece = Piece(run=lambda: spend(2.0), prepare=lambda: spend(50.0))
    timings = time_rounds({"a": piece, "b": lambda: spend(1.0)}, pace(num_calls=5))
    assert timings["a"].seconds == (2.0,) * len(timings["a"].seconds)
    assert timings["b"].median == pytest.approx(1.0)


def test_the_budget_ends_the_rounds_but_not_before_there_are_enough(monkeypatch):
    ticks = itertools.count()
    monkeypatch.setattr(rounds.time, "perf_counter", lambda: float(next(ticks)))

    def count_rounds(**settings):  # a round takes three ticks
        return len(time_rounds({"a": lambda: None}, pace(**settings))["a"].seconds)

    assert count_rounds(rounds=50, budget_s=3.0) == MIN_ROUNDS
    assert count_rounds(rounds=2, budget_s=3.0) == 2
    assert count_rounds(rounds=9, budget_s=1e9) == 9
    assert count_rounds(rounds=50, budget_s=3.0 / PATIENCE - 0.1) == 1


def test_naive_forms_run_once_some_times_or_always_by_what_a_call_takes(monkeypatch):
    clock = {"now": 0.0}
    monkeypatch.setattr(rounds.time, "perf_counter", lambda: clock["now"])

    def spend(seconds):
        clock["now"] += seconds

    pieces = {
        "ours": lambda: spend(0.1),
        "long": Piece(run=lambda: spend(2 * LONG_S), is_naive=True),
        "slow": Piece(run=lambda: spend(2 * SHORT_S), is_naive=True),
        "short": Piece(run=lambda: spend(SHORT_S / 2), is_naive=True),
    }
    timings = time_rounds(pieces, pace(rounds=5, naive_rounds=2))
    assert {name: len(timing.seconds) for name, timing in timings.items()} == {
        "ours": 5,
        "long": 1,
        "slow": 2,
        "short": 5,
    }
