"""`mdl decode`: the network that a string of bits stands for."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mdl.terminal import console
from mdl.terminal.options import BnEpsOption, JsonOption

if TYPE_CHECKING:
    from analysis.codes.network_code import Codeword


def decode(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="A file of bits that mdl encode wrote.")
    ],
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="The checkpoint to write (default: NAME-decoded.pt)."),
    ] = None,
    state_dict: Annotated[
        Path | None,
        typer.Option(
            "--state-dict", help="Write the tensors alone, under their own names, as a state dict."
        ),
    ] = None,
    bn_eps: BnEpsOption = None,
    prior: Annotated[
        Path | None,
        typer.Option(
            metavar="NETWORK",
            help="What the bits are relative to, if they are (default: prior.mdl beside FILE).",
        ),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Rebuild a network from its bits alone.

    The checkpoint holds exactly the numbers that were encoded, with BatchNorm
    folded into one scale and one shift per unit. Of another program's network,
    --state-dict gives the tensors for its own code to load and evaluate.
    """
    from analysis.certify.prior import load_prior
    from analysis.codes.bit_file import load_codeword
    from analysis.quantize.formats import find_format

    own = None if prior is None else load_prior(prior, find_format()).codeword
    codeword = load_codeword(file, prior=own)
    written = _write(codeword, file, out, state_dict, bn_eps)
    result: dict[str, Any] = {
        "file": str(file),
        "written": {kind: str(path) for kind, path in written.items()},
        "network": codeword.message.network.name if codeword.message.can_run else None,
        "code": codeword.code,
        "format": codeword.message.number_format.name,
        "description_bits": codeword.num_bits,
        "num_weights": sum(tensor.numel() for tensor in codeword.message.state.values()),
        "num_nonzeros": sum(int(each.count_nonzero()) for each in codeword.message.state.values()),
    }
    if json:
        console.print_json(result)
        return
    name = result["network"] or "tensors of a network whose code is not mdl's"
    kept = written.get("checkpoint")
    console.print_answer(
        f"Wrote {' and '.join(str(path) for path in written.values())}: {name}, "
        f"{result['num_weights']:,} numbers of {result['format']}, "
        f"{result['num_nonzeros']:,} nonzeros, from {codeword.num_bits:,} bits "
        f"({codeword.code} code).",
        next_=[] if kept is None else [console.command("nonzeros", kept)],
    )


def _write(
    codeword: "Codeword",
    file: Path,
    out: Path | None,
    state_dict: Path | None,
    bn_eps: float | None,
) -> dict[str, Path]:
    from analysis.codes.checkpoint_message import message_checkpoint
    from training.checkpoint.checkpoint import save_checkpoint

    is_ours = codeword.message.can_run
    written = {}
    if state_dict is not None:
        _write_state_dict(codeword, state_dict, bn_eps)
        written["state_dict"] = state_dict
    if out is not None and not is_ours:
        raise ValueError(
            f"--out {out}: these are tensors of a network whose code is not mdl's; "
            "pass --state-dict FILE to have them"
        )
    if state_dict is None and not is_ours:
        raise ValueError(
            f"{file}: these are tensors of a network whose code is not mdl's; "
            "pass --state-dict FILE to have them"
        )
    if out is not None or state_dict is None:
        out = out or file.with_name(f"{file.stem}-decoded.pt")
        save_checkpoint(message_checkpoint(codeword.message), out)
        written["checkpoint"] = out
    return written


def _write_state_dict(codeword: "Codeword", path: Path, bn_eps: float | None) -> None:
    from typing import BinaryIO

    import torch

    from analysis.describe.export import export_state
    from analysis.describe.folded_norms import BN_EPS
    from training.system.files import write_atomically

    message = codeword.message
    state: dict[str, Any] = dict(message.state)
    if not message.can_run:
        eps = BN_EPS if bn_eps is None else bn_eps
        state = dict(export_state(message.state, bn_eps=eps, integers=message.integers))

    def write(file: BinaryIO) -> None:
        torch.save(state, file)

    write_atomically(path, write)
