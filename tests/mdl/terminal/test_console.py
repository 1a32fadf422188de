"""No character of a text reaches the terminal that could move its cursor, by whatever way."""

import shlex
import subprocess

import pytest

from mdl.terminal import console
from mdl.terminal.progress import ProgressBar

NAME = "net\x1b[2J\x07\r\n\u202etxt\u200b\ud800"
SHOWN = r"net\x1b[2J\x07\r\n\u202etxt\u200b\ud800"


def test_answers_tables_and_notes_are_made_printable(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [(NAME, "1"), (f"{NAME}2", "2")]
    table = console.Rows(columns=(NAME, "n"), rows=rows, last=(NAME, "3"))
    console.print_answer(NAME, NAME, why=NAME, table=table, next_=[f"mdl bound {NAME}"])
    console.print_table(NAME, (NAME, "n"), rows)
    console.stdout().print(NAME, markup=False)
    console.stderr().print(NAME, markup=False)
    with ProgressBar(NAME) as bar:
        bar.name(NAME)
        bar.print(NAME)
    console.print_json({NAME: f"{NAME}\x7f"})
    out, err = capsys.readouterr()
    assert (out.count(SHOWN), err.count(SHOWN)) == (13, 2)
    assert all(each.isprintable() or each == "\n" for each in out + err)


def test_a_name_is_printed_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    name = "runs/[bold]:warning:[/bold]"
    console.print_answer(name, table=console.Rows(columns=("name", "n"), rows=[(name, "1")]))
    console.print_table(name, ("name", "n"), [(name, "1")])
    console.stdout().print(name, markup=False)
    assert capsys.readouterr().out.count(name) == 5


def test_a_suggested_command_names_the_very_file() -> None:
    name = "a\x1b[2J'\\b \u202eé"
    line = console.command("bound", name)
    assert line.isprintable()
    done = subprocess.run(
        ["bash", "-c", f"printf %s {line.removeprefix('mdl bound ')}"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == name
    assert console.command("bound", "a b") == f"mdl bound {shlex.quote('a b')}"
