import itertools
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from analysis.compress.recipes import RECIPES as TIGHT
from mdl import __version__
from mdl.cli.app import COMMANDS, GROUPS
from training.spec.config import GENERATED_IMAGE_SIZE, GENERATED_NUM_TEST, GENERATED_NUM_TRAIN
from training.spec.recipes import RECIPES

ROOT = Path(__file__).resolve().parents[3]
HEAVY = ("torch", "numpy", "scipy", "sympy", "matplotlib", "seaborn", "datasets", "pyarrow", "PIL")


@pytest.mark.process
def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys; from mdl.cli.app import build_app;"
        "build_app()(['--help'], standalone_mode=False);"
        f"print([name for name in {HEAVY} if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.process
def test_a_shell_completes_commands_and_choices_without_anything_heavy() -> None:
    for words, expected in (
        ("mdl b", "bound"),
        ("mdl train s-f", "s-fc"),
        ("mdl train s-fc --sparse t", "typical"),
    ):
        code = (
            "import sys; from mdl.cli.app import build_app\n"
            "try: build_app()(prog_name='mdl')\n"
            "except SystemExit: pass\n"
            f"print([name for name in {HEAVY} if name in sys.modules])"
        )
        variables = {
            "_MDL_COMPLETE": "complete_bash",
            "COMP_WORDS": words,
            "COMP_CWORD": str(len(words.split()) - 1),
        }
        done = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=True,
            cwd=ROOT,
            env=os.environ | variables,
        )
        *completed, heavy = done.stdout.split("\n")[:-1]
        assert expected in completed
        assert heavy == "[]"


def test_the_version_is_that_of_the_package(mdl) -> None:
    done = mdl("--version")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"mdl {__version__}\n", "")


def test_the_help_has_its_groups_and_how_to_complete(mdl) -> None:
    text = mdl("--help").stdout
    for words in (*GROUPS, "--version", "--install-completion", "--show-completion"):
        assert words in text


@pytest.mark.sample(3)
@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_every_command_has_help(command: str, mdl) -> None:
    done = mdl(*([command] if command else []), "--help")
    assert done.returncode == 0
    assert "Usage:" in done.stdout
    assert not command or f"mdl {command}" in done.stdout.partition("Examples:")[2]
    assert done.stderr == ""


def test_the_help_says_how_to_install_what_a_log_needs(mdl) -> None:
    words = " ".join(mdl("train", "--help").stdout.split())
    assert "pip install wandb" in words


LONG = "no/" * 60 + "page"


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("trian",), "mdl: No such command 'trian'. Did you mean 'train'?"),
        (("embed",), "mdl embed: Missing argument 'CHECKPOINT'."),
        (("embed", "--into", "s-fc"), "mdl embed: No such option: --into"),
        (("train", "s-fc", "--device", "tpu"), "mdl train: --device: 'tpu' is not one of 'auto'"),
        (("bench", "--only", "all"), "mdl bench: --only: 'all' is not one of 'optimizer', 'step'"),
        (("bound", "run", "--delta", "3"), "mdl bound: --delta: δ must lie in (0, 1), not 3.0"),
        (("train", "s-fc", "--epochs", "0"), "mdl train: --epochs must be >= 1, not 0"),
        (("train",), "mdl train: NETWORK: name a network, such as s-fc"),
        (("reproduce", "table2", "--page", LONG), f"mdl reproduce: --page {LONG} is not a file"),
    ],
)
def test_wrong_usage_is_one_line_and_where_the_help_is(
    arguments: tuple[str, ...], line: str, mdl
) -> None:
    done = mdl(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    told, hint = done.stderr.splitlines()
    assert told.startswith(line)
    command, _, _ = told.partition(":")
    assert hint == f"Try '{command} --help'."


@pytest.mark.sample(4)
@pytest.mark.parametrize("columns", [80, 120])
@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help_fills_the_lines_of_the_terminal_and_no_more(
    command: str, columns: int, mdl, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.mdl.calls.environment", lambda: {"COLUMNS": str(columns)})
    lines = mdl(*([command] if command else []), "--help").stdout.splitlines()
    assert max(map(len, lines)) <= columns
    texts = [line for line in lines if not line.startswith("  mdl ")]  # examples stay as they are
    for line, after in itertools.pairwise(texts):
        column = len(after) - len(after.lstrip())
        is_same = line[:column].isspace() or line[:column].endswith("  ") or not column
        if column in (0, 26) and is_same and line[column : column + 1].strip() and after:
            assert len(f"{line} {after.split()[0]}") > columns or line.endswith(":"), line


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("train", "s-cnov"), "not 's-cnov'. Did you mean 's-conv'?"),
        (("reproduce", "tabel2"), "not 'tabel2'. Did you mean 'table2'?"),
        (("train", "s-fc", "--epochs", "three"), "--epochs must be an integer, not 'three'"),
        (("budget", "--target", "20%"), "--target must be a number, not '20%'"),
    ],
)
def test_a_value_that_is_none_is_shown_with_the_nearest_that_is(
    arguments: tuple[str, ...], said: str, mdl
) -> None:
    done = mdl(*arguments)
    assert done.returncode == 2
    assert said in done.stderr


