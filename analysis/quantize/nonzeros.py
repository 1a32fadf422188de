"""Counts of weights, nonzeros and distinct values, exact for any size.

Every count is an integer (counts in float32 are wrong above 2^24). Numbers of up to 16 bits are
counted by a histogram of their bit patterns; wider ones are sorted in pieces of the range of
patterns, so that the memory needed stays a fraction of the network's. +0 and -0 are one value.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from analysis.quantize.formats import NumberFormat, chunks
from training.spec.architectures import KINDS, NetworkSpec

_PATTERNS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
_PIECE = 1 << 26  # numbers sorted at a time
_BLOCK = 1 << 18  # numbers counted at a time, so that they stay in the caches
_HIGH_BITS = 16


@dataclass(frozen=True, kw_only=True)
class Counts:
    """Counts over one tensor, or over several together.

    Attributes:
        num_weights: n, all numbers.
        num_nonzeros: ‖w‖₀.
        num_distinct_nonzero: Distinct values other than zero.
    """

    num_weights: int
    num_nonzeros: int
    num_distinct_nonzero: int

    @property
    def num_distinct(self) -> int:
        """k: distinct values, zero among them if it occurs."""
        return self.num_distinct_nonzero + int(self.num_nonzeros < self.num_weights)

    @property
    def density(self) -> float:
        """‖w‖₀ / n; 0 where there are no weights."""
        return self.num_nonzeros / self.num_weights if self.num_weights else 0.0

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {
            "num_weights": self.num_weights,
            "num_nonzeros": self.num_nonzeros,
            "density": self.density,
            "num_distinct": self.num_distinct,
            "num_distinct_nonzero": self.num_distinct_nonzero,
        }


@dataclass(frozen=True, kw_only=True)
class TensorCounts(Counts):
    """Counts of one tensor.

    Attributes:
        name: Its name in the state dict.
        shape: Its shape.
    """

    name: str
    shape: tuple[int, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {"name": self.name, "shape": list(self.shape), **super().to_dict()}


@dataclass(frozen=True, kw_only=True)
class NetworkCounts:
    """Counts of every tensor and of all of them together.

    Attributes:
        tensors: One entry a tensor, in the order given.
        total: All together; its distinct values are those of the union.
    """

    tensors: tuple[TensorCounts, ...]
    total: Counts

    def find(self, name: str) -> TensorCounts:
        """The counts of the tensor of that name.

        Raises:
            ValueError: There is no such tensor.
        """
        for counts in self.tensors:
            if counts.name == name:
                return counts
        raise ValueError(f"there is no tensor {name!r}")

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {
            "tensors": [counts.to_dict() for counts in self.tensors],
            "total": self.total.to_dict(),
        }


def count_tensors(
    tensors: Mapping[str, Tensor], number_format: NumberFormat | None = None
) -> NetworkCounts:
    """Count weights, nonzeros and distinct values of floating-point tensors.

    Tensors of other types (`num_batches_tracked`) are no part of the function and are left out.
    Tensors of several types are compared in a type that holds all of them.

    Args:
        tensors: By name; any shapes.
        number_format: A set that all values belong to (after `quantize_network`), which makes the
            count fast; None reads them as they are.

    >>> counts = count_tensors({"a": torch.tensor([0.0, -0.0, 1.5, 1.5])})
    >>> counts.total.num_nonzeros, counts.total.num_distinct
    (2, 2)
    """
    kept = {name: each.detach() for name, each in tensors.items() if each.is_floating_point()}
    if not kept:
        raise ValueError("tensors must hold at least one floating-point tensor")
    if number_format is None:
        dtype = reduce(torch.promote_types, (tensor.dtype for tensor in kept.values()))
        pattern = _PATTERNS[dtype.itemsize]
    else:
        dtype, pattern = number_format.dtype, number_format.pattern
    sources = [_PatternSource(tensor.contiguous(), dtype, pattern) for tensor in kept.values()]
    nonzeros, distinct, union = (_count_narrow if dtype.itemsize <= 2 else _count_wide)(sources)
    rows = tuple(
        TensorCounts(
            name=name,
            shape=tuple(tensor.shape),
            num_weights=tensor.numel(),
            num_nonzeros=nonzeros[index],
            num_distinct_nonzero=distinct[index],
        )
        for index, (name, tensor) in enumerate(kept.items())
    )
    total = Counts(
        num_weights=sum(row.num_weights for row in rows),
        num_nonzeros=sum(nonzeros),
        num_distinct_nonzero=union,
    )
    return NetworkCounts(tensors=rows, total=total)


def twin_weight_counts(spec: NetworkSpec) -> dict[str, dict[str, int]]:
    """Weights of each layer of the conv and local twins, by kind and layer name; {} without twins.

    These are the dashed lines of Figure 3: what a layer's nonzeros are to be compared with.

    >>> spec = NetworkSpec(name="s-fc", image_size=32, num_classes=10, base_channels=1)
    >>> twin_weight_counts(spec)["conv"]["conv1"], twin_weight_counts(spec)["local"]["conv1"]
    (243, 62208)
    """
    if spec.family is None:
        return {}
    return {
        kind: {layer.name: layer.num_weights for layer in spec.twin(kind).layers}
        for kind in KINDS
        if kind != "fc"
    }


@dataclass(frozen=True)
class _PatternSource:
    """The bit patterns of a tensor's numbers, read piece by piece; zero has pattern 0."""

    tensor: Tensor
    dtype: torch.dtype
    pattern: torch.dtype

    @property
    def num_bits(self) -> int:
        return 8 * self.dtype.itemsize

    def read(self) -> Iterator[NDArray[np.unsignedinteger[Any]]]:
        unsigned = np.dtype(f"u{self.dtype.itemsize}")
        for chunk in chunks(self.tensor):
            codes = chunk.to(self.dtype).view(self.pattern).cpu().numpy().view(unsigned)
            for start in range(0, len(codes), _BLOCK):
                yield codes[start : start + _BLOCK]

    def read_nonzero(self) -> Iterator[NDArray[np.unsignedinteger[Any]]]:
        """Patterns of the nonzeros, which are those with more than a sign bit."""
        magnitude = (1 << (self.num_bits - 1)) - 1
        for codes in self.read():
            yield codes[(codes & codes.dtype.type(magnitude)) != 0]


