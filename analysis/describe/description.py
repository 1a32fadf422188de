"""A network as its descriptions have it: BatchNorm folded, every number in R_b, counted."""

from dataclasses import dataclass

from analysis.bounds.lengths import (
    DescriptionLength,
    enumerative_length,
    plain_length,
    theorem_2_length,
)
from analysis.quantize.formats import NumberFormat, quantize_network
from analysis.quantize.nonzeros import NetworkCounts, count_tensors
from training.networks.models import Network, fold_batch_norm


@dataclass(frozen=True, kw_only=True)
class DescribedNetwork:
    """A network as a description has it: folded, every tensor in R_b.

    Attributes:
        network: In float32, in eval mode.
        number_format: R_b.
        counts: Of every tensor that the function depends on.
        lengths: Of the descriptions, by name: "plain", "theorem-2" and "enumerative".
    """

    network: Network
    number_format: NumberFormat
    counts: NetworkCounts
    lengths: dict[str, DescriptionLength]


def describe_network(network: Network, number_format: NumberFormat) -> DescribedNetwork:
    """Fold, round, count and measure a network: all of the bound but the data.

    Args:
        network: A network, folded or not, on the CPU.
        number_format: R_b.

    Raises:
        ValueError: The network holds a value that is not finite.
    """
    folded = fold_batch_norm(network)
    described = quantize_network(folded, number_format)
    counts = count_tensors(described.state_dict(), number_format)
    return DescribedNetwork(
        network=described,
        number_format=number_format,
        counts=counts,
        lengths=measure_lengths(counts, number_format),
    )


def measure_lengths(
    counts: NetworkCounts, number_format: NumberFormat
) -> dict[str, DescriptionLength]:
    """The lengths of all descriptions that need counts alone, by name.

    Args:
        counts: Of every tensor that the function depends on, rounded.
        number_format: R_b.
    """
    total, bits = counts.total, number_format.bits_per_weight
    lengths = (
        plain_length(total.num_weights, bits),
        theorem_2_length(total.num_weights, total.num_nonzeros, total.num_distinct, bits),
        enumerative_length(
            [(each.num_weights, each.num_nonzeros) for each in counts.tensors],
            total.num_distinct_nonzero,
            bits,
        ),
    )
    return {length.name: length for length in lengths}
