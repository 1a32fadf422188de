import subprocess
import sys
from pathlib import Path

import pytest

from mdl.cli import COMMANDS, check_siblings

ROOT = Path(__file__).resolve().parents[2]
HEAVY = ("torch", "numpy", "scipy", "sympy", "matplotlib", "seaborn", "datasets", "pyarrow", "PIL")


@pytest.mark.process
def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys; from mdl.cli import build_app; build_app()(['--help'], standalone_mode=False);"
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


def test_the_siblings_lie_beside_mdl() -> None:
    check_siblings(ROOT / "mdl")


@pytest.mark.process
def test_a_foreign_package_that_shadows_ours_stops_the_command(tmp_path: Path) -> None:
    (tmp_path / "analysis").mkdir()
    (tmp_path / "analysis" / "__init__.py").write_text("raise RuntimeError('imported')")
    done = subprocess.run(
        [sys.executable, "-c",
         f"import sys; sys.path[:0] = [{str(tmp_path)!r}, {str(ROOT)!r}];"
         "sys.argv = ['mdl', 'scaling']; from mdl.__main__ import main; main()"],
        capture_output=True, text=True, check=False, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.startswith("error: the package 'analysis' must lie beside mdl")
    assert len(done.stderr.splitlines()) == 1
