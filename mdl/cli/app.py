"""The `mdl` application: gathers the commands and reports errors.

Nothing here or in the modules of `mdl.cli.commands` imports torch, Matplotlib, SymPy or datasets
while it loads; `mdl --help` stays fast that way.
"""

import importlib
import sys
from typing import Annotated

import typer

from mdl.cli.usage import Command, Group
from mdl.terminal.console import flow
from mdl.terminal.errors import error_line, is_told

GROUPS: dict[str, dict[str, tuple[str, ...]]] = {
    "Train": {
        "demo": ("demo", "demo --out shown --seed 1 --open"),
        "train": (
            "train s-fc --out runs/s-fc",
            "train d-conv --data cifar10 --epochs 100 --validation 5000",
            "train --resume runs/s-fc",
        ),
    },
    "Describe and bound": {
        "bound": (
            "bound runs/s-fc",
            "bound runs/s-fc --bits 8 --plot bits.png",
            "bound net.safetensors --samples 50000 --train-errors 120",
        ),
        "compress": (
            "compress runs/s-fc --out short",
            "compress --recipe mnist-tight --data mnist --out tight",
        ),
        "certify": (
            "certify runs/s-fc --out cert",
            "certify short/network.mdl --data glyphs --out cert",
            "certify --target f.csv --surrogate g.mdl --data mnist --held-out test -o c",
        ),
        "verify": ("verify cert", "verify cert --data images/cifar10"),
        "encode": (
            "encode runs/s-fc --out net.mdl",
            "encode runs/s-conv --as s-fc --bits 8",
            "encode theirs.pt --key G.ema --out theirs.mdl",
        ),
        "decode": ("decode net.mdl --out decoded.pt", "decode net.mdl --state-dict decoded.pt"),
        "embed": ("embed runs/s-conv --as s-fc",),
        "codelength": (
            "codelength runs/s-fc --bits 8",
            "codelength net.mdl --data glyphs -o labels.bits",
            "codelength net.mdl --data glyphs --check labels.bits",
            "codelength --prequential s-conv --data glyphs -o blocks",
        ),
        "budget": ("budget --target 0.2 --samples 60000", "budget --target 0.1 --data glyphs"),
    },
    "Look": {
        "evaluate": ("evaluate runs/s-fc", "evaluate runs/s-fc --fresh 100000"),
        "nonzeros": ("nonzeros runs/s-fc", "nonzeros theirs.safetensors"),
        "filters": (
            "filters runs/s-fc",
            "filters --compare runs/s-conv runs/s-local runs/s-fc --out filters.pdf",
            "filters theirs.pt --key model --image-size 32",
        ),
        "report": ("report runs/s-conv runs/s-fc --out report.html",),
        "scaling": ("scaling", "scaling --image-size 28 --in-channels 1 --plot scaling.png"),
        "bench": ("bench --quick", "bench --only step --network s-fc"),
    },
    "Reproduce": {
        "reproduce": ("reproduce table1 --scale smoke", "reproduce all --dry-run"),
        "sweep": ("sweep s-fc --grid small", "sweep s-conv --grid small --list"),
        "sparse": (
            "sparse runs/dense runs/sparse",
            "sparse runs/dense runs/sparse --epochs 400 --out gain.png",
        ),
    },
}
"""Panels of the help, their commands, and examples of each."""
COMMANDS = tuple(name for group in GROUPS.values() for name in group)


def build_app() -> typer.Typer:
    """The Typer application with every command of `COMMANDS`, one module each."""
    app = typer.Typer(
        name="mdl",
        help="How short is the description of a network, and what does that prove about its error?",
        cls=Group,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
    )

    @app.callback()
    def root(
        _: Annotated[
            bool,
            typer.Option(
                "--version",
                callback=_show_version,
                is_eager=True,
                help="Show the version and exit.",
            ),
        ] = False,
    ) -> None:
        """What stands before the command."""

    for panel, commands in GROUPS.items():
        for name, examples in commands.items():
            module = importlib.import_module(f"mdl.cli.commands.{name}")
            epilog = "\n".join(("Examples:", *(f"  mdl {example}" for example in examples)))
            register = app.command(name, cls=Command, rich_help_panel=panel, epilog=epilog)
            register(getattr(module, name))
    return app


def _show_version(asked: bool) -> None:
    if asked:
        from mdl import __version__  # noqa: PLC0415  # reads the package's metadata

        sys.stdout.write(f"mdl {__version__}\n")
        raise typer.Exit


def run() -> None:
    """Run the command line. A user's mistake prints one line and exits with 1, or 2 for usage."""
    try:
        build_app()(prog_name="mdl")
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        if not is_told(error):
            raise
        sys.exit(flow(error_line(error)))
