import os
import subprocess
import sys
from pathlib import Path

import pytest

from mdl import __version__
from mdl.cli.app import COMMANDS, GROUPS

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
    words = " ".join(mdl("train", "--help").stdout.replace("│", " ").split())
    assert "pip install wandb" in words


def test_an_unknown_command_is_a_usage_error(mdl) -> None:
    done = mdl("trian")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "arguments", [("train", "s-fc", "--device", "tpu"), ("bench", "--only", "everything")]
)
def test_a_wrong_choice_is_told_in_our_words(arguments: tuple[str, ...], mdl) -> None:
    done = mdl(*arguments)
    assert done.returncode == 2
    words = " ".join(done.stderr.replace("│", " ").split())
    assert f"Invalid value for '{arguments[-2]}': '{arguments[-1]}' is not one of" in words
