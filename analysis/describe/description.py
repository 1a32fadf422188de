"""A network's numbers as its descriptions have them: folded, rounded, counted, and how long.

`describe_file` takes them from a checkpoint of ours in one pass over its file, without loading it:
all of a bound but the errors.
"""

from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from analysis.bounds.bounds import quoted_bits, shortest_length
from analysis.bounds.lengths import (
    DescriptionLength,
    Term,
    enumerative_length,
    plain_length,
    theorem_2_length,
)
from analysis.describe.folded_norms import AFFINE, STATISTICS, fold_vectors, round_to_type
from analysis.quantize.formats import NumberFormat
from analysis.quantize.nonzeros import NetworkCounts, twin_weight_counts
from analysis.quantize.stream_counts import Source, count_sources
from training.checkpoint.lazy import StoredCheckpoint, open_checkpoint
from training.errors import CheckpointError
from training.networks.models import BATCH_NORM_EPS, is_folded
from training.run.progress import OnCount
from training.spec.architectures import NetworkSpec
from training.tensor_files.stored_tensor import StoredTensor

_WIDTH_BITS = 5  # 32 choices of b


@dataclass(frozen=True, kw_only=True)
class Description:
    """The numbers of a network, BatchNorm folded and every one of them in R_b.

    Attributes:
        spec: The network; None if its code is external.
        number_format: R_b.
        counts: Of every tensor that the function depends on.
        parts: Where some tensors hold integers, b and the counts of each set of numbers.
    """

    spec: NetworkSpec | None
    number_format: NumberFormat
    counts: NetworkCounts
    parts: tuple[tuple[int, NetworkCounts], ...] = ()

    @cached_property
    def lengths(self) -> dict[str, DescriptionLength]:
        """Of the paper's descriptions, by name, in the order in which they are shown."""
        if not self.parts:
            return _lengths(self.counts, self.number_format.bits_per_weight)
        return _join([_lengths(counts, bits) for bits, counts in self.parts])

    @property
    def shortest(self) -> DescriptionLength:
        """The description of fewest whole bits."""
        return shortest_length(self.lengths)

    @property
    def shortest_bits(self) -> int:
        """B of the shortest description, with the bits that say which of them it is."""
        return quoted_bits(self.lengths)

    @property
    def twins(self) -> dict[str, dict[str, int]]:
        """Weights by layer of the conv and local twins; {} without twins."""
        return {} if self.spec is None else twin_weight_counts(self.spec)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON; lengths are bits."""
        total = self.counts.total
        return {
            "network": None if self.spec is None else asdict(self.spec),
            "format": self.number_format.name,
            "bits_per_weight": self.number_format.bits_per_weight,
            "num_weights": total.num_weights,
            "num_nonzeros": total.num_nonzeros,
            "num_distinct": total.num_distinct,
            "counts": self.counts.to_dict(),
            "twins": self.twins or None,
            "lengths": {name: length.to_dict() for name, length in self.lengths.items()},
            "description": self.shortest.name,
            "description_bits": self.shortest_bits,
        }


def _lengths(counts: NetworkCounts, bits: int) -> dict[str, DescriptionLength]:
    total = counts.total
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


def _join(parts: list[dict[str, DescriptionLength]]) -> dict[str, DescriptionLength]:
    """Several sets of numbers described one after another, and b of each, which the network chose.

    Theorem 2 is about one set of values, so none of the terms is its map.
    """
    widths = Term(
        name="bits of each set of numbers",
        formula="log 32 each",
        bits=float(_WIDTH_BITS * len(parts)),
        whole_bits=_WIDTH_BITS * len(parts),
    )
    joined = {}
    for name, first in parts[0].items():
        terms = tuple(
            Term(
                name=term.name,
                formula=term.formula,
                bits=sum(part[name].terms[place].bits for part in parts),
                whole_bits=sum(part[name].terms[place].whole_bits for part in parts),
            )
            for place, term in enumerate(first.terms)
        )
        formula = f"log 32 + {first.formula}, summed over the sets of numbers"
        joined[name] = DescriptionLength(name=name, formula=formula, terms=(widths, *terms))
    return joined


def describe_file(
    path: Path, number_format: NumberFormat, *, on_progress: OnCount | None = None
) -> Description:
    """Fold, round, count and measure a checkpoint without loading it.

    Args:
        path: A checkpoint file, or its run folder.
        number_format: R_b.
        on_progress: Called with bytes done and bytes in all, from any thread.

    Raises:
        CheckpointError: The file is not a checkpoint of mdl that can be used.
    """
    with open_checkpoint(path) as checkpoint:
        try:
            sources = _fold(checkpoint)
            found = count_sources(sources, number_format, on_progress=on_progress)
            checkpoint.check_bytes()
            _check_counts(checkpoint, found.stored_nonzeros)
        except ValueError as error:
            checkpoint.check_bytes()  # damage is the reason that comes first
            raise CheckpointError(f"{checkpoint.source.path}: {error}") from error
    return Description(spec=checkpoint.network, number_format=number_format, counts=found.counts)


def _fold(checkpoint: StoredCheckpoint) -> dict[str, Source]:
    """The folded network's tensors in its order: scales and shifts read, weights in the file."""
    spec, tensors = checkpoint.network, checkpoint.tensors
    if is_folded(dict.fromkeys(tensors)):  # type: ignore[arg-type]
        return dict(tensors)
    norms = {f"{layer.name}_norm" for layer in spec.layers if layer.normalized}
    folded: dict[str, Source] = {}
    for norm in norms:
        vectors = {field: tensors[f"{norm}.{field}"] for field in (*AFFINE, *STATISTICS)}
        read = {
            field: vector.read_float64()
            for field, vector in vectors.items()
            if isinstance(vector, StoredTensor)
        }
        kind = vectors["weight"].number_type.name
        for part, values in zip(
            ("scale", "shift"), fold_vectors(read, BATCH_NORM_EPS), strict=True
        ):
            folded[f"{norm}.{part}"] = round_to_type(values, kind)
    sources: dict[str, Source] = {}
    for name, tensor in tensors.items():
        owner, _, field = name.rpartition(".")
        if owner not in norms:
            sources[name] = tensor
        elif field == "weight":
            sources |= {each: folded[each] for each in (f"{owner}.scale", f"{owner}.shift")}
    return sources


def _check_counts(checkpoint: StoredCheckpoint, stored_nonzeros: dict[str, int]) -> None:
    for name, count in checkpoint.num_nonzeros.items():
        found = stored_nonzeros[f"{name}.weight"]
        if found != count:
            raise ValueError(
                f"{name}.weight has {found} nonzeros, not the {count} it was saved with; the file "
                "is damaged, copy it again"
            )
