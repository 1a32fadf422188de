"""From a checkpoint to the message that its description stands for, and back."""

from analysis.codes.bit_file import decoded_codeword
from analysis.codes.canonical_form import MAX_TRIED, canonical_form
from analysis.codes.message import NetworkMessage
from analysis.codes.network_code import Codeword
from analysis.quantize.formats import NumberFormat, quantize_network
from training.checkpoint.checkpoint import Checkpoint
from training.networks.models import Network, fold_batch_norm, network_from_state
from training.spec.architectures import NetworkSpec
from training.system.memory import check_memory


def description_bytes(spec: NetworkSpec, most_nonzeros: int | None = None) -> int:
    """Bytes of memory that it takes to put a network in bits and decode them, beside its tensors.

    Folded, rounded and canonical copies of all tensors, indices of the largest of them, and the
    columns, patterns and symbols of its nonzeros.

    Args:
        spec: The network.
        most_nonzeros: Nonzeros of the layer with the most of them; None if unknown.
    """
    largest = max(layer.num_weights for layer in spec.layers)
    nonzeros = largest if most_nonzeros is None else most_nonzeros
    making = 12 * spec.num_weights + 10 * (largest + nonzeros)
    coding = 8 * spec.num_weights + 40 * nonzeros
    return making + coding if spec.num_weights <= MAX_TRIED else max(making, coding)


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
        OutOfMemoryError: The memory that is available does not suffice.
        ValueError: The network holds a value that is not finite.
    """
    inputs = checkpoint.inputs
    spec = checkpoint.network
    needed = description_bytes(spec, max(checkpoint.num_nonzeros.values(), default=None))
    check_memory(needed, f"the description of {spec.name} with {spec.num_weights:,} weights")
    stored = network_from_state(spec, checkpoint.state)
    described = quantize_network(fold_batch_norm(stored), number_format)
    message = NetworkMessage(
        spec=spec, number_format=number_format, state=described.state_dict(), inputs=inputs
    )
    return canonical_form(message) if canonical else message


def described_codeword(
    checkpoint: Checkpoint,
    number_format: NumberFormat,
    code: str = "auto",
    *,
    canonical: bool = True,
) -> Codeword:
    """A checkpoint's network in bits, as the decoder gives it back.

    Args:
        checkpoint: The network, and how its images were normalised and permuted.
        number_format: R_b.
        code: As `analysis.codes.network_code.encode_network` has it.
        canonical: As `checkpoint_message` has it.

    Raises:
        CheckpointError: The checkpoint does not say what its inputs were put through.
        ValueError: The network holds a value that is not finite, or an unknown code.
    """
    return decoded_codeword(
        checkpoint_message(checkpoint, number_format, canonical=canonical), code
    )


def message_network(message: NetworkMessage) -> Network:
    """The network that a message stands for, folded, in float32, in eval mode.

    Raises:
        ValueError: The message is of external tensors, whose network belongs to external code.
    """
    return network_from_state(message.network, message.state).eval()


def message_checkpoint(message: NetworkMessage) -> Checkpoint:
    """A checkpoint of the network that a message stands for.

    Raises:
        ValueError: The message is of external tensors.
    """
    network = message_network(message)
    return Checkpoint(
        network=network.spec,
        state=network.state_dict(),
        normalization=message.known_inputs.normalization,
        config={"data": {"permute_pixels": message.known_inputs.permutation_seed}},
    )