def test_the_help_has_the_numbers_of_the_recipes(mdl) -> None:
    text = " ".join(mdl("train", "--help").stdout.split())
    quick, paper = RECIPES["quick"], RECIPES["paper-4000"]
    for told in (
        f"(quick: {quick.epochs}; paper-400: 400; paper-4000: {paper.epochs})",
        f"(quick: {quick.widths['s-fc']}; tiny-separable {quick.widths['tiny-separable']}, "
        f"d-local {quick.widths['d-local']}, d-fc and tiny-conv {quick.widths['d-fc']}; "
        f"paper: {paper.widths['s-fc']} for s- networks, "
        f"{paper.widths['d-fc']} for d-, {paper.widths['resnet18']} for resnet18)",
        f"(quick: {quick.widths['3-fc']}; paper: {paper.widths['3-fc']:,})",
        f"(default: {quick.sgd['momentum']})",
        f"(quick: {quick.batch_size}; paper: {paper.batch_size})",
        f"({paper.beta_lasso['lr']}; quick by beta-lasso: {quick.beta_lasso['lr']:g})",
        f"(quick: {quick.beta_lasso['shrinkage'][0]:g})",
        f"(default: {quick.crop})",
        f"(quick: {quick.cutout}; paper: {paper.cutout})",
        f"generated: {GENERATED_IMAGE_SIZE})",
        f"generated: {GENERATED_NUM_TRAIN:,})",
        f"generated: {GENERATED_NUM_TEST:,})",
    ):
        assert told in text, told
    found = re.findall(r"beta-lasso \(quick: as --shrinkage; paper: ([\d.e-]+)\)", text)
    penalties = [paper.beta_lasso["l1_conv"], paper.beta_lasso["l1_fc"]]
    assert [float(each) for each in found] == penalties
    text = " ".join(mdl("compress", "--help").stdout.split())
    mnist, cifar = TIGHT["mnist-tight"], TIGHT["cifar10-tight"]
    for name in ("epochs", "num_trials", "base_channels", "lr"):
        one, other = (f"{getattr(recipe, name):,}" for recipe in (mnist, cifar))
        assert f"mnist-tight: {one}; cifar10-tight: {other})" in text, name
    assert f"(default: {mnist.batch_size}; cifar10-tight: {cifar.batch_size})" in text
    assert {mnist.max_level, cifar.max_level} == {1}
    assert "; with a recipe: 1)" in text


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_one_notation(command: str, mdl) -> None:
    text = mdl(command, "--help").stdout
    usage = text.partition("\n\n")[0]
    assert re.fullmatch(rf"Usage: mdl {command}( \[?[A-Z_]+\]?( \.\.\.)?)* \[OPTIONS\]", usage)
    assert "[default" not in text
    for option in re.findall(r"^  (?:-\w, )?--[\w-]+ (\S+)", text, re.MULTILINE):
        assert re.fullmatch(r"[A-Z]+|\S+\|\S+|/", option) or option[0].isupper(), option
