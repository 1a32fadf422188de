"""The `mdl` application: checks the installation, gathers the commands, reports errors.

Nothing here or in the modules of `mdl.commands` imports torch, Matplotlib, SymPy or datasets
while it loads; `mdl --help` stays fast that way.
"""

import importlib
import importlib.util
import sys
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperCommand

from mdl.option_errors import OptionError

SIBLINGS = ("training", "analysis", "figures")
COMMANDS = (
    "train", "evaluate", "nonzeros", "bound", "filters", "scaling", "embed", "encode", "decode",
    "certify", "verify", "compress", "budget", "bench", "reproduce", "sweep", "report", "sparse",
)  # fmt: skip
_WRONG_USAGE = 2


def check_siblings(package_dir: Path) -> None:
    """Stop with a clear error if a foreign package shadows one of ours.

    The names `training`, `analysis` and `figures` are generic. Each must lie beside `mdl`; this
    looks them up without importing them.

    Raises:
        SystemExit: One of them is missing or comes from somewhere else.
    """
    for name in SIBLINGS:
        found = importlib.util.find_spec(name)
        expected = package_dir.parent / name
        places = [] if found is None else list(found.submodule_search_locations or [])
        if str(expected) not in {str(Path(place).resolve()) for place in places}:
            where = f"it comes from {places[0]}" if places else "it was not found"
            sys.exit(
                f"error: the package {name!r} must lie beside mdl in {package_dir.parent}, but "
                f"{where}; remove or rename the other one, or install mdl in a fresh environment"
            )


class Command(TyperCommand):
    """A command that tells wrong values without the words of the library that checks them."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """As Typer does."""
        try:
            return super().parse_args(ctx, args)
        except typer.BadParameter as error:
            error.message = error.message.removeprefix("Value error, ")
            raise


def build_app() -> typer.Typer:
    """The Typer application with every command of `COMMANDS`, one module each."""
    app = typer.Typer(
        name="mdl",
        help="How short is the description of a network, and what does that prove about its error?",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
    )

    @app.callback()
    def root() -> None:
        """Turn a group of commands on even while only one is registered."""

    for name in COMMANDS:
        module = importlib.import_module(f"mdl.commands.{name}")
        app.command(name, cls=Command)(getattr(module, name))
    return app


def error_line(error: BaseException) -> str:
    """What the user reads of an error.

    >>> error_line(ValueError("b must be  32"))
    'error: b must be 32'
    """
    return f"error: {' '.join(str(error).split()) or type(error).__name__}"


def run() -> None:
    """Run the command line. A user's mistake prints one line and exits with 1, or 2 for usage."""
    # Light: the module of errors loads no torch.
    from training.errors import USER_ERRORS  # noqa: PLC0415

    check_siblings(Path(__file__).resolve().parent)
    try:
        build_app()()
    except OptionError as error:
        sys.stderr.write(error_line(error) + "\n")
        sys.exit(_WRONG_USAGE)
    except USER_ERRORS as error:
        sys.exit(error_line(error))
    except KeyboardInterrupt:
        sys.exit(130)
