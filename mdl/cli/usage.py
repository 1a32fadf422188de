"""How the command line speaks: help that flows to the terminal's width, a line on wrong usage."""

import re
import sys
import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from typing import Any, cast

import typer
from typer.core import TyperCommand, TyperGroup

from mdl.terminal.console import flow, width
from mdl.terminal.errors import OptionError, message_of
from training.errors import ConfigError
from training.system.text import printable

Row = tuple[str, str]
"""What is typed, and what it does."""

_WRONG_USAGE = 2
_UNREAD = re.compile(r": Input should be a valid (integer|number), unable to parse .*$")
_CHOICES = re.compile(r" must be one of (.+), not '([^']+)'$")
_UsageError = cast(
    "type[Exception]", typer.BadParameter.__mro__[1]
)  # unknown commands are one, too
_MAX_WIDTH = 120  # longer lines are hard to read
_COLUMN = 26  # where a table says what is done
_VALUES = {"int": "N", "float": "X", "str": "TEXT", "Path": "PATH", "path": "PATH"}


class Command(TyperCommand):
    """A command with such help."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write it: usage, what is done, a table for each panel, examples."""
        about = (self.help or "").split("\n\n")
        parts = [_usage(self, ctx), *map(_flow, about), *_option_tables(self, ctx)]
        formatter.write("\n\n".join((*parts, self.epilog or "")).strip() + "\n")


class Group(TyperGroup):
    """All commands, with such help; wrong usage of any of them is told in one line."""

    def make_context(self, *args: Any, **extra: Any) -> Any:
        """As Typer does."""
        with _told_in_a_line():
            return super().make_context(*args, **extra)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """As Typer does; who types nothing is given the help."""
        return super().parse_args(ctx, args or ["--help"])

    def invoke(self, ctx: Any) -> Any:
        """As Typer does."""
        with _told_in_a_line(ctx):
            return super().invoke(ctx)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write it: usage, a table of commands for each panel, the options."""
        panels: dict[str, list[Row]] = {}
        for name, command in self.commands.items():
            sentence = (command.help or "").partition("\n\n")[0]
            panels.setdefault(getattr(command, "rich_help_panel", ""), []).append((name, sentence))
        column = 4 + max(map(len, self.commands))
        tables = [_table(title, rows, column) for title, rows in panels.items()]
        usage = f"{_usage(self, ctx)} COMMAND ..."
        parts = [usage, _flow(self.help or ""), *tables, *_option_tables(self, ctx)]
        formatter.write("\n\n".join(parts) + "\n")


@contextmanager
def _told_in_a_line(ctx: Any = None) -> Iterator[None]:
    """Turn wrong usage into a line with the command and what is wrong, and one about the help."""
    try:
        yield
    except (_UsageError, OptionError, ConfigError) as error:
        found = getattr(error, "ctx", None)
        path = found.command_path if found else f"{ctx.command_path} {ctx.invoked_subcommand}"
        lines = f"{path}: {printable(_message(error))}", f"Try '{path} --help'."
        sys.stderr.write("".join(f"{flow(line)}\n" for line in lines))
        raise typer.Exit(_WRONG_USAGE) from error


def _message(error: Any) -> str:
    """What is wrong, without the words of the libraries that found it."""
    ours = isinstance(error, OptionError | ConfigError)
    told = message_of(error) if ours else error.format_message()
    text = re.sub(r"^Invalid value(?: for|:) ", "", " ".join(told.split()))
    text = re.sub(r"'(--?[a-z][\w-]*)'", r"\1", text.replace(": Value error, ", ": "))
    unread = _UNREAD.search(text)
    if unread:
        kind = {"integer": "an integer", "number": "a number"}[unread[1]]
        text = f"{text[: unread.start()]} must be {kind}{_given(error)}"
    return text + _nearest(text)


def _given(error: Any) -> str:
    """The value that could not be read, where the library that reads them tells."""
    found = error.__cause__ or error.__context__
    values = [each["input"] for each in found.errors()] if hasattr(found, "errors") else []
    return f", not {values[0]!r}" if values else ""


def _nearest(text: str) -> str:
    """A name that was probably meant, behind a sentence with the names that there are; else "".

    >>> _nearest("NAME must be one of table1, table2, not 'tabel2'")
    ". Did you mean 'table2'?"
    """
    found = _CHOICES.search(text)
    near = get_close_matches(found[2], found[1].split(", "), 1) if found else []
    return f". Did you mean {near[0]!r}?" if near else ""


def _usage(command: Any, ctx: Any) -> str:
    names = []
    for param in command.params:
        if param.param_type_name == "argument":
            name = _argument_name(param) + (" ..." if param.nargs != 1 else "")
            names.append(name if param.required else f"[{name}]")
    return _flow(" ".join(["Usage:", ctx.command_path, *names, "[OPTIONS]"]))


def _option_tables(command: Any, ctx: Any) -> list[str]:
    """A table for each panel, those without a name first."""
    panels: dict[str, list[Row]] = {"Arguments": [], "Options": []}
    for param in command.get_params(ctx):
        typed, does = param.get_help_record(ctx) or ("", "")
        if param.param_type_name == "argument":
            panels["Arguments"].append((_argument_name(param), _sentence(does)))
        elif typed:
            title = param.rich_help_panel or "Options"
            panels.setdefault(title, []).append((_option_name(typed), _sentence(does)))
    return [_table(title, rows) for title, rows in panels.items() if rows]


def _argument_name(param: Any) -> str:
    return str(param.metavar or param.name.upper())


def _option_name(typed: str) -> str:
    """An option and its value: a capital word, or its choices.

    >>> _option_name("--bits <int>"), _option_name("--only <list[step|bound]>")
    ('--bits N', '--only step|bound')
    """
    name, _, value = typed.partition(" <")
    kind = re.sub(r"^list\[|\]$| range$", "", value.removesuffix(">"))
    return f"{name} {_VALUES.get(kind, kind)}" if value and kind != "bool" else typed


def _sentence(does: str) -> str:
    """What an option does, with its default in one notation.

    >>> _sentence("Images per step.  [default: 64; x>=1]"), _sentence("The folder.  [required]")
    ('Images per step (default: 64).', 'The folder (required).')
    """
    text, _, extras = does.partition("  [")
    for extra in extras.removesuffix("]").split("; "):
        if extra == "required" or extra.startswith("default: "):
            text = f"{text.removesuffix('.')} ({extra.replace('(', '').replace(')', '')})."
    return text


def _table(title: str, rows: Sequence[Row], column: int = _COLUMN) -> str:
    """A title and its rows; what is too long for its column has a line for itself."""
    lines = [f"{title}:"]
    for typed, does in rows:
        first = f"  {typed}"
        if len(first) + 2 > column:
            parts = _flow(first.strip().replace("|", "| "), "  ", " " * 6)
            lines += parts.replace("| ", "|").splitlines() if len(first) > _width() else [first]
            first = ""
        indent = " " * column
        lines += _flow(does, first.ljust(column), indent).splitlines()
    return "\n".join(lines)


def _flow(text: str, first: str = "", indent: str = "") -> str:
    """A paragraph as lines of the terminal's width."""
    return textwrap.fill(
        " ".join(text.split()),
        _width(),
        initial_indent=first,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _width() -> int:
    return min(width(), _MAX_WIDTH)
