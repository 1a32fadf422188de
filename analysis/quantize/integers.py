"""Tensors of integers: described by the integers themselves, in as few bits as hold all of them.

Quantized and packed weights, masks and indices are no numbers of R_b. Each type of them in a
network is a set of its own, the integers of b bits, where b is read off the network and stands in
its description. A packed tensor holds several numbers of b bits in each stored integer (the 4-bit
weights of GPTQ: eight in an int32); they are taken apart along a new last dimension, low bits
first.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from analysis.quantize.nonzeros import Counts, TensorCounts

Ints = NDArray[np.int64]

INTEGER_TYPES = ("int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "bool")
"""Types of integers that a file stores; their order is part of the code's format."""

MAX_BITS = 32
MAX_FIELDS = 64
_FEW = 1 << 16  # values that are counted by a histogram
_HOLDERS = (
    (torch.uint8, 0, 1 << 8),
    (torch.int8, -(1 << 7), 1 << 7),
    (torch.int16, -(1 << 15), 1 << 15),
    (torch.int32, -(1 << 31), 1 << 31),
    (torch.int64, -(1 << 63), 1 << 63),
)


@dataclass(frozen=True, kw_only=True)
class IntegerFormat:
    """The integers of b bits, of one stored type.

    Attributes:
        stored: The type that a file stores them in, of `INTEGER_TYPES`.
        bits_per_weight: b, in 1..32.
        num_fields: Numbers in one stored integer; 1 if it is not packed.

    Raises:
        ValueError: Fields that the type does not have.
    """

    stored: str
    bits_per_weight: int
    num_fields: int = 1

    def __post_init__(self) -> None:
        if self.stored not in INTEGER_TYPES:
            raise ValueError(
                f"stored must be one of {', '.join(INTEGER_TYPES)}, not {self.stored!r}"
            )
        if not 1 <= self.bits_per_weight <= MAX_BITS:
            raise ValueError(
                f"bits_per_weight must lie in 1..{MAX_BITS}, not {self.bits_per_weight}"
            )
        size = 8 * self.stored_dtype.itemsize
        if self.num_fields == 1:
            if self.bits_per_weight > size:
                raise ValueError(f"{self.stored} has no {self.bits_per_weight} bits")
        elif (
            not 1 < self.num_fields <= MAX_FIELDS or self.num_fields * self.bits_per_weight != size
        ):
            raise ValueError(
                f"{self.stored} has no {self.num_fields} fields of {self.bits_per_weight} bits"
            )

    @property
    def name(self) -> str:
        """In words: "int8", or "4-bit integers in int32"."""
        if self.num_fields > 1:
            return f"{self.bits_per_weight}-bit integers in {self.stored}"
        return self.stored

    @property
    def is_signed(self) -> bool:
        """Whether the highest bit is a sign; packed numbers have none."""
        return self.num_fields == 1 and self.stored.startswith("int")

    @property
    def smallest(self) -> int:
        """The smallest integer."""
        return -(1 << (self.bits_per_weight - 1)) if self.is_signed else 0

    @property
    def dtype(self) -> torch.dtype:
        """The type that the numbers are held in."""
        end = self.smallest + (1 << self.bits_per_weight)
        return next(held for held, low, high in _HOLDERS if low <= self.smallest and end <= high)

    @property
    def _held(self) -> np.dtype[Any]:
        return np.dtype(str(self.dtype).removeprefix("torch."))

    @property
    def stored_dtype(self) -> torch.dtype:
        """Its type in torch."""
        found: torch.dtype = getattr(torch, self.stored)
        return found

    def patterns(self, values: Tensor) -> Ints:
        """Bit patterns (two's complement), flat, of integers of the set.

        Raises:
            ValueError: One is not in the set.
        """
        found = values.detach().cpu().reshape(-1).numpy().astype(np.int64)
        if len(found) and (
            found.min() < self.smallest
            or found.max() >= self.smallest + (1 << self.bits_per_weight)
        ):
            raise ValueError(f"values must be integers of {self.bits_per_weight} bits")
        return found & ((1 << self.bits_per_weight) - 1)

    def values(self, patterns: Ints) -> Tensor:
        """The integers that patterns stand for."""
        return torch.from_numpy(self._extend(patterns)).to(self.dtype)

    def unpack(self, stored: NDArray[np.generic]) -> Tensor:
        """Numbers as they are coded, of stored integers; packed ones get a last dimension."""
        if self.stored == "bool":
            return torch.from_numpy(np.asarray(stored != 0, np.uint8))
        if self.num_fields == 1:
            return torch.from_numpy(np.asarray(stored, self._held))
        words = np.ascontiguousarray(stored).view(f"<u{stored.dtype.itemsize}")[..., None]
        shifts = np.arange(self.num_fields, dtype=words.dtype) * words.dtype.type(
            self.bits_per_weight
        )
        fields = words >> shifts & words.dtype.type((1 << self.bits_per_weight) - 1)
        return torch.from_numpy(fields.astype(self._held))

    def pack(self, values: Tensor) -> Tensor:
        """The stored tensor of numbers as they are coded: the inverse of `unpack`."""
        if self.num_fields == 1:
            return values.to(self.stored_dtype)
        fields = values.cpu().numpy().astype(np.uint64)
        shifts = np.arange(self.num_fields, dtype=np.uint64) * np.uint64(self.bits_per_weight)
        words = np.bitwise_or.reduce(fields << shifts, axis=-1)
        size = self.stored_dtype.itemsize
        kept = np.asarray(words.astype(f"<u{size}"))
        return torch.from_numpy(kept).view(self.stored_dtype)

    def _extend(self, patterns: Ints) -> Ints:
        if not self.is_signed:
            return patterns
        top = 1 << (self.bits_per_weight - 1)
        return (patterns ^ top) - top


