"""From a checkpoint to the message that its description stands for, and back."""

from analysis.codes.canonical_form import canonical_form
from analysis.codes.message import NetworkMessage
from analysis.codes.network_code import Codeword
from analysis.quantize.formats import NumberFormat, quantize_network
from training.checkpoint.checkpoint import Checkpoint
from training.errors import CheckpointError
from training.networks.models import Network, fold_batch_norm, network_from_state
from training.spec.architectures import NetworkSpec


def checkpoint_message(
    checkpoint: Checkpoint, number_format: NumberFormat, *, canonical: bool = True
) -> NetworkMessage:
    """A checkpoint's network as it is described: folded, every number in R_b, made shorter.

    Args:
        checkpoint: The network, and how its images were normalised and permuted.
        number_format: R_b.
        canonical: Whether the function-preserving steps of `analysis.codes.canonical_form` are
            taken.

    Raises:
        CheckpointError: The checkpoint does not say what its inputs were put through.
        ValueError: The network holds a value that is not finite.
    """
    if checkpoint.normalization is None:
        raise CheckpointError(
            "the checkpoint does not say how its images were normalised, and without that the "
            "classifier is not defined; use a checkpoint that mdl train wrote"
        )
    stored = network_from_state(checkpoint.network, checkpoint.state)
    described = quantize_network(fold_batch_norm(stored), number_format)
    record = checkpoint.data
    message = NetworkMessage(
        spec=checkpoint.network,
        number_format=number_format,
        state=described.state_dict(),
        normalization=checkpoint.normalization,
        permutation_seed=None if record is None else record.config["permute_pixels"],
    )
    return canonical_form(message) if canonical else message


def is_external_codeword(codeword: Codeword) -> bool:
    """Whether a codeword holds tensors of a network whose code is external."""
    return not isinstance(codeword.message.spec, NetworkSpec)


def message_network(message: NetworkMessage) -> Network:
    """The network that a message stands for, folded, in float32, in eval mode.

    Raises:
        ValueError: The message is of external tensors, whose network belongs to external code.
    """
    if not isinstance(message.spec, NetworkSpec):
        raise ValueError("this description holds tensors of a network whose code is not mdl's")
    return network_from_state(message.spec, message.state).eval()


def message_checkpoint(message: NetworkMessage) -> Checkpoint:
    """A checkpoint of the network that a message stands for.

    Raises:
        ValueError: The message is of external tensors.
    """
    network = message_network(message)
    return Checkpoint(
        network=network.spec, state=network.state_dict(), normalization=message.normalization
    )
