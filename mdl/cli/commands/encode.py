"""`mdl encode`: a network as a string of bits that decodes to the same network."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from analysis.codes import CodeChoice
from mdl.terminal import console
from mdl.terminal.options import (
    BitsOption,
    BnEpsOption,
    CheckpointArgument,
    FixedOption,
    FormatOption,
    FullOption,
    JsonOption,
    KeyOption,
    PriorOption,
    Twin,
    refuse_options,
)

if TYPE_CHECKING:
    from analysis.codes.message import NetworkMessage
    from analysis.describe.describe import NetworkDescription
    from analysis.quantize.formats import NumberFormat


def encode(
    checkpoint: CheckpointArgument,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", help="The file of bits (default: NAME.mdl beside the checkpoint)."
        ),
    ] = None,
    bits: BitsOption = None,
    number_format: FormatOption = None,
    code: Annotated[CodeChoice, typer.Option(help="The code; auto takes the shortest.")] = "auto",
    twin: Annotated[
        Twin | None,
        typer.Option(
            "--as",
            help="Describe it as its twin: the larger local or fully-connected network of the same "
            "function.",
        ),
    ] = None,
    shorten: Annotated[
        bool,
        typer.Option(
            "--shorten/--as-it-is",
            help="First make it shorter without changing its function: dead units, idle weights, "
            "scales, order of units.",
        ),
    ] = True,
    prior: PriorOption = None,
    key: KeyOption = None,
    fixed: FixedOption = None,
    bn_eps: BnEpsOption = None,
    full: FullOption = False,
    json: JsonOption = False,
) -> None:
    """Write a network as bits: a description that decodes to the very same network.

    BatchNorm is folded and every number rounded to b bits first. The length of
    the bits is |d(h)|, what the bounds of mdl bound rest on. With --prior they are
    the difference from it, where that is shorter, and mdl decode needs it too.
    """
    from analysis.certify.prior import load_prior
    from analysis.codes.bit_file import save_codeword
    from analysis.describe.describe import compare_codes, read_message, relative_to
    from mdl.cli.bound import bound_command, choose_format, refuse_external_options
    from mdl.terminal.answers import answer_encoded
    from training.tensor_files.open import is_external

    chosen = choose_format(bits, number_format)
    base = None if prior is None else load_prior(prior, chosen).codeword
    if base is not None and bits is None and number_format is None:
        chosen = base.message.number_format
    notes: list[str] = []
    if is_external(checkpoint):
        message, notes = _read_external(checkpoint, chosen, key, fixed, bn_eps)
    else:
        refuse_external_options(checkpoint, key=key, fixed=fixed, bn_eps=bn_eps)
        message = read_message(checkpoint, chosen, canonical=shorten)
    if twin is not None:
        message = _as_twin(message, twin, checkpoint)
    report = compare_codes(message, code)
    if base is not None:
        refuse_options({"as": twin}, "a prior goes with the network as it is")
        if code != "auto":
            raise typer.BadParameter("with a prior it is auto", param_hint="--code")
        if not is_external(checkpoint):
            message = read_message(checkpoint, chosen, canonical=False)
        report = relative_to(base, message, report)
    source = checkpoint / "checkpoint.pt" if checkpoint.is_dir() else checkpoint
    out = out or source.with_suffix(".mdl")
    save_codeword(report.codeword, out)
    if json:
        console.print_json(
            {"checkpoint": str(checkpoint), "file": str(out), "file_bytes": out.stat().st_size}
            | report.to_dict()
        )
        return
    if message.can_run:
        next_ = [
            console.command("decode", out, prior=prior if report.is_relative else None),
            bound_command(checkpoint, bits=bits, format=number_format),
        ]
    else:
        next_ = [console.command("decode", out, state_dict="decoded.pt", bn_eps=bn_eps)]
    num_bytes = out.stat().st_size
    if not full:
        answer_encoded(report, str(out), num_bytes, notes=notes, next_=next_)
        return
    _print_report(report, message)
    line = f"{out}: {report.codeword.num_bits:,} bits in {num_bytes:,} bytes"
    for each in (line, *notes):
        console.stdout().print(each, markup=False)
    console.print_next(*next_)


def _read_external(
    checkpoint: Path,
    number_format: "NumberFormat",
    key: str | None,
    fixed: list[str] | None,
    bn_eps: float | None,
) -> "tuple[NetworkMessage, list[str]]":
    """The message of another program's network, and what is to be said of it."""
    from analysis.describe.describe import external_message
    from analysis.describe.external_network import describe_tensors
    from analysis.describe.folded_norms import BN_EPS
    from analysis.describe.validity import check_external
    from training.tensor_files.open import open_tensor_file

    eps = BN_EPS if bn_eps is None else bn_eps
    with open_tensor_file(checkpoint, key) as file:
        network = describe_tensors(file, bn_eps=eps, fixed=fixed or ())
        message = external_message(network, number_format)
    notes = [finding.text for finding in check_external(network)]
    if network.file.key and not network.file.beside:
        notes.append(f"Described is {network.file.title}.")
    return message, notes


def _as_twin(message: "NetworkMessage", twin: str, path: Path) -> "NetworkMessage":
    """The message of a larger network with the same function, weight by weight."""
    from dataclasses import replace

    from training.networks.embedding import embed_state

    if not message.can_run:
        raise ValueError(f"--as {twin}: {path} is of another program, whose twins are unknown")
    family, kind = twin.split("-")
    spec = message.network
    if spec.family != family:
        raise ValueError(
            f"--as {twin}: this checkpoint is {spec.name}, which is not of the {family}- family"
        )
    return replace(message, spec=spec.twin(kind), state=embed_state(spec, message.state, kind))


def _print_report(report: "NetworkDescription", message: "NetworkMessage") -> None:
    from analysis.describe.describe import ABOUT
    from mdl.terminal.bound_tables import print_ledger

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
