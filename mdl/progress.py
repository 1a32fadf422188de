"""Progress of training on stderr: a bar on a terminal, one line an epoch elsewhere."""

from types import TracebackType
from typing import TYPE_CHECKING

from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from mdl.console import stderr

if TYPE_CHECKING:
    from training.progress import EpochMetrics


class TrainingProgress:
    """Shows the steps and epochs of one run; a context manager."""

    def __init__(self, *, num_epochs: int) -> None:
        self._num_epochs = num_epochs
        self._console = stderr()
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("step {task.completed}/{task.total}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=self._console,
            transient=True,
            disable=not self._console.is_terminal,
        )
        self._task = self._bar.add_task("training", total=None)

    def __enter__(self) -> "TrainingProgress":
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._bar.stop()

    def on_step(self, step: int, num_steps: int) -> None:
        """Move the bar."""
        self._bar.update(self._task, completed=step, total=num_steps)

    def on_epoch(self, metrics: "EpochMetrics") -> None:
        """Print the line of one epoch."""
        parts = [
            f"epoch {metrics.epoch}/{self._num_epochs}",
            f"loss {metrics.train_loss:.4f}",
            f"train {metrics.train_accuracy:.2%}",
        ]
        if metrics.validation_accuracy is not None:
            parts.append(f"validation {metrics.validation_accuracy:.2%}")
        if metrics.test_accuracy is not None:
            parts.append(f"test {metrics.test_accuracy:.2%}")
        parts += [
            "nonzeros " + " ".join(f"{k} {v:,}" for k, v in _short(metrics.num_nonzeros).items()),
            *(f"sparse {k} ({v:.0%} certified)" for k, v in metrics.certified.items()),
            f"{metrics.images_per_second:,.0f} img/s",
            f"{metrics.seconds:.0f} s",
        ]
        self._console.print("  ".join(parts), markup=False)

    def on_note(self, line: str) -> None:
        """Print a line above the bar."""
        self._console.print(line, markup=False)


def _short(counts: dict[str, int], limit: int = 4) -> dict[str, int]:
    """At most `limit` layers; deep networks show their first and last and the sum of the rest."""
    if len(counts) <= limit:
        return counts
    (first, *_, last) = counts
    rest = sum(counts.values()) - counts[first] - counts[last]
    return {first: counts[first], "between": rest, last: counts[last]}
