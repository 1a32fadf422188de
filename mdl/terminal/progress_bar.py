"""A bar on stderr where that is a terminal, and nothing elsewhere."""

from types import TracebackType
from typing import Self

from rich.progress import Progress, ProgressColumn, TextColumn

from mdl.terminal.console import stderr


class ProgressBar:
    """Shows how far one piece of work is; a context manager. The bar goes when the work is done.

    Args:
        label: What runs, before the bar.
        columns: The bar and what stands behind it.
    """

    def __init__(self, label: str, *columns: ProgressColumn) -> None:
        self.console = stderr()
        self._bar = Progress(
            TextColumn("{task.description}"),
            *columns,
            console=self.console,
            transient=True,
            disable=not self.console.is_terminal,
        )
        self._task = self._bar.add_task(label, total=None)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._bar.stop()

    def move(self, done: int, total: int) -> None:
        """Show that so much of it is done."""
        self._bar.update(self._task, completed=done, total=total)

    def name(self, label: str) -> None:
        """Change what stands before the bar."""
        self._bar.update(self._task, description=label)

    def print(self, line: str) -> None:
        """Print a line, above the bar where there is one."""
        self.console.print(line, markup=False)
