"""From a file that a command was given to the network message that it stands for."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import typer

from analysis.codes.checkpoint_message import checkpoint_message
from analysis.codes.message import NetworkMessage, TensorListSpec
from analysis.describe.external_message import external_message_tensors
from analysis.describe.external_network import BN_EPS, describe_tensors
from analysis.quantize.formats import NumberFormat, find_format
from training.checkpoint.checkpoint import Checkpoint, load_checkpoint
from training.networks.embedding import embed_state
from training.tensor_files.open import is_external, open_tensor_file


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
    canonical: bool = True,
    bn_eps: float | None = None,
    fixed: Sequence[str] = (),
) -> NetworkMessage:
    """The message of a checkpoint: folded, rounded, embedded if asked, and made shorter.

    Of another program's network it is the tensors, under their own names and as they are.

    Raises:
        CheckpointError: The file cannot be used.
        ValueError: The network has no such twin.
    """
    chosen = choose_format(bits, number_format)
    if is_external(path):
        if twin is not None:
            raise ValueError(f"--as {twin}: {path} is of another program, whose twins are unknown")
        return _read_external(path, chosen, bn_eps=bn_eps, fixed=fixed)
    checkpoint = load_checkpoint(path)
    message = checkpoint_message(checkpoint, chosen, canonical=canonical)
    return message if twin is None else _as_twin(message, checkpoint, twin)


def _read_external(
    path: Path, number_format: NumberFormat, *, bn_eps: float | None, fixed: Sequence[str]
) -> NetworkMessage:
    with open_tensor_file(path) as file:
        network = describe_tensors(file, bn_eps=BN_EPS if bn_eps is None else bn_eps, fixed=fixed)
        tensors = external_message_tensors(network, number_format)
    shapes = tuple((name, tuple(tensor.shape)) for name, tensor in tensors.items())
    return NetworkMessage(spec=TensorListSpec(shapes), number_format=number_format, state=tensors)


def _as_twin(message: NetworkMessage, checkpoint: Checkpoint, twin: str) -> NetworkMessage:
    """The message of a larger network with the same function, weight by weight."""
    family, kind = twin.split("-")
    spec = checkpoint.network
    if spec.family != family:
        raise ValueError(
            f"--as {twin}: this checkpoint is {spec.name}, which is not of the {family}- family"
        )
    return replace(message, spec=spec.twin(kind), state=embed_state(spec, message.state, kind))
