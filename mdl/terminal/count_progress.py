"""Progress of counting errors, a bar on a terminal and nothing elsewhere."""

from rich.progress import BarColumn, TextColumn, TimeRemainingColumn

from mdl.terminal.progress_bar import ProgressBar


class CountProgress(ProgressBar):
    """Shows how many images are done; a context manager."""

    def __init__(self) -> None:
        super().__init__(
            "counting errors",
            BarColumn(),
            TextColumn("{task.completed:,.0f}/{task.total:,.0f} images"),
            TimeRemainingColumn(),
        )
        self.move(0, 0)  # the column of images needs a total

    def update(self, done: int, total: int) -> None:
        """Move the bar."""
        self.move(done, total)
