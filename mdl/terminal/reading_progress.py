"""Progress of a pass over a large file on stderr: a bar on a terminal, a line a tenth elsewhere."""

from rich.progress import BarColumn, DownloadColumn, TransferSpeedColumn

from mdl.terminal.progress_bar import ProgressBar

_LARGE_BYTES = 1 << 30


class ReadingProgress(ProgressBar):
    """Shows the bytes of one pass; a context manager. Files of less than a GiB get no lines."""

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
