"""The `mdl` application: gathers the commands and reports errors.

Nothing here or in the modules of `mdl.cli.commands` imports torch, Matplotlib, SymPy or datasets
while it loads; `mdl --help` stays fast that way.
"""

import importlib
import sys
from typing import Any

import typer
from typer.core import TyperCommand

from mdl.terminal.errors import OptionError, error_line
from training.errors import USER_ERRORS, ConfigError

COMMANDS = (
    "train",
    "evaluate",
    "nonzeros",
    "bound",
    "filters",
    "scaling",
    "embed",
    "encode",
    "decode",
    "certify",
    "verify",
    "compress",
    "budget",
    "bench",
    "reproduce",
    "sweep",
    "report",
    "sparse",
)
_WRONG_USAGE = 2


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
        module = importlib.import_module(f"mdl.cli.commands.{name}")
        app.command(name, cls=Command)(getattr(module, name))
    return app


def run() -> None:
    """Run the command line. A user's mistake prints one line and exits with 1, or 2 for usage."""
    try:
        build_app()()
    except (OptionError, ConfigError) as error:
        sys.stderr.write(error_line(error) + "\n")
        sys.exit(_WRONG_USAGE)
    except USER_ERRORS as error:
        sys.exit(error_line(error))
    except KeyboardInterrupt:
        sys.exit(130)
