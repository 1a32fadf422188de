"""The default output of every command: the answer first, within a screen of 24 lines of 80 columns.

Every command that it suggests is one that the parser takes.
"""

import re
import shlex
from pathlib import Path

import pytest
import torch
import typer
from typer.main import get_command

from mdl.cli.app import COMMANDS, GROUPS, build_app
from mdl.terminal.console import Rows, flow, print_answer, print_next, print_table
from tests.analysis.describe.test_external_network import make_network
from tests.mdl.calls import call_here
from tests.mdl.test_processes import QUICK, TINY

LINES, COLUMNS = 24, 80
FEW = ("--image-size", "8", "--num-train", "120", "--epochs", "1", "--precision", "fp32")
GIVEN = ("--samples", "60000", "--train-errors", "1200")
BOUND = r"s-fc on glyphs: (the bound is vacuous|true error <= [\d.]+%)"
CALLS = {
    "train": (("train", "s-conv", *TINY, "--out", "new"), r"s-conv: test accuracy [\d.]+%, [\d,]+"),
    "evaluate": (("evaluate", "run"), r"s-fc on glyphs: [\d.]+% errors on test images"),
    "nonzeros": (("nonzeros", "run"), r"s-fc: [\d,]+ of [\d,]+ weights are not zero"),
    "nonzeros-deep": (("nonzeros", "deep"), r"resnet18: [\d,]+ of [\d,]+ weights are not zero"),
    "bound": (("bound", "run", "--bits", "8"), BOUND),
    "bound-bits": (("bound", "net.mdl", "--data", "glyphs"), BOUND),
    "bound-lengths": (("bound", "deep", "--lengths-only"), r"resnet18: B = [\d,]+ bits \("),
    "bound-external": (("bound", "net.pt", *GIVEN), r"net.pt: true error <= "),
    "bound-integers": (("bound", "many.pt", *GIVEN), r"many.pt under 'params_ema': true error"),
    "nonzeros-external": (("nonzeros", "many.pt"), r"many.pt under 'params_ema': [\d,]+ of"),
    "encode-integers": (("encode", "many.pt", "-o", "c.mdl"), r"c.mdl: [\d,]+ bits \("),
    "filters-external": (("filters", "image.pt"), r"Picture: image-filters.png$"),
    "bound-external-bits": (("bound", "other.mdl", *GIVEN), r"other.mdl: true error <= "),
    "filters": (("filters", "run", "--min-nonzeros", "1"), r"Picture: run/filters.png$"),
    "scaling": (("scaling",), r"Weights of 10 networks at s = 32"),
    "codelength": (
        ("codelength", "run", "--bits", "8", "-o", "labels.bits"),
        r"s-fc on glyphs: the 280 training labels take [\d,]+ bits",
    ),
    "codelength-bits": (
        ("codelength", "net.mdl", "--data", "glyphs", "--split", "test"),
        r"s-fc on glyphs: the 5,000 test labels take",
    ),
    "codelength-prequential": (
        ("codelength", "--prequential", "s-conv", *FEW, "--first", "8", "-o", "blocks"),
        r"s-conv on glyphs: the 120 training labels take",
    ),
    "embed": (("embed", "conv", "--as", "s-fc"), r"Wrote conv/checkpoint-s-fc.pt: s-conv as s-fc"),
    "encode": (("encode", "run", "-o", "a.mdl"), r"a.mdl: [\d,]+ bits \(context code\) in [\d,]+"),
    "encode-external": (("encode", "net.pt", "-o", "b.mdl"), r"b.mdl: [\d,]+ bits \("),
    "decode": (("decode", "net.mdl"), r"Wrote net-decoded.pt: s-fc, [\d,]+ numbers"),
    "certify": (("certify", "run", "-o", "new-cert"), r"new-cert: (the bound is|true error <=)"),
    "verify": (("verify", "cert"), r"verified: (the bound is vacuous|true error <= )"),
    "compress": (("compress", "run", "-o", "short", *QUICK), BOUND),
    "budget": (
        ("budget", "--target", "0.9", "--samples", "9000"),
        r"A bound of 90.00% leaves at m",
    ),
    "report": (("report", "run", "--no-bound"), r"Page: report.html$"),
    "sparse": (("sparse", "dense", "sparse"), r"Time, dense / sparse: [\d.]+x \([\d.]+ s / "),
}
OTHERS = ("bench", "reproduce", "sweep", "demo")
"""They print tables as these are ready, or have tests of their own."""


