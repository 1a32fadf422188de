"""When to save a run: as often as asked, within a share of the time. No torch."""

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

MAX_SHARE = 0.02
"""Share of a run's time that saving may take."""

Unit = Literal["epochs", "steps", "seconds"]

_FORM = re.compile(r"(\d{1,9})(|steps|s|m|h)")
_SECONDS = {"s": 1, "m": 60, "h": 3600}


@dataclass(frozen=True, kw_only=True)
class SaveInterval:
    """How much training may lie between two checkpoints.

    Attributes:
        count: Number of units, >= 1.
        unit: What is counted; "seconds" are those of the clock, evaluation and all.

    Raises:
        ValueError: A count below 1.
    """

    count: int = 1
    unit: Unit = "epochs"

    def __post_init__(self) -> None:
        if self.count < 1:
            raise ValueError(f"the interval between checkpoints must be >= 1, not {self.count}")

    @classmethod
    def parse(cls, text: str) -> "SaveInterval":
        """Read "5" (epochs), "500steps", "90s", "10m" or "2h".

        Raises:
            ValueError: Any other text.

        >>> SaveInterval.parse("10m")
        SaveInterval(count=600, unit='seconds')
        """
        found = _FORM.fullmatch(text.strip())
        if found is None or int(found[1]) == 0:
            raise ValueError(
                f"the interval between checkpoints must be epochs such as 5, steps such as "
                f"500steps, or a time such as 90s, 10m or 2h, not {text!r}"
            )
        count, unit = int(found[1]), found[2]
        if unit in _SECONDS:
            return cls(count=count * _SECONDS[unit], unit="seconds")
        return cls(count=count, unit="steps" if unit else "epochs")

    def __str__(self) -> str:
        """In words.

        >>> print(SaveInterval(), "/", SaveInterval(count=90, unit="seconds"))
        every epoch / every 90 seconds
        """
        return f"every {self.unit[:-1]}" if self.count == 1 else f"every {self.count} {self.unit}"


class SaveSchedule:
    """Says when a checkpoint is due, and which of those that are have to be left out.

    A save costs the loop its own time and, at worst, the processor time of the thread that writes.
    One is left out if the cost of all, this one being as dear as the mean of the others, would
    come above `MAX_SHARE` of the time since the start. The first is never left out. So a run that
    is killed loses the work of one interval or of about 50 times the cost of a save.

    Args:
        interval: What was asked for.
        steps_per_epoch: Steps of one epoch.
        clock: Gives seconds that only grow.
    """

    def __init__(
        self,
        interval: SaveInterval,
        *,
        steps_per_epoch: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._interval, self._clock = interval, clock
        self._num_steps = interval.count * (steps_per_epoch if interval.unit == "epochs" else 1)
        self._start = self._last_save = clock()
        self._num_saves = 0

    def is_due(self, step: int) -> bool:
        """Whether a checkpoint was asked for after `step` steps, or at this time."""
        if self._interval.unit == "seconds":
            return self._clock() - self._last_save >= self._interval.count
        return step % self._num_steps == 0

    def begin_save(self, cost: float) -> bool:
        """Whether a save that is due may be made; if so, it is taken to begin.

        Args:
            cost: Seconds that all saves before it have cost.
        """
        now = self._clock()
        if self._num_saves > 0:
            expected = cost * (self._num_saves + 1) / self._num_saves
            if expected > MAX_SHARE * (now - self._start):
                return False
        self._num_saves += 1
        self._last_save = now
        return True
