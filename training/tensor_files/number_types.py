"""The number types of tensor files: how they are stored, and their values as float32. No torch."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Float32s = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class NumberType:
    """One type of number in a file.

    Attributes:
        name: torch's name of it.
        storage: NumPy's code of what is read, little-endian.
        kind: "float" for what a network computes with; "integer" for integers and flags;
            "other" for what cannot be read as real numbers.
        decode: From stored numbers to float32; floating-point types only.
    """

    name: str
    storage: str
    kind: Literal["float", "integer", "other"]
    decode: Callable[[NDArray[Any]], Float32s] | None = None

    @property
    def num_bytes(self) -> int:
        """Bytes of one number."""
        return np.dtype(self.storage).itemsize

    def to_float32(self, stored: NDArray[Any]) -> Float32s:
        """Values as float32: exact for all types but float64, which is rounded.

        A float64 beyond float32's range becomes infinite.

        Raises:
            ValueError: The type is not of floating point.
        """
        if self.decode is None:
            raise ValueError(f"numbers of type {self.name} cannot be read as float32")
        return self.decode(stored)


def _same(stored: NDArray[Any]) -> Float32s:
    return stored.view(np.float32)


def _cast(stored: NDArray[Any]) -> Float32s:
    with np.errstate(over="ignore", invalid="ignore"):
        return stored.astype(np.float32)


def _shift(stored: NDArray[Any]) -> Float32s:
    """Bfloat16 is the upper half of float32."""
    return (stored.astype(np.uint32) << np.uint32(16)).view(np.float32)


def _look_up(exponent_bits: int, *, has_infinity: bool) -> Callable[[NDArray[Any]], Float32s]:
    return lambda stored: eight_bit_values(exponent_bits, has_infinity=has_infinity)[stored]


@lru_cache(maxsize=4)
def eight_bit_values(exponent_bits: int, *, has_infinity: bool) -> Float32s:
    """The 256 values of an 8-bit float with bias 2^(exponent_bits - 1) - 1.

    Args:
        exponent_bits: 4 (e4m3) or 5 (e5m2).
        has_infinity: Whether the highest exponent is kept for infinity and NaN; if not, only the
            pattern of all ones is NaN ("fn").

    >>> float(eight_bit_values(4, has_infinity=False)[0x7E])
    448.0
    """
    fraction_bits = 7 - exponent_bits
    bias = 2 ** (exponent_bits - 1) - 1
    values = np.empty(256, dtype=np.float32)
    for code in range(256):
        exponent, fraction = (code & 127) >> fraction_bits, code & (2**fraction_bits - 1)
        if has_infinity and exponent == 2**exponent_bits - 1:
            value = float("nan") if fraction else float("inf")
        elif not has_infinity and code & 127 == 127:
            value = float("nan")
        elif exponent:
            value = (1 + fraction / 2**fraction_bits) * 2.0 ** (exponent - bias)
        else:
            value = fraction / 2**fraction_bits * 2.0 ** (1 - bias)
        values[code] = -value if code & 128 else value
    return values


NUMBER_TYPES: dict[str, NumberType] = {
    each.name: each
    for each in (
        NumberType(name="float64", storage="<f8", kind="float", decode=_cast),
        NumberType(name="float32", storage="<f4", kind="float", decode=_same),
        NumberType(name="float16", storage="<f2", kind="float", decode=_cast),
        NumberType(name="bfloat16", storage="<u2", kind="float", decode=_shift),
        NumberType(
            name="float8_e4m3fn",
            storage="<u1",
            kind="float",
            decode=_look_up(4, has_infinity=False),
        ),
        NumberType(
            name="float8_e5m2", storage="<u1", kind="float", decode=_look_up(5, has_infinity=True)
        ),
        NumberType(name="int64", storage="<i8", kind="integer"),
        NumberType(name="int32", storage="<i4", kind="integer"),
        NumberType(name="int16", storage="<i2", kind="integer"),
        NumberType(name="int8", storage="<i1", kind="integer"),
        NumberType(name="uint64", storage="<u8", kind="integer"),
        NumberType(name="uint32", storage="<u4", kind="integer"),
        NumberType(name="uint16", storage="<u2", kind="integer"),
        NumberType(name="uint8", storage="<u1", kind="integer"),
        NumberType(name="bool", storage="<u1", kind="integer"),
        NumberType(name="complex64", storage="<c8", kind="other"),
        NumberType(name="complex128", storage="<c16", kind="other"),
        NumberType(name="float8_e8m0fnu", storage="<u1", kind="other"),
        NumberType(name="float8_e4m3fnuz", storage="<u1", kind="other"),
        NumberType(name="float8_e5m2fnuz", storage="<u1", kind="other"),
    )
}
"""By torch's name."""
