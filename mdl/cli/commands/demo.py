"""`mdl demo`: the whole idea in one command, in less than a minute."""

from pathlib import Path
from typing import Annotated

import typer

from mdl.terminal import console
from mdl.terminal.options import JsonOption, SeedOption


def demo(
    out: Annotated[Path, typer.Option("--out", "-o", help="The new folder of all results.")] = Path(
        "demo"
    ),
    open_page: Annotated[
        bool, typer.Option("--open", help="Open the page in a browser at the end.")
    ] = False,
    seed: SeedOption = 0,
    json: JsonOption = False,
) -> None:
    """Show the whole idea in less than a minute: train, compress, prove, draw.

    A convolution and the fully-connected network of its size learn digits, by SGD
    and by β-lasso. Then the convolution is compressed, certified, and verified
    from scratch. The folder holds the runs, the certificate and a page, report.html.
    """
    from mdl.cli.demo import REPORT_FILE, demonstrate, print_demonstration

    found = demonstrate(out, seed=seed)
    if json:
        console.print_json({"folder": str(out), "page": str(out / REPORT_FILE)} | found.to_dict())
    else:
        print_demonstration(found, out)
    if open_page:
        import webbrowser

        webbrowser.open((out / REPORT_FILE).resolve().as_uri())
