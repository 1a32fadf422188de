"""The arithmetic coder: one interval for the whole description, in integers only.

A message is the interval [low, low + range) / 2^56 of the codewords that begin it, seen through a
window that moves on by bytes. A decision of probability p takes the share p of the range, rounded
down to an integer; nothing else is ever rounded, so encoder and decoder agree on every
machine. The end is the shortest string of bits of which every continuation lies in the interval:
at most two bits more than log2 of the interval's inverse width. Decoder and encoder know the
interval alike, so the decoder knows where the codeword ends: codewords are self-delimiting, and no
codeword begins another one.

Decisions of probability 2^-j leave the range a power of two: a description made of plain fields
has exactly their length.
"""

import math
from collections.abc import Callable
from functools import lru_cache
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.codes.kernels import range_kernel, relative_kernel, support_kernel, value_kernel
from analysis.codes.kernels.range_kernel import (
    CODER_SIZE,
    DAMAGED,
    DECODING,
    LOW,
    MAX_TOTAL,
    NUM_BYTES,
    NUM_DATA,
    OFFSET,
    OVERRUN,
    RANGE,
    TOP,
    WINDOW_BITS,
)
from training.kernels.compiled import can_compile, compile_kernels

_MAX_LENGTH_BITS = 6
MAX_VALUE = (1 << ((1 << (_MAX_LENGTH_BITS + 1)) - 1)) - 1
"""No number of a description is larger; longer runs of zeros are refused when read."""
_ENTRIES = {
    range_kernel: ("code_uniform", "code_choice", "code_counted"),
    support_kernel: ("code_support", "code_enumerative"),
    value_kernel: ("code_symbols", "code_patterns", "code_fields"),
    relative_kernel: ("code_changes",),
}
_FIRST_SIZE = 4096
_WINDOW_BYTES = WINDOW_BITS // 8
_CUT_SHORT = "cut short: the description continues past the end of its data"
_DAMAGED = "damaged: no description begins like this"

Step = Callable[[NDArray[np.int64], NDArray[np.uint8], int], int]
"""One call of a kernel: coder, data, where to resume; gives where to resume next, or OVERRUN."""


class CodecError(ValueError):
    """A bit string that cannot be decoded: it ends too early, or no encoder writes it."""


