"""`mdl encode`: a network as a string of bits that decodes to the same network."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mdl.terminal import console
from mdl.terminal.options import (
    BitsOption,
    BnEpsOption,
    CheckpointArgument,
    FixedOption,
    FormatOption,
    JsonOption,
)

if TYPE_CHECKING:
    from analysis.codes.message import NetworkMessage
    from analysis.describe.encoding_report import EncodingReport


class Code(StrEnum):
    """Ways to describe a network."""

    auto = "auto"
    plain = "plain"
    theorem_2 = "theorem-2"
    enumerative = "enumerative"
    context = "context"
    structured_conv = "structured-conv"
    structured_local = "structured-local"


class Twin(StrEnum):
    """Larger networks that a network may be described as."""

    d_local = "d-local"
    d_fc = "d-fc"
    s_local = "s-local"
    s_fc = "s-fc"


def encode(
    checkpoint: CheckpointArgument,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="The file of bits (default: NAME.mdl).")
    ] = None,
    bits: BitsOption = None,
    number_format: FormatOption = None,
    code: Annotated[Code, typer.Option(help="The code; auto takes the shortest.")] = Code.auto,
    twin: Annotated[
        Twin | None,
        typer.Option("--as", help="Describe it as this larger twin, whose function it also is."),
    ] = None,
    shorten: Annotated[
        bool,
        typer.Option(
            "--shorten/--as-it-is",
            help="First make it shorter without changing its function: dead units, idle weights, "
            "scales, order of units.",
        ),
    ] = True,
    fixed: FixedOption = None,
    bn_eps: BnEpsOption = None,
    json: JsonOption = False,
) -> None:
    """Write a network as bits: a description that decodes to the very same network.

    BatchNorm is folded and every number rounded to b bits first. The length of
    the bits is |d(h)|, what the bounds of mdl bound rest on.
    """
    from analysis.codes.bit_file import save_codeword
    from analysis.codes.message import TensorListSpec
    from analysis.describe.encoding_report import report_encoding
    from mdl.cli.bound.messages import read_message

    message = read_message(
        checkpoint,
        bits=bits,
        number_format=number_format,
        twin=None if twin is None else twin.value,
        canonical=shorten,
        bn_eps=bn_eps,
        fixed=fixed or (),
    )
    report = report_encoding(message, code.value)
    source = checkpoint / "checkpoint.pt" if checkpoint.is_dir() else checkpoint
    out = out or source.with_suffix(".mdl")
    save_codeword(report.codeword, out)
    if json:
        console.print_json(
            {"checkpoint": str(checkpoint), "file": str(out), "file_bytes": out.stat().st_size}
            | report.to_dict()
        )
        return
    _print_report(report, message)
    console.stdout().print(
        f"{out}: {report.codeword.num_bits:,} bits in {out.stat().st_size:,} bytes", markup=False
    )
    if isinstance(message.spec, TensorListSpec):
        console.print_next(f"mdl decode {out} --state-dict decoded.pt")
    else:
        console.print_next(f"mdl decode {out}", f"mdl certify {checkpoint} -o cert")


def _print_report(report: "EncodingReport", message: "NetworkMessage") -> None:
    from analysis.describe.encoding_report import ABOUT
    from mdl.terminal.ledger_tables import print_ledger

    number_format = message.number_format
    console.stdout().print(
        f"n = {report.num_weights:,} numbers of {number_format.name} "
        f"(b = {number_format.bits_per_weight}), ‖w‖₀ = {report.num_nonzeros:,} nonzeros",
        markup=False,
    )
    rows = [
        (name, ABOUT[name], f"{length:,}", f"{length / max(report.num_nonzeros, 1):,.2f}")
        for name, length in report.lengths.items()
    ]
    console.print_table(
        "Lengths of the description",
        ("code", "what it is", "bits", "bits a nonzero"),
        rows,
        num_text_columns=2,
    )
    print_ledger(report.codeword)
