"""Rounds: who is called when, what is timed, and when it ends."""

import itertools

import pytest
import torch

from mdl.bench import rounds
from mdl.bench.rounds import MIN_ROUNDS, Pace, Piece, time_rounds

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
    assert (
        len(time_rounds({"a": lambda: None}, pace(rounds=50, budget_s=0))["a"].seconds)
        == MIN_ROUNDS
    )
    assert len(time_rounds({"a": lambda: None}, pace(rounds=2, budget_s=0))["a"].seconds) == 2
    assert len(time_rounds({"a": lambda: None}, pace(rounds=9, budget_s=1e9))["a"].seconds) == 9


def test_naive_forms_run_in_the_first_rounds_only():
    pieces = {"ours": lambda: None, "naive": Piece(run=lambda: None, is_naive=True)}
    timings = time_rounds(pieces, pace(rounds=9, naive_rounds=2))
    assert {name: len(timing.seconds) for name, timing in timings.items()} == {
        "ours": 9,
        "naive": 2,
    }
