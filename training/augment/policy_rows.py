"""A policy prepared for images of one size: every step in numbers that kernels can use. No torch.

Each operation is one of a few kinds. Whatever does not depend on the image is worked out here, in
Python's own arithmetic as Pillow does it: the fixed-point coefficients of an affine map, the lookup
table of a change of values. So each distinct operation, magnitude and sign is one row.
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from training.kernels.image_operations import (
    AFFINE,
    AUTOCONTRAST,
    COLOR,
    CONTRAST,
    CUTOUT,
    EQUALIZE,
    IDENTITY,
    SHARPNESS,
    TABLE,
)
from training.spec.policy import MIRRORED, Policy

ONE = 1 << 16
"""1 in the 16.16 fixed-point numbers of affine maps."""

_IMAGE_KINDS = {
    "AutoContrast": AUTOCONTRAST,
    "Equalize": EQUALIZE,
    "Contrast": CONTRAST,
    "Color": COLOR,
    "Sharpness": SHARPNESS,
    "Cutout": CUTOUT,
}
_VALUE_OPERATIONS = ("Invert", "Solarize", "Posterize", "Brightness")
_NO_MAP = (ONE, 0, ONE // 2, 0, ONE, ONE // 2)

Map = tuple[int, int, int, int, int, int]


@dataclass(frozen=True, kw_only=True, eq=False)
class PolicyRows:
    """R rows, of which row 0 changes nothing, and which of them make up each sub-policy.

    Attributes:
        kinds: uint8 (R,).
        maps: int32 (R, 6), a0 to a5 in units of 2⁻¹⁶: the pixel at (x, y) shows the one at
            ((a0 x + a1 y + a2) >> 16, (a3 x + a4 y + a5) >> 16), or black where that is outside.
        tables: uint8 (R, 256), what a value becomes.
        factors: float32 (R,), of a blend.
        half_sides: float32 (R,), half a Cutout's side in pixels.
        extents: int32 (R,), pixels that a Cutout covers along an axis; 0 for none.
        choices: int32 (P, K, 2), the rows of step k of sub-policy p with either sign.
        probabilities: float32 (P, K), that step k happens.
        rounds: Draws of a sub-policy for an image.
    """

    kinds: NDArray[np.uint8]
    maps: NDArray[np.int32]
    tables: NDArray[np.uint8]
    factors: NDArray[np.float32]
    half_sides: NDArray[np.float32]
    extents: NDArray[np.int32]
    choices: NDArray[np.int32]
    probabilities: NDArray[np.float32]
    rounds: int


@lru_cache(maxsize=16)
def prepare_policy(policy: Policy, size: int) -> PolicyRows:
    """The rows of a policy for images of side `size`."""
    keys: dict[tuple[str, float], int] = {("Identity", 0.0): 0}
    choices = np.zeros((len(policy.subpolicies), policy.num_steps, 2), dtype=np.int32)
    probabilities = np.zeros(choices.shape[:2], dtype=np.float32)
    for p, subpolicy in enumerate(policy.subpolicies):
        for k, step in enumerate(subpolicy):
            probabilities[p, k] = step.probability
            for sign in range(2):
                is_turned = sign == 1 and step.operation in MIRRORED
                magnitude = -step.magnitude if is_turned else step.magnitude
                choices[p, k, sign] = keys.setdefault((step.operation, magnitude), len(keys))
    sides = [size * magnitude if name == "Cutout" else 0.0 for name, magnitude in keys]
    return PolicyRows(
        kinds=np.array([_kind(name) for name, _ in keys], dtype=np.uint8),
        maps=np.array([affine_map(*key, size) for key in keys], dtype=np.int32),
        tables=np.array([value_table(*key) for key in keys], dtype=np.uint8),
        factors=np.array([_factor(*key) for key in keys], dtype=np.float32),
        half_sides=np.array([side / 2 for side in sides], dtype=np.float32),
        extents=np.array([int(side) + 1 if side > 0 else 0 for side in sides], dtype=np.int32),
        choices=choices,
        probabilities=probabilities,
        rounds=policy.rounds,
    )


def affine_map(operation: str, magnitude: float, size: int) -> Map:
    """The map of an operation as Pillow rounds it; that of no change for other operations.

    Sources of pixel centres are rounded down after 1/2 was added. Pillow's translation by a
    fraction adds up in float64 along a row, so where the shift is within 10⁻¹³ of a half it may
    differ from this one by a pixel.

    >>> affine_map("TranslateX", 0.25, 8)
    (65536, 0, 163840, 0, 65536, 32768)
    """
    if operation in ("TranslateX", "TranslateY"):
        shift = math.floor(magnitude * size + 0.5) * ONE
        return _shifted(shift, 0) if operation == "TranslateX" else _shifted(0, shift)
    if operation == "ShearX":
        return _fixed_point((1, magnitude, 0, 0, 1, 0))
    if operation == "ShearY":
        return _fixed_point((1, 0, 0, magnitude, 1, 0))
    if operation == "Rotate":
        return _fixed_point(_rotation(magnitude, size))
    return _NO_MAP


def value_table(operation: str, magnitude: float) -> NDArray[np.uint8]:
    """What each value becomes under an operation on values; itself under other operations."""
    values = np.arange(256)
    if operation == "Invert":
        values = 255 - values
    elif operation == "Solarize":
        values = np.where(values < magnitude, values, 255 - values)
    elif operation == "Posterize":
        values = values & -(1 << (8 - int(magnitude)))
    elif operation == "Brightness":
        blended = np.float32(magnitude) * values.astype(np.float32)
        values = np.clip(blended, 0, 255)
    return values.astype(np.uint8)


def _kind(operation: str) -> int:
    if operation in MIRRORED:
        return AFFINE
    if operation in _VALUE_OPERATIONS:
        return TABLE
    return _IMAGE_KINDS.get(operation, IDENTITY)


def _factor(operation: str, magnitude: float) -> float:
    return magnitude if operation in ("Contrast", "Color", "Sharpness") else 1.0


def _shifted(x: int, y: int) -> Map:
    a0, a1, a2, a3, a4, a5 = _NO_MAP
    return a0, a1, a2 + x, a3, a4, a5 + y


def _rotation(degrees: float, size: int) -> tuple[float, ...]:
    """Inverse of the turn around the centre, with sine and cosine rounded to 15 digits."""
    angle = -math.radians(degrees % 360.0)
    cosine, sine = round(math.cos(angle), 15), round(math.sin(angle), 15)
    centre = size / 2
    x = cosine * -centre + sine * -centre + 0.0 + centre
    y = -sine * -centre + cosine * -centre + 0.0 + centre
    return cosine, sine, x, -sine, cosine, y


def _fixed_point(matrix: tuple[float, ...]) -> Map:
    a0, a1, a2, a3, a4, a5 = matrix
    starts = (a2 + a0 * 0.5 + a1 * 0.5, a5 + a3 * 0.5 + a4 * 0.5)
    fixed = [math.floor(a * ONE + 0.5) for a in (a0, a1, starts[0], a3, a4, starts[1])]
    return fixed[0], fixed[1], fixed[2], fixed[3], fixed[4], fixed[5]
