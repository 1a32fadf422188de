"""What commands print: tables and hints on stdout, logs on stderr, or one JSON object."""

import json
import sys
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table


def stdout() -> Console:
    """Console for results. Colour only on a terminal and without NO_COLOR."""
    return Console(file=sys.stdout, highlight=False, soft_wrap=not sys.stdout.isatty())


def stderr() -> Console:
    """Console for logs, progress and errors."""
    return Console(file=sys.stderr, highlight=False, soft_wrap=not sys.stderr.isatty())


def print_json(result: Any) -> None:
    """Print one JSON object, keys sorted, alone on stdout. Non-finite numbers are an error."""
    sys.stdout.write(json.dumps(result, indent=2, sort_keys=True, allow_nan=False) + "\n")


def print_table(
    title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], *, num_text_columns: int = 1
) -> None:
    """Print a table: the first `num_text_columns` columns to the left, numbers to the right."""
    table = Table(title=escape(title), title_justify="left", title_style="bold")
    for index, column in enumerate(columns):
        table.add_column(
            escape(column),
            justify="left" if index < num_text_columns else "right",
            no_wrap=not sys.stdout.isatty(),
            overflow="fold",  # a narrow terminal breaks a long cell, never cuts it
        )
    for row in rows:
        table.add_row(*map(escape, row))
    console = stdout()
    if not sys.stdout.isatty():
        console.width = 1000
    console.print(table)


def print_next(*commands: str) -> None:
    """Suggest what to run next, one command a line."""
    console = stdout()
    console.print("Next:", style="bold")
    for command in commands:
        console.print(f"  {command}", markup=False)


def epochs_text(number: int) -> str:
    """A number of epochs in words.

    >>> epochs_text(1), epochs_text(4000)
    ('1 epoch', '4,000 epochs')
    """
    return f"{number:,} epoch{'' if number == 1 else 's'}"


def duration(seconds: float) -> str:
    """A time to wait, rounded as one would say it.

    >>> duration(42), duration(145), duration(2400), duration(100_000)
    ('42 s', '145 s', '40 min', '27.8 h')
    """
    if seconds < 180:
        return f"{seconds:.0f} s"
    if seconds < 3 * 3600:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
