"""Tensors of torch's quantized types in a file: integers, and their scales and zero points."""

import math
from dataclasses import dataclass
from typing import Any

from training.tensor_files.plain_pickle import Opaque
from training.tensor_files.stored_tensor import StoredTensor

PER_TENSOR, PER_CHANNEL = "torch.per_tensor_affine", "torch.per_channel_affine"


@dataclass(frozen=True, kw_only=True, eq=False)
class QuantizedTensor:
    """A tensor whose numbers are (integer - zero point) · scale.

    Attributes:
        integers: As stored: int8, uint8 or int32.
        scale: One for all numbers, or float64 (channels,).
        zero_point: One for all numbers, or int64 (channels,).
        axis: The dimension of the channels; None with one scale for all.
    """

    integers: StoredTensor
    scale: float | StoredTensor
    zero_point: int | StoredTensor
    axis: int | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Its shape."""
        return self.integers.shape

    @property
    def num_numbers(self) -> int:
        """How many integers it has."""
        return self.integers.num_numbers


def make_quantized(integers: StoredTensor | Opaque, quantizer: Any) -> QuantizedTensor | Opaque:
    """The tensor of its integers and what torch saves of its quantizer; a marker for other kinds.

    Raises:
        ValueError: The quantizer is none that torch writes.
    """
    if isinstance(integers, Opaque) or not isinstance(quantizer, tuple) or not quantizer:
        return integers if isinstance(integers, Opaque) else Opaque("a quantized tensor")
    kind, *parameters = (each.name if isinstance(each, Opaque) else each for each in quantizer)
    if kind == PER_TENSOR and len(parameters) == 2:
        scale, zero_point = parameters
        if type(scale) is float and math.isfinite(scale) and type(zero_point) is int:
            return QuantizedTensor(integers=integers, scale=scale, zero_point=zero_point)
    elif kind == PER_CHANNEL and len(parameters) == 3:
        scales, zero_points, axis = parameters
        if (
            isinstance(scales, StoredTensor)
            and isinstance(zero_points, StoredTensor)
            and type(axis) is int
        ):
            if not 0 <= axis < len(integers.shape) or scales.shape != (integers.shape[axis],):
                raise ValueError("its list of contents is damaged")
            return QuantizedTensor(
                integers=integers, scale=scales, zero_point=zero_points, axis=axis
            )
    return Opaque("a quantized tensor of a kind that is not read")