@pytest.fixture(scope="module")
def folder(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the commands look at, under short names."""
    place = tmp_path_factory.mktemp("w")
    (place / "run").symlink_to(trained)
    pair = ("s-fc", *TINY[2:], "--image-size", "32", "--base-channels", "2", "--l1-conv", "3e-4")
    pair += ("--l1-fc", "5e-5", "--lr", "0.1")
    torch.save(make_network().state_dict(), place / "net.pt")
    words = {f"layer{n}.q": torch.randint(-90, 90, (9, 7), dtype=torch.int8) for n in range(30)}
    state = {"0.weight": torch.randn(40, 30), **words, "ids": torch.arange(30)}
    torch.save({"params_ema": state, "params": state, "net": state}, place / "many.pt")
    torch.save({"net": {"conv.weight": torch.randn(8, 3, 5, 5)}}, place / "image.pt")
    for arguments in (
        ("train", "s-conv", *TINY, "--out", "conv"),
        ("train", "resnet18", *TINY, "--out", "deep"),
        ("train", *pair, "--sparse", "never", "--out", "dense"),
        ("train", *pair, "--sparse", "always", "--out", "sparse"),
        ("encode", "run", "-o", "net.mdl"),
        ("encode", "net.pt", "-o", "other.mdl"),
        ("certify", "run", "-o", "cert", "--bits", "8"),
    ):
        done = call_here(*arguments, folder=place)
        assert done.returncode == 0, done.stderr
    return place


@pytest.mark.parametrize("name", CALLS)
def test_the_answer_stands_first_and_all_of_it_on_one_screen(name: str, folder: Path) -> None:
    arguments, answer = CALLS[name]
    done = call_here(*arguments, folder=folder)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert re.match(answer, lines[0]), lines[0]
    assert len(lines) < LINES, done.stdout  # one is the prompt's
    suggested = lines[lines.index("Next:") + 1 :] if "Next:" in lines else []
    assert max(map(len, lines[: len(lines) - len(suggested)])) <= COLUMNS, done.stdout
    assert all(line.startswith("  mdl ") for line in suggested)
    for line in suggested:
        parse(line.strip())


def test_every_command_is_here() -> None:
    assert {name.partition("-")[0] for name in CALLS} | set(OTHERS) >= set(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_examples_are_right(name: str) -> None:
    examples = next(group[name] for group in GROUPS.values() if name in group)
    assert examples
    for example in examples:
        assert example.split()[0] == name
        parse(f"mdl {example}")


def parse(line: str) -> None:
    """Take a command line through the real parser; it is not run."""
    program, name, *arguments = shlex.split(line)
    assert program == "mdl"
    app = get_command(build_app())
    command = app.get_command(typer.Context(app), name)  # type: ignore[attr-defined]
    assert command is not None, line
    with command.make_context(name, arguments):
        pass


def test_a_narrow_screen_loses_the_middle_of_names_then_the_last_columns(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = Rows(columns=("tensor", "numbers", "bits", "share"), rows=[("n" * 50, "1", "22", "3%")])
    for columns, line in (
        (80, f"{'n' * 50}        1    22     3%"),
        (60, f"{'n' * 15}…{'n' * 16}        1    22     3%"),
        (45, f"{'n' * 15}…{'n' * 16}        1"),
    ):
        monkeypatch.setenv("COLUMNS", str(columns))
        print_answer("answer", table=rows)
        assert capsys.readouterr().out.splitlines()[2] == line


@pytest.mark.parametrize("columns", [40, 80, 120])
def test_a_wide_table_falls_apart_between_columns_on_a_narrow_terminal(
    columns: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    heads = ["checkpoint", "network", *(f"number-{place}" for place in range(9))]
    rows = [["runs/a", "s-fc by SGD", *"123456789"], ["runs/b", "s-conv", *"234567891"]]
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    print_table("What they count", heads, rows, num_text_columns=2)
    lines = re.sub(r"\x1b\[[\d;]*m", "", capsys.readouterr().out).splitlines()
    assert lines[0] == "What they count"
    assert max(map(len, lines)) <= columns
    words = " ".join(lines[1:]).split()
    assert all(words.count(head) == 1 for head in heads[1:])
    assert words.count("runs/a") == words.count("checkpoint") == {40: 4, 80: 2, 120: 1}[columns]


@pytest.mark.parametrize("columns", [80, 120])
def test_a_terminal_has_errors_and_commands_broken_between_words(
    columns: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("TERM", "xterm")
    error = f"error: {'no folder ' * 40}".strip()
    command = f"mdl compress 'my run' {'--levels 1 ' * 15}--out runs/s-fc-beta-lasso-short-2"
    assert flow(error) == error
    print_next(command)
    assert capsys.readouterr().out == f"Next:\n  {command}\n"
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    lines = flow(error).splitlines()
    assert max(map(len, lines)) <= columns and " ".join(lines) == error
    print_next(command)
    shown = re.sub(r"\x1b\[[\d;]*m", "", capsys.readouterr().out).removeprefix("Next:\n")
    assert max(map(len, shown.splitlines())) <= columns
    assert shlex.split(shown.replace("\\\n", "")) == shlex.split(command)


def test_a_long_table_keeps_its_largest_rows_in_their_order(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    names = [(f"row {place}", str(place)) for place in range(40)]
    sizes = [place % 20 for place in range(40)]
    print_answer(
        "answer", table=Rows(columns=("a", "b"), rows=names, sizes=sizes, last=("all", ""))
    )
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == LINES - 1
    assert lines[2].split() == ["row", "10", "10"]
    assert lines[-3:-1] == [f"{'row 39':<12}  39", "21 more rows"]
    assert lines[-1] == "all"
