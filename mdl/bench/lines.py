"""One line of the bench: a piece, its time, its floor, and the plain forms beside it."""

from dataclasses import dataclass, field
from typing import Any

from mdl.timing.rounds import Timing

_UNSTEADY = 1.5


@dataclass(frozen=True, kw_only=True)
class Baseline:
    """A plain form of a piece.

    Attributes:
        name: What it does, in a few words.
        timing: Seconds of one call, in the rounds of its piece.
    """

    name: str
    timing: Timing


@dataclass(frozen=True, kw_only=True)
class Line:
    """A piece against its floor and its plain forms, all timed in the same rounds.

    Attributes:
        piece: What ran.
        amount: How much one call handles, > 0.
        unit: Of what: "weights", "nonzeros", "images", "bytes".
        timing: Seconds of one call.
        floor: What the floor is, in words.
        floor_s: The floor in seconds, > 0.
        baselines: Plain forms; the speed-up of the table is over the first.
        facts: More about the piece: plain values.
    """

    piece: str
    amount: float
    unit: str
    timing: Timing
    floor: str
    floor_s: float
    baselines: tuple[Baseline, ...] = ()
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def ratio(self) -> float:
        """Median over floor: 1 is as fast as it can be."""
        return self.timing.median / self.floor_s

    @property
    def is_steady(self) -> bool:
        """Whether no round took much longer than the middle one."""
        return self.timing.slowest <= _UNSTEADY * self.timing.median

    @property
    def rate(self) -> float:
        """Units a second at the median."""
        return self.amount / self.timing.median

    def speedup(self, baseline: Baseline) -> float:
        """How many times as long the plain form takes, by medians."""
        return baseline.timing.median / self.timing.median

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON; times are seconds.

        >>> line = Line(
        ...     piece="copy", amount=6.0, unit="bytes", timing=Timing(seconds=(2.0,)),
        ...     floor="one pass", floor_s=0.5,
        ... )
        >>> line.to_dict()["ratio_to_floor"], line.to_dict()["rate_per_second"]
        (4.0, 3.0)
        """
        return {
            "piece": self.piece,
            "amount": self.amount,
            "unit": self.unit,
            "rate_per_second": self.rate,
            **_timing_dict(self.timing),
            "floor": self.floor,
            "floor_seconds": self.floor_s,
            "ratio_to_floor": self.ratio,
            "is_steady": self.is_steady,
            "naive": [
                {
                    "name": baseline.name,
                    **_timing_dict(baseline.timing),
                    "speedup": self.speedup(baseline),
                }
                for baseline in self.baselines
            ],
            "facts": self.facts,
        }


def _timing_dict(timing: Timing) -> dict[str, Any]:
    return {
        "median_seconds": timing.median,
        "fastest_seconds": timing.fastest,
        "slowest_seconds": timing.slowest,
        "rounds": len(timing.seconds),
    }
