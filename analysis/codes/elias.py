"""Elias's δ code: integers >= 1 of any size, prefix-free, with Kraft sum 1.

A number of N bits is written as the γ code of N and then its N - 1 bits after the first one; the
γ code of N is as many zeros as N has bits after its first one, and then N.
"""

from collections.abc import Callable

_MAX_LENGTH_BITS = 6
MAX_VALUE = (1 << ((1 << (_MAX_LENGTH_BITS + 1)) - 1)) - 1
"""No number of a description is larger; longer runs of zeros are refused when read."""


def delta_bits(value: int) -> list[int]:
    """The codeword of `value` >= 1.

    >>> ["".join(map(str, delta_bits(value))) for value in (1, 2, 3, 4, 17)]
    ['1', '0100', '0101', '01100', '001010001']

    Raises:
        ValueError: A value below 1 or above `MAX_VALUE`.
    """
    if not 1 <= value <= MAX_VALUE:
        raise ValueError(f"value must lie in 1..{MAX_VALUE}, not {value}")
    length = value.bit_length()
    zeros = [0] * (length.bit_length() - 1)
    return zeros + _binary(length) + _binary(value)[1:]


def read_delta(read_bit: Callable[[], int]) -> int:
    """The number whose codeword `read_bit` gives, bit by bit.

    Raises:
        ValueError: More zeros at its start than any number of a description has.
    """
    num_zeros = 0
    while not read_bit():
        num_zeros += 1
        if num_zeros > _MAX_LENGTH_BITS:
            raise ValueError("a number with no end")
    length = _read_rest(read_bit, num_zeros)
    return _read_rest(read_bit, length - 1)


def _binary(value: int) -> list[int]:
    return [int(digit) for digit in f"{value:b}"]


def _read_rest(read_bit: Callable[[], int], num_bits: int) -> int:
    value = 1
    for _ in range(num_bits):
        value = 2 * value + read_bit()
    return value
