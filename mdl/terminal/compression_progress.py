"""Progress of a compression on stderr: a line now and then, with an estimate of what is left."""

import time

from analysis.bounds.bounds import percent_up
from analysis.compress.compress import CurvePoint, Progress
from analysis.compress.qat_training import QATEpoch
from mdl.terminal.console import duration, stderr

_SECONDS_BETWEEN = 10.0


class CompressionProgress(Progress):
    """Lines for epochs (at most one in ten seconds), measured networks and tried changes."""

    def __init__(self, num_samples: int) -> None:
        self._console = stderr()
        self._num_samples = num_samples
        self._last = 0.0

    def on_epoch(self, metrics: QATEpoch, num_epochs: int) -> None:
        """A line, and after the first epoch how long the training will take."""
        left = metrics.seconds / metrics.epoch * (num_epochs - metrics.epoch)
        if metrics.epoch == 1:
            self._print(f"about {duration(left)} of training left")
        elif not self._due():
            return
        self._print(
            f"epoch {metrics.epoch}/{num_epochs}  loss {metrics.loss:.4f}  errors "
            f"{metrics.error:.2%}  bits ~{metrics.bits:,.0f}  {duration(left)} left"
        )

    def on_point(self, point: CurvePoint) -> None:
        """A line."""
        self._print(
            f"{point.stage}, epoch {point.epoch}: B = {point.description_bits:,}, training errors "
            f"{point.num_errors:,} ({point.num_errors / self._num_samples:.2%}), "
            f"bound {percent_up(point.bound)}"
        )

    def on_trial(self, done: int, total: int) -> None:
        """A line now and then."""
        if self._due():
            self._print(f"single changes tried: {done:,}/{total:,}")

    def on_count(self, done: int, total: int) -> None:
        """A line now and then."""
        if self._due():
            self._print(f"counting errors exactly: {done:,}/{total:,} images")

    def _due(self) -> bool:
        return time.monotonic() - self._last >= _SECONDS_BETWEEN

    def _print(self, line: str) -> None:
        self._last = time.monotonic()
        self._console.print(line, markup=False)
