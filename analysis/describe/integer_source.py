"""Tensors of integers in an external network: found, taken apart where they are packed, counted."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from math import prod

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from analysis.quantize.integers import (
    MAX_BITS,
    IntegerCounts,
    IntegerFormat,
    count_integers,
    fewest_bits,
)
from training.errors import ConfigError
from training.system.text import shorten
from training.tensor_files.stored_tensor import StoredTensor

_PIECE = 1 << 20


@dataclass(frozen=True, kw_only=True, eq=False)
class IntegerTensor:
    """Integers in a file, or in memory.

    Attributes:
        stored: The tensor, or an array of the stored type.
        type_name: Its type, of `INTEGER_TYPES`.
        num_fields: Numbers in one stored integer.
    """

    stored: StoredTensor | NDArray[np.generic]
    type_name: str
    num_fields: int = 1

    @property
    def shape(self) -> tuple[int, ...]:
        """As it is coded: packed numbers have a dimension of their own, the last one."""
        fields = (self.num_fields,) if self.num_fields > 1 else ()
        return (*self.stored.shape, *fields)

    def count(self) -> IntegerCounts:
        """One pass over its numbers."""
        return count_integers(self._pieces())

    def _pieces(self) -> Iterator[Tensor]:
        size = prod(self.stored.shape)
        for first in range(0, size, _PIECE):
            if isinstance(self.stored, StoredTensor):
                piece = self.stored.read_piece(first, min(_PIECE, size - first))
            else:
                piece = self.stored.reshape(-1)[first : first + _PIECE]
            if self.num_fields == 1:
                kept = piece != 0 if self.type_name == "bool" else piece
                yield torch.from_numpy(kept.astype(np.int64))
            else:
                bits = 8 * piece.itemsize // self.num_fields
                yield _format(self, bits).unpack(piece)


@dataclass(frozen=True, kw_only=True, eq=False)
class IntegerSource:
    """Integers that are coded.

    Attributes:
        tensor: Where they are.
        number_format: The set that they are coded in.
        counts: Of them.
    """

    tensor: IntegerTensor
    number_format: IntegerFormat
    counts: IntegerCounts

    @property
    def shape(self) -> tuple[int, ...]:
        """As it is coded."""
        return self.tensor.shape

    def read(self) -> Tensor:
        """The numbers as they are coded."""
        stored = self.tensor.stored
        values = stored.read() if isinstance(stored, StoredTensor) else stored
        return self.number_format.unpack(values)


def make_sources(tensors: Mapping[str, IntegerTensor]) -> dict[str, IntegerSource]:
    """Count the tensors, and give those of one type the fewest bits that hold all of them.

    Raises:
        ConfigError: Integers of more than 32 bits.
    """
    counts = {name: tensor.count() for name, tensor in tensors.items()}
    widest: dict[tuple[str, int], int] = {}
    for name, tensor in tensors.items():
        found, kind = counts[name], (tensor.type_name, tensor.num_fields)
        if tensor.num_fields > 1:
            bits = 8 * np.dtype(tensor.type_name).itemsize // tensor.num_fields
        else:
            is_signed = tensor.type_name.startswith("int")
            bits = fewest_bits(found.smallest, found.largest, signed=is_signed)
            if bits > MAX_BITS or (found.smallest < 0 and not is_signed):
                raise ConfigError.naming(
                    "{0} holds integers of more than {1} bits, which are not coded; give {fixed} "
                    "{0} if your code sets it without looking at data",
                    shorten(name),
                    MAX_BITS,
                )
        widest[kind] = max(bits, widest.get(kind, 1))
    return {
        name: IntegerSource(
            tensor=tensor,
            number_format=_format(tensor, widest[tensor.type_name, tensor.num_fields]),
            counts=counts[name],
        )
        for name, tensor in tensors.items()
    }


def find_packed(tensors: Mapping[str, StoredTensor]) -> dict[str, int]:
    """Names of packed tensors to the numbers in each of their integers.

    Known are GPTQ and AWQ (qweight, qzeros, scales), the 4-bit weights of bitsandbytes, and
    compressed-tensors (weight_packed, weight_shape). Others are integers as they are.
    """
    packed: dict[str, int] = {}
    for name in tensors:
        for ending, find in _PACKED.items():
            if name.endswith(ending):
                packed |= find(tensors, name.removesuffix(ending))
    return packed


def _find_gptq(tensors: Mapping[str, StoredTensor], prefix: str) -> dict[str, int]:
    words = (f"{prefix}qweight", f"{prefix}qzeros")
    scales = tensors.get(f"{prefix}scales")
    are_words = all(name in tensors and tensors[name].number_type.name == "int32" for name in words)
    if not are_words or scales is None or not scales.shape or not tensors[words[1]].shape:
        return {}
    bits, rest = divmod(32 * tensors[words[1]].shape[-1], max(scales.shape[-1], 1))
    fits = not rest and bits in (1, 2, 4, 8, 16)
    return dict.fromkeys(words, 32 // bits) if fits else {}


def _find_bitsandbytes(tensors: Mapping[str, StoredTensor], name: str) -> dict[str, int]:
    tensor = tensors.get(name)
    return {name: 2} if tensor is not None and tensor.number_type.name == "uint8" else {}


def _find_compressed(tensors: Mapping[str, StoredTensor], prefix: str) -> dict[str, int]:
    name = f"{prefix}weight_packed"
    packed, shape = tensors[name], tensors.get(f"{prefix}weight_shape")
    is_known = packed.number_type.name == "int32" and len(packed.shape) == 2
    if shape is None or not is_known or shape.shape != (2,) or shape.number_type.name != "int64":
        return {}
    columns = int(shape.read()[1])
    bits = [each for each in (1, 2, 4, 8) if -(-columns // (32 // each)) == packed.shape[1]]
    return {name: 32 // bits[0]} if len(bits) == 1 else {}


_PACKED: dict[str, Callable[[Mapping[str, StoredTensor], str], dict[str, int]]] = {
    "qweight": _find_gptq,
    ".quant_state.bitsandbytes__nf4": _find_bitsandbytes,
    ".quant_state.bitsandbytes__fp4": _find_bitsandbytes,
    "weight_packed": _find_compressed,
}


def _format(tensor: IntegerTensor, bits: int) -> IntegerFormat:
    return IntegerFormat(
        stored=tensor.type_name, bits_per_weight=bits, num_fields=tensor.num_fields
    )
