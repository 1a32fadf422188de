"""`mdl verify`: check a certificate from its bits and the images alone."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from mdl.terminal import console
from mdl.terminal.errors import error_line, option_of
from mdl.terminal.options import DeviceOption, FullOption, JsonOption, LabelColumnOption
from mdl.terminal.progress import CountProgress


def verify(
    certificate: Annotated[
        Path, typer.Argument(metavar="CERTIFICATE", help="The folder that mdl certify wrote.")
    ],
    data: Annotated[
        str | None,
        typer.Option(
            metavar="DATA", help="Where the data set lies here; generated images are drawn anew."
        ),
    ] = None,
    images: Annotated[
        str | None,
        typer.Option(metavar="DATA", help="Where its held-out images lie, if a set of their own."),
    ] = None,
    label_column: LabelColumnOption = None,
    device: DeviceOption = "auto",
    full: FullOption = False,
    json: JsonOption = False,
) -> None:
    """Decode the bits, count the errors again, recompute every number, and compare.

    Exits with 1 and prints one line for each thing that differs. B is what the
    decoder consumed; nothing but the bits, the images and δ is believed.
    """
    from analysis.certify.folder import BITS_FILE
    from analysis.certify.verify import verify as verify_certificate
    from mdl.terminal.answers import answer_certificate
    from mdl.terminal.bound_tables import print_certificate
    from mdl.terminal.devices import choose_device
    from mdl.terminal.fresh_answers import answer_fresh

    with CountProgress() as progress:
        found = verify_certificate(
            certificate,
            data=data,
            images=images,
            label_column=label_column,
            device=choose_device(device),
            progress=progress.move,
            name_of=option_of,
        )
    if json:
        console.print_json({"certificate": str(certificate)} | found.to_dict())
    elif found.ok and found.certificate is not None:
        if full:
            print_certificate(found.certificate)
        next_ = [
            console.command("decode", certificate / BITS_FILE, out=console.new_name("decoded.pt"))
        ]
        if found.certificate.fresh is not None:
            answer_fresh(found.certificate, "verified", next_=next_)
        elif full:
            console.stdout().print(f"{certificate}: verified", style="bold", markup=False)
        else:
            answer_certificate(found.certificate, "verified", next_=next_)
    if not found.ok:
        for line in found.differences:
            sys.stderr.write(console.flow(error_line(ValueError(line))) + "\n")
        raise typer.Exit(1)