def _count_narrow(sources: Sequence[_PatternSource]) -> tuple[list[int], list[int], int]:
    """Nonzeros and distinct nonzeros by tensor, and distinct nonzeros of all; up to 16 bits."""
    nonzeros, distinct = [], []
    seen = np.zeros(1 << sources[0].num_bits, dtype=bool)
    for source in sources:
        histogram = np.zeros(len(seen), dtype=np.int64)
        for codes in source.read():
            histogram += np.bincount(codes, minlength=len(seen))
        histogram[[0, len(seen) // 2]] = 0  # +0 and -0
        nonzeros.append(int(histogram.sum()))
        distinct.append(int(np.count_nonzero(histogram)))
        seen |= histogram > 0
    return nonzeros, distinct, int(np.count_nonzero(seen))


def _count_wide(sources: Sequence[_PatternSource]) -> tuple[list[int], list[int], int]:
    """The same for wider numbers: each piece of the range of patterns is sorted by itself."""
    shift = sources[0].num_bits - _HIGH_BITS
    histogram = np.zeros(1 << _HIGH_BITS, dtype=np.int64)
    nonzeros = []
    for source in sources:
        own = np.zeros_like(histogram)
        for codes in source.read_nonzero():
            high_bits = (codes >> codes.dtype.type(shift)).astype(np.intp)
            own += np.bincount(high_bits, minlength=len(own))
        nonzeros.append(int(own.sum()))
        histogram += own
    distinct = [0] * len(sources)
    union = 0
    for low, high in _pieces(histogram):
        found = []
        for index, source in enumerate(sources):
            parts = source.read_nonzero()
            selected = [_between(codes, low << shift, high << shift) for codes in parts]
            found.append(_sorted_distinct(selected))
            distinct[index] += len(found[-1])
        union += len(_sorted_distinct(found))
    return nonzeros, distinct, union


def _pieces(histogram: NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    """Ranges [low, high) of high bits, each with at most `_PIECE` numbers or one bin wide."""
    low, held = 0, 0
    for high, count in enumerate(histogram.tolist()):
        if held and held + count > _PIECE:
            yield low, high
            low, held = high, 0
        held += count
    if held:
        yield low, len(histogram)


def _between(
    codes: NDArray[np.unsignedinteger[Any]], low: int, high: int
) -> NDArray[np.unsignedinteger[Any]]:
    last = codes.dtype.type(high - 1)
    return codes[(codes >= codes.dtype.type(low)) & (codes <= last)]


def _sorted_distinct(
    parts: Sequence[NDArray[np.unsignedinteger[Any]]],
) -> NDArray[np.unsignedinteger[Any]]:
    if not parts:
        return np.empty(0, dtype=np.uint32)
    joined = np.concatenate(parts)
    joined.sort()
    keep = np.ones(len(joined), dtype=bool)
    np.not_equal(joined[1:], joined[:-1], out=keep[1:])
    return joined[keep]
