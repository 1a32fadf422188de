"""What commands print: tables and hints on stdout, logs on stderr, or one JSON object."""

import json
import os
import re
import shlex
import shutil
import sys
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, chain, count
from pathlib import Path
from typing import Any, TextIO

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from training.system.text import printable

MAX_LINES = 23
"""Of an answer: a screen of 24 lines, less the prompt."""
_WORD = re.compile(r"(?:[^\s']|'[^']*')+")  # of a command, with blanks where it is quoted
_MAX_CELL = 1000  # characters
_MAX_NAME = 32  # characters of the first cell of a row; a longer name loses its middle


@dataclass(frozen=True, kw_only=True)
class Rows:
    """A table without rules, a line a row, for `print_answer`.

    Attributes:
        columns: Heads; where the screen is narrow, the last columns go first.
        rows: Cells.
        sizes: Of each row, its weight: where the screen is short, the largest stay. Without them
            the first ones stay.
        last: A row of sums, which always stays.
        num_text_columns: Columns to the left; the others are numbers.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    sizes: Sequence[float] | None = None
    last: Sequence[str] | None = None
    num_text_columns: int = 1


class Printer(Console):
    """A console whose texts are one line each, hold nothing but what can be seen, and are plain."""

    def __init__(self, file: TextIO) -> None:
        super().__init__(file=file, highlight=False, emoji=False, soft_wrap=not file.isatty())

    def print(self, *objects: Any, **options: Any) -> None:
        """Print texts and tables; the cells of a table were made printable as it was made."""
        shown = (printable(each) if isinstance(each, str) else each for each in objects)
        super().print(*shown, **options)


def stdout() -> Printer:
    """Console for results. Colour only on a terminal and without NO_COLOR."""
    return Printer(sys.stdout)


def stderr() -> Printer:
    """Console for logs, progress and errors."""
    return Printer(sys.stderr)


def print_json(result: Any) -> None:
    """Print one JSON object, keys sorted, alone on stdout. Non-finite numbers are an error."""
    text = json.dumps(result, indent=2, sort_keys=True, allow_nan=False)
    sys.stdout.write(text.replace("\x7f", "\\u007f") + "\n")  # the one that JSON lets pass


def print_table(
    title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], *, num_text_columns: int = 1
) -> None:
    """Print a table: the first `num_text_columns` columns to the left, numbers to the right.

    A terminal too narrow for it gets it in blocks, each of which begins with the first column.
    """
    title, columns = printable(title), _printable_cells(columns)
    rows = [_printable_cells(row) for row in rows]
    console, on_terminal = stdout(), sys.stdout.isatty()
    console.width = width() if on_terminal else 1000
    words = [[cell.split() for cell in cells] for cells in zip(columns, *rows, strict=True)]
    longest = [max((len(word) for cell in cells for word in cell), default=1) for cells in words]
    for line in wrap(title):
        console.print(line, style="bold", markup=False, soft_wrap=True)
    first = min(longest[0], console.width // 2)
    ends = [first + 1, *accumulate((size + 1 for size in longest[1:]), initial=first + 1)][1:]
    num_fit = max(2, sum(end <= console.width for end in ends))
    if num_fit < len(columns):
        for part in (slice(1, num_fit), slice(num_fit, None)):
            num_text = len(range(*part.indices(num_text_columns)))
            print_table(
                "",
                [columns[0], *columns[part]],
                [[row[0], *row[part]] for row in rows],
                num_text_columns=min(num_text_columns, 1) + num_text,
            )
        return
    table = Table()
    has_rules = sum(longest) + 3 * len(longest) < console.width
    if not has_rules:
        table.box, table.padding, table.pad_edge = None, (0, 1, 0, 0), False
    room = console.width - (3 * len(longest) + 1 if has_rules else len(longest))
    sizes = _fold(_widths([columns, *rows]), longest, room)
    for index, column in enumerate(columns):
        table.add_column(
            escape(column),
            justify="left" if index < num_text_columns else "right",
            overflow="fold",  # a narrow terminal breaks a long cell, never cuts it
            width=sizes[index],
        )
    for row in rows:
        table.add_row(*map(escape, row))
    console.print(table)


def print_answer(
    answer: str | Sequence[str],
    *lines: str | Rows,
    why: str = "",
    table: Rows | None = None,
    next_: Sequence[str] = (),
) -> None:
    """Print the answer, a table, what else is to be said, and what to run next.

    Lines are wrapped to the width of the terminal, 80 columns where there is none. The table has
    as many rows as leave the whole at `MAX_LINES`, and at least three.

    Args:
        answer: The first sentence, or several lines of it.
        lines: Further sentences, below the table; a table there is short.
        why: A sentence above the table.
        table: Numbers behind it.
        next_: Commands for `print_next`.
    """
    console = stdout()
    above, below = wrap(why), [part for line in lines for part in _below(line)]
    answers = [answer] if isinstance(answer, str) else answer
    first = [part for line in answers for part in wrap(line)]
    for line in first:
        console.print(line, style="bold", markup=False, soft_wrap=True)
    if table is not None and table.rows:
        num_lines = len(first) + len(above) + len(below) + (1 + len(next_) if next_ else 0)
        above += _lines(table, MAX_LINES - num_lines)
    for line in (*above, *below):
        console.print(line, markup=False, soft_wrap=True)
    if next_:
        print_next(*next_)


def print_next(*commands: str) -> None:
    """Suggest what to run next, one command a line, whole for the clipboard."""
    console = stdout()
    console.print("Next:", style="bold")
    for command in commands:
        for line in _continued(command) if console.is_terminal else [f"  {command}"]:
            console.print(line, markup=False, soft_wrap=True)


def _continued(command: str) -> list[str]:
    """A command as lines that fit and end, but for the last, in a backslash."""
    lines = [" "]
    for word in _WORD.findall(command):
        if len(lines[-1]) + len(word) + 3 > width() and lines[-1].strip():
            lines[-1] += " \\"
            lines.append("     ")
        lines[-1] += f" {word}"
    return lines


def flow(line: str) -> str:
    """A line for stderr: on a terminal wrapped between words to its width, else as it is."""
    return "\n".join(wrap(line)) if sys.stderr.isatty() else line


def command(*words: object, **options: object) -> str:
    """A command as a shell takes it; options that are None or False are left out, lists repeated.

    >>> command("certify", "my run", out="cert", bits=None, count_validation=True)
    "mdl certify 'my run' --out cert --count-validation"
    """
    parts = ["mdl", *map(str, words)]
    for name, value in options.items():
        option = "--" + name.replace("_", "-")
        if value is True:
            parts.append(option)
        elif value is not None and value is not False:
            for each in value if isinstance(value, list) else [value]:
                parts += [option, str(each)]
    return " ".join(map(_quoted, parts))


def filters_command(path: object, num_nonzeros: Mapping[str, int]) -> list[str]:
    """`mdl filters PATH`, or nothing where the first layer has no weights left to draw.

    >>> filters_command("run", {"conv1": 0, "fc1": 3})
    []
    """
    return [command("filters", path)] if next(iter(num_nonzeros.values()), 0) else []


def new_name(name: str) -> str:
    """The name of a file or folder that is not there yet: `name`, or with a number behind it."""
    path = Path(name)
    others = (path.with_name(f"{path.stem}-{number}{path.suffix}") for number in count(2))
    return str(next(each for each in chain([path], others) if not each.exists()))


def width() -> int:
    """Columns of the terminal, or 80; COLUMNS overrules both."""
    return max(20, shutil.get_terminal_size((80, 24)).columns)


def wrap(line: str, *, indent: str = "") -> list[str]:
    """A line in pieces of the terminal's width; a label and a file's name stay together.

    Args:
        line: It.
        indent: Of all pieces but the first.
    """
    line = printable(line)
    if len(line.split()) == 2:
        return [line]
    wrapper = textwrap.TextWrapper(
        width(), subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )
    return wrapper.wrap(line)


def _quoted(word: str) -> str:
    r"""A word of a command as a shell takes it, and as a terminal can show it.

    >>> _quoted("a b"), _quoted("a\x1b")
    ("'a b'", "$'a\\x1b'")
    """
    if word == printable(word):
        return shlex.quote(word)
    seen = (
        f"\\x{byte:02x}" if byte < 32 or byte > 126 or byte in b"'\\" else chr(byte)
        for byte in os.fsencode(word)
    )
    return f"$'{''.join(seen)}'"


def _printable_cells(cells: Sequence[str]) -> list[str]:
    return [printable(cell, _MAX_CELL) for cell in cells]


def _below(line: str | Rows) -> list[str]:
    return _lines(line, MAX_LINES) if isinstance(line, Rows) else wrap(line)


def _lines(table: Rows, num_lines: int) -> list[str]:
    """The head and the rows that fit."""
    places = list(range(len(table.rows)))
    room = max(3, num_lines - 1 - (table.last is not None))
    if len(places) > room:
        sizes = table.sizes or [-place for place in places]
        largest = sorted(places, key=lambda place: -sizes[place])
        places = sorted(largest[: room - 1])
    cells = [_printable_cells(table.rows[place]) for place in places]
    if hidden := len(table.rows) - len(cells):
        cells.append([f"{hidden:,} more rows", *[""] * (len(table.columns) - 1)])
    if table.last is not None:
        cells.append(_printable_cells(table.last))
    cells = [_printable_cells(table.columns), *cells]
    if not _fits(_widths(cells)):
        cells = [[_shorten(row[0]), *row[1:]] for row in cells]
    widths = _widths(cells)
    while len(widths) > 2 and not _fits(widths):
        widths.pop()
    return [
        "  ".join(
            cell.ljust(size) if index < table.num_text_columns else cell.rjust(size)
            for index, (cell, size) in enumerate(zip(row, widths, strict=False))
        ).rstrip()
        for row in cells
    ]


def _fold(widths: list[int], longest: list[int], room: int) -> list[int]:
    """Narrower columns that fit, between words as far as possible.

    >>> _fold([10, 20, 8], longest=[4, 9, 8], room=30), _fold([6, 6], longest=[6, 6], room=10)
    ([10, 12, 8], [5, 5])
    """
    widths = list(widths)
    while sum(widths) > max(room, len(widths)):
        loose = [index for index, size in enumerate(widths) if size > longest[index]]
        widest = max(loose or range(len(widths)), key=lambda index: widths[index])
        widths[widest] -= 1
    return widths


def _widths(cells: Sequence[Sequence[str]]) -> list[int]:
    return [max(map(len, column)) for column in zip(*cells, strict=True)]


def _fits(widths: Sequence[int]) -> bool:
    return sum(widths) + 2 * (len(widths) - 1) <= width()


def _shorten(name: str) -> str:
    """A long name without its middle.

    >>> _shorten("model.layers.11.self_attention.query.weight")
    'model.layers.11…ion.query.weight'
    """
    half = _MAX_NAME // 2
    return name if len(name) <= _MAX_NAME else f"{name[: half - 1]}…{name[-half:]}"


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