def fewest_bits(smallest: int, largest: int, *, signed: bool) -> int:
    """Fewest bits that hold integers from `smallest` to `largest`.

    >>> fewest_bits(0, 255, signed=False), fewest_bits(-128, 127, signed=True)
    (8, 8)
    """
    if not signed:
        return max(largest.bit_length(), 1)
    return max(largest, -smallest - 1).bit_length() + 1


@dataclass(frozen=True, kw_only=True)
class IntegerCounts:
    """What a pass over one tensor of integers found.

    Attributes:
        smallest: The smallest integer, of the fields if it is packed.
        largest: The largest.
        num_nonzeros: Those that are not 0.
        distinct: Distinct integers other than 0, ascending.
    """

    smallest: int
    largest: int
    num_nonzeros: int
    distinct: Ints


def count_integers(pieces: Iterator[Tensor]) -> IntegerCounts:
    """Count integers piece by piece.

    >>> found = count_integers(iter([torch.tensor([0, 3]), torch.tensor([3, -1])]))
    >>> found.smallest, found.largest, found.num_nonzeros, found.distinct.tolist()
    (-1, 3, 3, [-1, 3])
    """
    smallest = largest = num_nonzeros = 0
    distinct = np.zeros(0, dtype=np.int64)
    has_any = False
    for piece in pieces:
        if not piece.numel():
            continue
        numbers = piece.reshape(-1).numpy()
        low, high = int(numbers.min()), int(numbers.max())
        smallest, largest = (min(smallest, low), max(largest, high)) if has_any else (low, high)
        has_any = True
        num_nonzeros += int(np.count_nonzero(numbers))
        if high - low < _FEW:
            values = np.flatnonzero(np.bincount(numbers.astype(np.int64) - low)) + low
        else:
            values = np.unique(numbers).astype(np.int64)
        distinct = np.union1d(distinct, values[values != 0])
    return IntegerCounts(
        smallest=smallest, largest=largest, num_nonzeros=num_nonzeros, distinct=distinct
    )


def tensor_counts(name: str, shape: tuple[int, ...], found: IntegerCounts) -> TensorCounts:
    """The row of a table of counts."""
    return TensorCounts(
        name=name,
        shape=shape,
        num_weights=int(np.prod(shape, dtype=np.int64)),
        num_nonzeros=found.num_nonzeros,
        num_distinct_nonzero=len(found.distinct),
    )


def total_counts(rows: Sequence[TensorCounts], found: Sequence[IntegerCounts]) -> Counts:
    """All tensors of one format together."""
    union = np.unique(np.concatenate([each.distinct for each in found]))
    return Counts(
        num_weights=sum(row.num_weights for row in rows),
        num_nonzeros=sum(row.num_nonzeros for row in rows),
        num_distinct_nonzero=len(union),
    )
