"""Progress on stderr: a bar on a terminal, and elsewhere nothing or a line now and then."""

from typing import TYPE_CHECKING, Self

from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    ProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from mdl.terminal.console import stderr, width, wrap
from training.system.text import printable

if TYPE_CHECKING:
    from training.run.progress import EpochMetrics

_LARGE_BYTES = 1 << 30
_BY_NEED = ("train", "test", "validation", "nonzeros", "seconds", "loss", "screened", "rate")
"""Parts of an epoch's line: where it is narrow, the last ones are left out."""
_GROWTH = 8  # characters that a line may grow by while the epochs pass


class ProgressBar:
    """Shows how far one piece of work is; a context manager. The bar goes when the work is done.

    Args:
        label: What runs, before the bar.
        columns: The bar and what stands behind it.
    """

    def __init__(self, label: str, *columns: ProgressColumn) -> None:
        self.console = stderr()
        self._bar = Progress(
            TextColumn("{task.description}", markup=False),
            *columns,
            console=self.console,
            transient=True,
            disable=not self.console.is_terminal,
        )
        self._task = self._bar.add_task(printable(label), total=None)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._bar.stop()

    def move(self, done: int, total: int) -> None:
        """Show that so much of it is done."""
        self._bar.update(self._task, completed=done, total=total)

    def name(self, label: str) -> None:
        """Change what stands before the bar."""
        self._bar.update(self._task, description=printable(label))

    def print(self, line: str) -> None:
        """Print a line, above the bar where there is one."""
        self.console.print(line, markup=False)


class CountProgress(ProgressBar):
    """Shows on how many images errors are counted; a context manager."""

    def __init__(self) -> None:
        super().__init__(
            "counting errors",
            BarColumn(),
            TextColumn("{task.completed:,.0f}/{task.total:,.0f} images"),
            TimeRemainingColumn(),
        )
        self.move(0, 0)  # the column of images needs a total


class ReadingProgress(ProgressBar):
    """Shows the bytes of one pass over a file; a context manager.

    Elsewhere than on a terminal a line a tenth, and none of files of less than a GiB.
    """

    def __init__(self) -> None:
        super().__init__(
            "reading", BarColumn(), DownloadColumn(binary_units=True), TransferSpeedColumn()
        )
        self._tenths = 0

    def on_bytes(self, num_done: int, num_bytes: int) -> None:
        """Move the bar, or print a line; called from any thread, one at a time."""
        self.move(num_done, num_bytes)
        tenths = 10 * num_done // num_bytes
        if self.console.is_terminal or num_bytes < _LARGE_BYTES or tenths == self._tenths:
            return
        self._tenths = tenths
        self.print(f"read {num_done / 2**30:.1f} of {num_bytes / 2**30:.1f} GiB")


class TrainingProgress(ProgressBar):
    """Shows the steps of one run, and one line an epoch everywhere; a context manager."""

    def __init__(self, *, num_epochs: int) -> None:
        super().__init__(
            "training",
            BarColumn(),
            TextColumn("step {task.completed}/{task.total}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
        )
        self._num_epochs = num_epochs
        self._is_first = True
        self._left_out: set[str] = set()

    def on_step(self, step: int, num_steps: int) -> None:
        """Move the bar."""
        self.move(step, num_steps)

    def on_epoch(self, metrics: "EpochMetrics") -> None:
        """Print the line of one epoch; before the first one, what its numbers mean."""
        is_first, self._is_first = self._is_first, False
        if is_first:
            for line in _legend(metrics):
                self.print(line)
        parts = {
            "epoch": f"epoch {metrics.epoch}/{self._num_epochs}",
            "loss": f"loss {metrics.train_loss:.4f}",
            "train": f"train {metrics.train_accuracy:.2%}",
            "validation": _percent("validation", metrics.validation_accuracy),
            "test": _percent("test", metrics.test_accuracy),
            "nonzeros": f"nonzeros {sum(metrics.num_nonzeros.values()):,}",
            "screened": _screened(metrics),
            "rate": f"{metrics.images_per_second:,.0f} img/s",
            "seconds": f"{metrics.seconds:.0f} s",
        }
        room = width() - len(parts["epoch"]) - (_GROWTH if is_first else 0)
        for name in _BY_NEED:
            fits = len(parts[name]) + 2 <= room
            if is_first and not fits:
                self._left_out.add(name)
            if not fits or name in self._left_out:
                parts[name] = ""
            room -= len(parts[name]) + 2 if parts[name] else 0
        self.print("  ".join(filter(None, parts.values())))

    def on_note(self, line: str) -> None:
        """Print a line above the bar."""
        self.print(line)


def _percent(name: str, share: float | None) -> str:
    return "" if share is None else f"{name} {share:.2%}"


def _legend(metrics: "EpochMetrics") -> list[str]:
    """What stands in the lines to come."""
    parts = ["loss and accuracy on the training images while the network learns"]
    if metrics.validation_accuracy is not None:
        parts.append("accuracy on held-out images")
    if metrics.test_accuracy is not None:
        parts.append("accuracy on test images")
    parts.append("weights that are not zero")
    if metrics.screened:
        parts.append("screened: share of a layer's rows in which no zero weight can come back")
    line = f"Each line: {'; '.join(parts)}; images per second; time so far. What does not fit a"
    return wrap(f"{line} line, and numbers by layer, are in metrics.jsonl.")


def _screened(metrics: "EpochMetrics") -> str:
    """Screened rows by layer, and which layers are sparse; "" where none may be."""
    shares = [
        f"{name} {share:.0%}{' (sparse)' if name in metrics.sparse_layers else ''}"
        for name, share in metrics.screened.items()
    ]
    return " ".join(["screened", *shares]) if shares else ""
