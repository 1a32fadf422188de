import subprocess
import sys
from pathlib import Path

import pytest

from mdl.cli.app import COMMANDS

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


@pytest.mark.sample(3)
@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_every_command_has_help(command: str, mdl) -> None:
    done = mdl(*([command] if command else []), "--help")
    assert done.returncode == 0
    assert "Usage:" in done.stdout
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
