"""Progress of training on stderr: a bar on a terminal, one line an epoch elsewhere."""

from rich.progress import BarColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from mdl.terminal.progress_bar import ProgressBar
from training.run.progress import EpochMetrics


class TrainingProgress(ProgressBar):
    """Shows the steps and epochs of one run; a context manager."""

    def __init__(self, *, num_epochs: int) -> None:
        super().__init__(
            "training",
            BarColumn(),
            TextColumn("step {task.completed}/{task.total}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
        )
        self._num_epochs = num_epochs

    def on_step(self, step: int, num_steps: int) -> None:
        """Move the bar."""
        self.move(step, num_steps)

    def on_epoch(self, metrics: EpochMetrics) -> None:
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
            *_screened(metrics),
            f"{metrics.images_per_second:,.0f} img/s",
            f"{metrics.seconds:.0f} s",
        ]
        self.print("  ".join(parts))

    def on_note(self, line: str) -> None:
        """Print a line above the bar."""
        self.print(line)


def _screened(metrics: EpochMetrics) -> list[str]:
    """Screened rows by layer, and which layers are sparse; nothing where none may be."""
    shares = [
        f"{name} {share:.0%}{' (sparse)' if name in metrics.sparse_layers else ''}"
        for name, share in metrics.screened.items()
    ]
    return ["screened " + " ".join(shares)] if shares else []


def _short(counts: dict[str, int], limit: int = 4) -> dict[str, int]:
    """At most `limit` layers; deep networks show their first and last and the sum of the rest."""
    if len(counts) <= limit:
        return counts
    (first, *_, last) = counts
    rest = sum(counts.values()) - counts[first] - counts[last]
    return {first: counts[first], "between": rest, last: counts[last]}
