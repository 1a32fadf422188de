"""Timing in interleaved rounds: every piece once a round, so that drift meets all of them alike."""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch


@dataclass(frozen=True, kw_only=True)
class Timing:
    """Seconds of one call, a value a round.

    >>> timing = Timing(seconds=(3.0, 1.0, 2.0))
    >>> timing.median, timing.fastest, timing.slowest
    (2.0, 1.0, 3.0)
    """

    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        """The middle one of all rounds."""
        return statistics.median(self.seconds)

    @property
    def fastest(self) -> float:
        """The least of all rounds."""
        return min(self.seconds)

    @property
    def slowest(self) -> float:
        """The most of all rounds."""
        return max(self.seconds)


@dataclass(frozen=True, kw_only=True)
class Piece:
    """What is timed.

    Attributes:
        run: The call.
        prepare: Called before every call, and not timed; None for nothing.
        is_naive: Whether it is a naive form, which may be slow and then runs in fewer rounds.
    """

    run: Callable[[], object]
    prepare: Callable[[], object] | None = None
    is_naive: bool = False


@dataclass(frozen=True, kw_only=True)
class Pace:
    """How often pieces are run.

    Attributes:
        device: Where they compute; CUDA is waited for before and after every timed stretch.
        rounds: Most rounds.
        naive_rounds: The first rounds, in which naive forms run too if they are not short.
        budget_s: Seconds after which no round begins once there are `MIN_ROUNDS` of them, and
            `PATIENCE` times as many after which none begins at all.
        num_warmups: Calls of each piece before the rounds.
        num_calls: Calls a timed stretch, of pieces with nothing to prepare.
    """

    device: torch.device
    rounds: int
    budget_s: float
    naive_rounds: int = 3
    num_warmups: int = 1
    num_calls: int = 1


MIN_ROUNDS = 3
"""Rounds that are run beyond the budget, unless fewer are asked for."""
PATIENCE = 4.0
"""Budgets after which the round that runs is the last, though there are fewer."""
SHORT_S, LONG_S = 0.1, 1.0
"""Seconds of a call below which a naive form is timed in every round, and above which once."""


def time_rounds(
    pieces: Mapping[str, Callable[[], object] | Piece], pace: Pace
) -> dict[str, Timing]:
    """Time pieces in turn, round by round.

    Args:
        pieces: Name to call.
        pace: How often.

    >>> pace = Pace(device=torch.device("cpu"), rounds=2, budget_s=1)
    >>> calls = []
    >>> pieces = {name: lambda name=name: calls.append(name) for name in "ab"}
    >>> timings = time_rounds(pieces, pace)
    >>> "".join(calls), len(timings["a"].seconds)
    ('ababab', 2)
    """
    chosen = {
        name: piece if isinstance(piece, Piece) else Piece(run=piece)
        for name, piece in pieces.items()
    }
    for _ in range(pace.num_warmups):
        for piece in chosen.values():
            if piece.prepare is not None:
                piece.prepare()
            piece.run()
    seconds: dict[str, list[float]] = {name: [] for name in chosen}
    begin = time.perf_counter()
    for done in range(pace.rounds):
        budget_s = pace.budget_s * (1 if done >= MIN_ROUNDS else PATIENCE)
        if done > 0 and time.perf_counter() - begin > budget_s:
            break
        for name, piece in chosen.items():
            if not (piece.is_naive and _is_enough(seconds[name], pace)):
                seconds[name].append(_time_once(piece, pace))
    return {name: Timing(seconds=tuple(values)) for name, values in seconds.items()}


def _is_enough(seconds: Sequence[float], pace: Pace) -> bool:
    """Whether a naive form has been timed often enough: once, a few times or every round."""
    if not seconds or seconds[-1] < SHORT_S:
        return False
    return seconds[-1] > LONG_S or len(seconds) >= pace.naive_rounds


def _time_once(piece: Piece, pace: Pace) -> float:
    num_calls = pace.num_calls
    if piece.prepare is not None:
        num_calls = 1
        piece.prepare()
    _wait(pace.device)
    start = time.perf_counter()
    for _ in range(num_calls):
        piece.run()
    _wait(pace.device)
    return (time.perf_counter() - start) / num_calls


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
