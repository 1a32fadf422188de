"""Progress of a pass over a large file on stderr: a bar on a terminal, a line a tenth elsewhere."""

from types import TracebackType

from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from mdl.console import stderr

_LARGE_BYTES = 1 << 30


class ReadingProgress:
    """Shows the bytes of one pass; a context manager. Files of less than a GiB get no lines."""

    def __init__(self) -> None:
        self._console = stderr()
        self._bar = Progress(
            TextColumn("reading"),
            BarColumn(),
            DownloadColumn(binary_units=True),
            TransferSpeedColumn(),
            console=self._console,
            transient=True,
            disable=not self._console.is_terminal,
        )
        self._task = self._bar.add_task("reading", total=None)
        self._tenths = 0

    def __enter__(self) -> "ReadingProgress":
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._bar.stop()

    def on_bytes(self, num_done: int, num_bytes: int) -> None:
        """Move the bar, or print a line; called from any thread, one at a time."""
        self._bar.update(self._task, completed=num_done, total=num_bytes)
        tenths = 10 * num_done // num_bytes
        if self._console.is_terminal or num_bytes < _LARGE_BYTES or tenths == self._tenths:
            return
        self._tenths = tenths
        done, total = num_done / 2**30, num_bytes / 2**30
        self._console.print(f"read {done:.1f} of {total:.1f} GiB", markup=False)
