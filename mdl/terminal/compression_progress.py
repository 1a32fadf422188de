"""Progress of a compression on stderr: a line now and then, with an estimate of what is left."""

import time

from analysis.bounds.bounds import percent_up
from analysis.compress.compression import CurvePoint, Progress
from analysis.compress.qat_training import QATEpoch
from mdl.terminal.console import duration, stderr

_SECONDS_BETWEEN = 10.0


class CompressionProgress(Progress):
    """Lines for measured networks and tried changes.

    While the bound says no more than a guess does, which is said once, lines have errors and bits
    alone, and those of training come at most one in ten seconds.
    """

    def __init__(self, num_samples: int, num_classes: int) -> None:
        self._console = stderr()
        self._num_samples = num_samples
        self._chance = 1 - 1 / num_classes
        self._has_said = False
        self._last = 0.0
        self._has_trained = False
        self._first_trial: tuple[int, float] | None = None

    def on_note(self, line: str) -> None:
        """Something that the user should know."""
        self._print(line)

    def on_epoch(self, metrics: QATEpoch, num_epochs: int) -> None:
        """After the first epoch how long the training will take; of others a line now and then."""
        left = duration(metrics.seconds / metrics.epoch * (num_epochs - metrics.epoch))
        is_first, self._has_trained = not self._has_trained, True
        if metrics.epoch == num_epochs:
            return
        if is_first:
            after = f" after epoch {metrics.epoch}" if metrics.epoch > 1 else ""
            self._print(f"about {left} of training left{after}")
        elif self._due():
            self._print(
                f"epoch {metrics.epoch}/{num_epochs}: training errors {metrics.error:.2%}, by "
                f"estimate {metrics.bits:,.0f} bits, {left} left"
            )

    def on_point(self, point: CurvePoint) -> None:
        """A line; the bound stands in it once it is below chance."""
        is_telling = point.bound < self._chance
        if point.stage == "training" and not is_telling and not self._due():
            return
        bound = f", bound {percent_up(point.bound)}" if is_telling else ""
        error = f"{point.num_errors / self._num_samples:.2%}"
        if point.num_errors == self._num_samples:
            error += " (ties are errors)"
        bits = f"{point.description_bits:,} bits{bound}"
        self._print(f"{point.stage}, epoch {point.epoch}: training errors {error}, {bits}")
        if not is_telling and not self._has_said:
            self._has_said = True
            self._console.print(
                f"The bound is above guessing ({self._chance:.2%}); lines have it once lower.",
                markup=False,
            )

    def on_trial(self, done: int, total: int) -> None:
        """A line now and then, with how long the rest takes at most."""
        now = time.monotonic()
        if self._first_trial is None:
            self._first_trial = (done, now)
        elif self._due():
            before, start = self._first_trial
            left = duration((now - start) / (done - before) * (total - done))
            self._print(f"single changes tried: {done:,}/{total:,}, at most {left} left")

    def on_count(self, done: int, total: int) -> None:
        """A line now and then."""
        if self._due():
            self._print(f"counting errors exactly: {done:,}/{total:,} images")

    def _due(self) -> bool:
        return time.monotonic() - self._last >= _SECONDS_BETWEEN

    def _print(self, line: str) -> None:
        self._last = time.monotonic()
        self._console.print(line, markup=False)