class ArithmeticCoder:
    """Writes a codeword, or reads one: the same calls in the same order do both.

    Every method takes the value to write; when decoding it is ignored, and the value read is
    returned either way.

    Args:
        data: The codeword, and anything behind it, to decode; None to encode.
        compiled: Whether compiled kernels may be used; they write the same bits.

    Attributes:
        decoding: Whether it reads.
        kernels: The kernels that go with it.
    """

    def __init__(self, data: bytes | None = None, *, compiled: bool = True) -> None:
        self.decoding = data is not None
        self._compiled = compiled
        self.kernels: Any = load_kernels(compiled=compiled)
        self._state = np.zeros(CODER_SIZE, dtype=np.int64)
        self._state[RANGE] = TOP
        if data is None:
            self._data = np.zeros(_FIRST_SIZE, dtype=np.uint8)
        else:
            self._data = np.frombuffer(data, dtype=np.uint8).copy()
            self._state[DECODING] = 1
            self._state[NUM_DATA] = len(data)
            start = data[:_WINDOW_BYTES].ljust(_WINDOW_BYTES, b"\0")
            self._state[OFFSET] = int.from_bytes(start, "big")

    def fork(self) -> "ArithmeticCoder":
        """An empty coder that writes, with the same kernels: to try what something costs."""
        return ArithmeticCoder(compiled=self._compiled)

    @property
    def num_bits(self) -> int:
        """Length of the codeword if it ended here: whole bits, the ones that a decoder consumes."""
        low, width = int(self._state[LOW]), int(self._state[RANGE])
        in_window = _shortest(low, width)[0]
        return 8 * int(self._state[NUM_BYTES]) + in_window

    @property
    def information(self) -> float:
        """-log2 of the interval's width: bits so far, without rounding up to a whole codeword."""
        return 8 * int(self._state[NUM_BYTES]) + WINDOW_BITS - math.log2(int(self._state[RANGE]))

    def uniform(self, value: int, total: int) -> int:
        """An integer in 0..total - 1, all equally likely: log2(total) bits.

        Raises:
            CodecError: Decoding, and the data have ended, or no encoder wrote them.
        """
        if not 1 <= total <= MAX_TOTAL:
            raise ValueError(f"total must lie in 1..{MAX_TOTAL}, not {total}")
        self._make_room()
        value = int(self.kernels.code_uniform(self._state, self._data, value, total))
        self._check()
        return value

    def choice(self, value: int, ends: NDArray[np.int64]) -> int:
        """One of K values by integer shares: log2(total / share of the value) bits.

        Args:
            value: In 0..K - 1.
            ends: (K,), the running sums of the shares, each of which is at least 1; the last one,
                the total, is at most `MAX_TOTAL`.

        Raises:
            CodecError: Decoding, and the data have ended, or no encoder wrote them.
        """
        self._make_room()
        value = int(self.kernels.code_choice(self._state, self._data, ends, value))
        self._check()
        return value

    def bits(self, value: int, num_bits: int) -> int:
        """A number of `num_bits` bits, plain, high bits first."""
        read = 0
        for shift in range(16 * ((num_bits - 1) // 16), -1, -16):
            width = min(16, num_bits - shift)
            read = read << width | self.uniform(value >> shift & ((1 << width) - 1), 1 << width)
        return read

    def integer(self, value: int) -> int:
        """An integer >= 1 by Elias's δ code.

        Raises:
            CodecError: Decoding, and no such code begins here.
        """
        if not self.decoding:
            for bit in delta_bits(value):
                self.uniform(bit, 2)
            return value
        try:
            return read_delta(lambda: self.uniform(0, 2))
        except CodecError:
            raise
        except ValueError as error:
            raise CodecError(f"damaged: it holds {error}") from error

    def counted(self, table: NDArray[np.int64], context: int, bit: int) -> int:
        """One decision by the adaptive estimate of `table[context]`, which learns it.

        Raises:
            CodecError: Decoding, and the data have ended.
        """
        self._make_room()
        bit = int(self.kernels.code_counted(self._state, self._data, table, context, bit))
        self._check()
        return bit

    def run(self, step: Step, first: int, end: int, *, room: Callable[[int], None]) -> None:
        """Call a kernel until it has come from `first` to `end`, giving it room in between.

        Args:
            step: The kernel's call.
            first: Where to begin.
            end: Where it ends.
            room: Told where the kernel stopped, before it goes on: the decoder's chance to make
                its own arrays longer.

        Raises:
            CodecError: Decoding, and the data have ended, or no encoder wrote them.
        """
        while first < end:
            self._make_room()
            reached = step(self._state, self._data, first)
            if reached == OVERRUN:
                raise CodecError(_CUT_SHORT)
            self._check()
            if reached == first and not self.decoding:
                self._grow()
            if reached < end:
                room(reached)
            first = reached

    def finish(self) -> tuple[bytes, int]:
        """End the codeword: its bytes, the last one filled up with zeros, and its length in bits.

        Raises:
            CodecError: Decoding, and the codeword is longer than its data, or the data begin
                otherwise than the codeword of what was read.
        """
        low, width = int(self._state[LOW]), int(self._state[RANGE])
        in_window, start = _shortest(low, width)
        position = int(self._state[NUM_BYTES])
        num_bits = 8 * position + in_window
        padding = -num_bits % 8
        if self.decoding:
            if num_bits > 8 * int(self._state[NUM_DATA]):
                raise CodecError(_CUT_SHORT)
            if (low + int(self._state[OFFSET])) >> (WINDOW_BITS - in_window) != start:
                raise CodecError(_DAMAGED)
            codeword = self._data[: (num_bits + 7) // 8].copy()
            if padding:
                codeword[-1] &= 256 - (1 << padding)
            return codeword.tobytes(), num_bits
        head = int.from_bytes(self._data[:position].tobytes(), "big")
        number = (head << in_window) + start
        return (number << padding).to_bytes((num_bits + 7) // 8, "big"), num_bits

    def _check(self) -> None:
        """Refuse to continue past the end of the data, or where no encoder goes."""
        if self.decoding:
            if self._state[DAMAGED]:
                raise CodecError(_DAMAGED)
            if self._state[NUM_BYTES] > self._state[NUM_DATA]:
                raise CodecError(_CUT_SHORT)

    def _make_room(self) -> None:
        if not self.decoding and len(self._data) - int(self._state[NUM_BYTES]) < 64:
            self._grow()

    def _grow(self) -> None:
        longer = np.zeros(2 * len(self._data), dtype=np.uint8)
        longer[: len(self._data)] = self._data
        self._data = longer


def counted_table(num_contexts: int) -> NDArray[np.int64]:
    """A table of adaptive decisions that have seen nothing yet: (num_contexts, 2)."""
    table = np.empty((num_contexts, 2), dtype=np.int64)
    table[:, 0], table[:, 1] = 1, 2
    return table


def _shortest(low: int, width: int) -> tuple[int, int]:
    """(j, s): the fewest bits j that, with number s, keep every continuation in the interval."""
    for num_bits in range(WINDOW_BITS + 1):
        unit = 1 << (WINDOW_BITS - num_bits)
        start = -(-low // unit)
        if (start + 1) * unit <= low + width:
            return num_bits, start
    raise AssertionError("a range of at least one unit holds a number of 56 bits")


def delta_bits(value: int) -> list[int]:
    """Elias's δ code of `value` >= 1: prefix-free, with Kraft sum 1.

    A number of N bits is written as the γ code of N and then its N - 1 bits after the first one;
    the γ code of N is as many zeros as N has bits after its first one, and then N.

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


@lru_cache(maxsize=2)
def load_kernels(*, compiled: bool = True) -> SimpleNamespace:
    """The kernels by name: compiled ones if asked for and numba is there, else plain Python.

    Both forms are the same functions, so they write the same bits.
    """
    if compiled and can_compile():
        return compile_kernels(
            list(_ENTRIES), [name for names in _ENTRIES.values() for name in names]
        )
    return SimpleNamespace(
        **{name: getattr(module, name) for module, names in _ENTRIES.items() for name in names}
    )
