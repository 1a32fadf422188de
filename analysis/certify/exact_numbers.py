"""How the stated evaluation rounds: weights to 20 bits per unit, values to q bits per image."""

import torch
from torch import Tensor

WEIGHT_BITS = 20
FLOAT_BITS = 53
_MAX_VALUE_BITS = 50
_MAX_EXPONENT = 400


def round_to_bits(values: Tensor, num_bits: int) -> Tensor:
    """Values of each image rounded to multiples of 2^(F - num_bits), 2^F above all of them.

    Args:
        values: float64 (N, ...).
        num_bits: In 1..50.

    Returns:
        A new tensor; all NaN for an image that holds a value of 2^400 or more, or none.

    >>> round_to_bits(torch.tensor([[1.0, 0.3, -0.2]], dtype=torch.float64), 3)
    tensor([[ 1.0000,  0.2500, -0.2500]], dtype=torch.float64)
    """
    lift = find_lift(values, num_bits).view(-1, *(1,) * (values.dim() - 1))
    return (values + lift).sub_(lift)


def find_lift(values: Tensor, num_bits: int) -> Tensor:
    """What rounds each image's values as `round_to_bits` when it is added and taken off again.

    Returns:
        float64 (N,): 1.5 · 2^52 units, above which no bits below the unit are left, so that
        IEEE's own rounding is to a multiple; NaN for an image that has no rounded values.
    """
    units = values.flatten(1)
    # Where the batch lies last in memory, torch's aminmax takes several times as long.
    largest = torch.maximum(-units.amin(dim=1), units.amax(dim=1))
    exponent = _exponent_above(largest).clamp(-_MAX_EXPONENT, _MAX_EXPONENT + 1)
    lift = 1.5 * _power_of_two(exponent - num_bits + FLOAT_BITS - 1)
    return torch.where(largest < 2.0**_MAX_EXPONENT, lift, float("nan"))


def round_weights(weight: Tensor) -> int:
    """Round the weights of each unit, in place, to 20 bits below the largest of them.

    Args:
        weight: float64; a row, along the last dimension, holds all weights of one unit.

    Returns:
        q: with values of at most q bits every partial sum of products is exact.

    Raises:
        ValueError: More than 2^32 weights per unit.

    >>> weight = torch.tensor([[1.5, 2.0**-19, 2.0**-21]], dtype=torch.float64)
    >>> round_weights(weight), weight[0, 1:].tolist() == [2.0**-19, 0.0]
    (33, True)
    """
    low, high = torch.aminmax(weight, dim=-1, keepdim=True)
    unit = _weight_unit(torch.maximum(-low, high))
    weight.div_(unit).round_()
    totals = torch.linalg.vector_norm(weight, ord=1, dim=-1)
    weight.mul_(unit)
    return _bits_beside(totals)


def round_entries(row_starts: Tensor, values: Tensor) -> int:
    """`round_weights` of units whose zeros are left out.

    Args:
        row_starts: int64 (units + 1): unit i has values row_starts[i], ..., row_starts[i + 1] - 1.
        values: float64, of all units; rounded in place.

    >>> values = torch.tensor([1.5, 2.0**-19, 2.0**-21], dtype=torch.float64)
    >>> round_entries(torch.tensor([0, 0, 3]), values), values.tolist()[1:] == [2.0**-19, 0.0]
    (33, True)
    """
    sizes = row_starts.diff()
    unit = _weight_unit(_reduce(values, row_starts, "max"))
    unit = unit.repeat_interleave(sizes, output_size=len(values))
    values.div_(unit).round_()
    totals = _reduce(values, row_starts, "sum")
    values.mul_(unit)
    return _bits_beside(totals)


def value_bits(total: int) -> int:
    """q: values of q bits, times integers whose sum is `total`, add up to at most 2^53."""
    return min(_MAX_VALUE_BITS, FLOAT_BITS - max(0, (total - 1).bit_length()))


def _reduce(values: Tensor, row_starts: Tensor, what: str) -> Tensor:
    """The largest absolute value of each unit or their sum; 0 of none, NaN of NaN."""
    return torch.segment_reduce(values.abs(), what, offsets=row_starts, initial=0.0, unsafe=True)


def _weight_unit(largest: Tensor) -> Tensor:
    """2^(E-20) of units by their largest absolute weights."""
    return _power_of_two(_exponent_above(largest) - WEIGHT_BITS)


def _bits_beside(totals: Tensor) -> int:
    """The q of `value_bits` for units, by their sums of integers: exact in any order."""
    num_bits = value_bits(int(totals.max()))
    if num_bits < 1:
        raise ValueError("a unit must have at most 2^32 weights")
    return num_bits


def _exponent_above(values: Tensor) -> Tensor:
    """The least E with |value| < 2^E, int64; 0 for zero."""
    return torch.frexp(values).exponent.to(torch.int64)


def _power_of_two(exponent: Tensor) -> Tensor:
    """2^exponent, made of its bits: exact on every machine. Exponents in -1022..1023."""
    return ((exponent + 1023) << 52).view(torch.float64)
