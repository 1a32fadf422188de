"""From a file that a command was given to the network message that it stands for."""

from dataclasses import replace
from pathlib import Path

import typer

from analysis.codes.message import NetworkMessage
from analysis.messages import checkpoint_message
from analysis.quantize import NumberFormat, find_format
from training.checkpoint import Checkpoint, load_checkpoint
from training.embedding import embed_state


def choose_format(bits: int | None, number_format: str | None) -> NumberFormat:
    """The set R_b that --bits and --format ask for; bfloat16 if neither does."""
    try:
        return find_format(bits, number_format)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--bits, --format") from error


def read_message(
    path: Path,
    *,
    bits: int | None,
    number_format: str | None,
    twin: str | None = None,
    shortened: bool = True,
) -> NetworkMessage:
    """The message of a checkpoint: folded, rounded, embedded if asked, and made shorter.

    Raises:
        CheckpointError: The file cannot be used.
        ValueError: The network has no such twin.
    """
    chosen = choose_format(bits, number_format)
    checkpoint = load_checkpoint(path)
    message = checkpoint_message(checkpoint, chosen, shortened=shortened)
    return message if twin is None else _as_twin(message, checkpoint, twin)


def _as_twin(message: NetworkMessage, checkpoint: Checkpoint, twin: str) -> NetworkMessage:
    """The message of a larger network with the same function, weight by weight."""
    family, kind = twin.split("-")
    spec = checkpoint.network
    if spec.family != family:
        raise ValueError(
            f"--as {twin}: this checkpoint is {spec.name}, which is not of the {family}- family"
        )
    return replace(message, spec=spec.twin(kind), state=embed_state(spec, message.state, kind))
