"""What the numbers of a tensor are like: one pass over their bits, on one thread.

A checkpoint is checked and counted beside the training that it belongs to. So nothing here starts
torch's threads, and every piece of work is so short that the interpreter is soon free again.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

_BITS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
_INFINITY = {
    torch.float16: 0x7C00,
    torch.bfloat16: 0x7F80,
    torch.float32: 0x7F80_0000,
    torch.float64: 0x7FF0_0000_0000_0000,
}
_CHUNK = 2**16  # Entries that stay in the cache from one look to the next.


@dataclass(frozen=True, kw_only=True)
class Census:
    """Counts of the entries of one floating-point tensor.

    Attributes:
        num_nonzeros: Entries that are not ±0.
        num_stored: Entries that are not +0, which are those with a bit that is set.
        is_finite: Whether there is no NaN and no infinity.
    """

    num_nonzeros: int
    num_stored: int
    is_finite: bool


def take_census(tensor: Tensor) -> Census:
    """Look at every entry of a tensor of float64, float32, float16 or bfloat16.

    The bits of |x|, as an integer, are 0 for ±0 and reach those of ∞ for NaN and ±∞ alone.

    >>> take_census(torch.tensor([0.0, -0.0, 1e-30, 2.0]))
    Census(num_nonzeros=2, num_stored=3, is_finite=True)
    """
    bits = view_bits(tensor.detach().cpu().contiguous()).reshape(-1)
    magnitude = np.iinfo(bits.dtype).max  # all bits but the sign
    sizes = np.empty(min(_CHUNK, bits.size), bits.dtype)
    num_nonzeros, num_stored, largest = 0, 0, 0
    for start in range(0, bits.size, _CHUNK):
        chunk = bits[start : start + _CHUNK]
        size = np.bitwise_and(chunk, magnitude, out=sizes[: chunk.size])
        num_nonzeros += int(np.count_nonzero(size != 0))
        num_stored += int(np.count_nonzero(chunk != 0))
        largest = max(largest, int(size.max()))
    return Census(
        num_nonzeros=num_nonzeros,
        num_stored=num_stored,
        is_finite=largest < _INFINITY[tensor.dtype],
    )


def view_bits(tensor: Tensor) -> NDArray[Any]:
    """A contiguous tensor's memory as integers, in the tensor's shape."""
    bits: NDArray[Any] = tensor.view(_BITS[tensor.element_size()]).numpy()
    return bits
