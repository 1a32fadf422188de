"""The ten shapes that label the leaves: where a pixel lies inside of one, and its two colours.

A shape is drawn in its own axes: (u, v) are (B, s, s), turned, and 1 is the shape's radius. Four
of the classes are told by outline alone, three by parts and holes, and stripes, checks and blob by
texture or a bent outline, so that a network needs edges, corners, turns and textures.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from training.data.generators.scene import FloatArray, wave

CLASS_NAMES = (
    "disc",
    "ring",
    "square",
    "triangle",
    "star",
    "cross",
    "blob",
    "stripes",
    "checks",
    "branching",
)
# fmt: off
_FIFTHS = ((0.0, -1.0), (0.95105652, -0.30901699), (0.58778525, 0.80901699),
           (-0.58778525, 0.80901699), (-0.95105652, -0.30901699))
# fmt: on
_HALF_ROOT_3 = 0.8660254
_HALF_ROOT_2 = 0.70710678


class ShapeAxes(NamedTuple):
    """Where pixels lie as a shape sees them, and what it may vary by.

    Attributes:
        u: To its right, (B, s, s).
        v: Downward, (B, s, s).
        bend: A smooth random field of about -1 to 1, (B, s, s).
        first: A random number in [0, 1) an image, (B, 1, 1).
        second: Another one.
    """

    u: FloatArray
    v: FloatArray
    bend: FloatArray
    first: FloatArray
    second: FloatArray

    def of(self, rows: NDArray[np.int64]) -> "ShapeAxes":
        """Those of some of the images."""
        return ShapeAxes(*(part[rows] for part in self))


def draw_shapes(label: NDArray[np.int64], pixels: ShapeAxes) -> tuple[FloatArray, FloatArray]:
    """How deep every pixel lies in the shape of its image, and which of two colours it has.

    Args:
        label: Class of each image, (B,).
        pixels: ShapeAxes and random numbers of all images.

    Returns:
        Depth in radii of the shape, > 0 inside, right near the outline, (B, s, s); and the share
        of the second colour, in [-1, 1], (B, s, s): 0 but for stripes and checks.
    """
    depth = np.empty_like(pixels.u)
    second_colour = np.zeros_like(pixels.u)
    for number, name in enumerate(CLASS_NAMES):
        rows = np.flatnonzero(label == number)
        if not len(rows):
            continue
        part = pixels.of(rows)
        depth[rows] = _DEPTHS[name](part)
        if name in _PATTERNS:
            second_colour[rows] = _PATTERNS[name](part)
    return depth, second_colour


def _radius(at: ShapeAxes) -> FloatArray:
    return _length(at.u, at.v)


def _length(u: FloatArray, v: FloatArray) -> FloatArray:
    length: FloatArray = np.sqrt(u * u + v * v)
    return length


def _disc(at: ShapeAxes) -> FloatArray:
    v = at.v * (1 + np.float32(0.3) * at.first)
    return 0.95 - _length(at.u, v)


def _ring(at: ShapeAxes) -> FloatArray:
    half = np.float32(0.13) + np.float32(0.1) * at.first
    return half - np.abs(_radius(at) + (half - 1))


def _square(at: ShapeAxes) -> FloatArray:
    v = at.v * (1 + np.float32(0.3) * at.first)
    out: FloatArray = np.maximum(np.abs(at.u), np.abs(v))
    return 0.82 - out


def _triangle(at: ShapeAxes) -> FloatArray:
    side = np.abs(at.u) * _HALF_ROOT_3
    side -= at.v * np.float32(0.5)
    out: FloatArray = np.maximum(at.v, side)
    return 0.56 - out


def _star(at: ShapeAxes) -> FloatArray:
    """A pentagram: its five lines bound it, and a point of the star is beyond one of them."""
    most = second = np.full_like(at.u, -9)
    for x, y in _FIFTHS:
        beyond = np.float32(x) * at.u - np.float32(y) * at.v
        second = np.maximum(second, np.minimum(most, beyond))
        most = np.maximum(most, beyond)
    return 0.33 + np.float32(0.08) * at.first - second


def _cross(at: ShapeAxes) -> FloatArray:
    u, v = np.abs(at.u), np.abs(at.v)
    width = np.float32(0.22) + np.float32(0.12) * at.first
    depth: FloatArray = np.minimum(width - np.minimum(u, v), 0.98 - np.maximum(u, v))
    return depth


def _blob(at: ShapeAxes) -> FloatArray:
    """Lobes around a disc; their number is 3 to 5 or so, as the field has it."""
    return 0.7 + np.float32(0.8) * at.bend - _radius(at)


def _patch(at: ShapeAxes) -> FloatArray:
    """The outline of stripes and checks: a bent oval or a rounded box, which tells neither."""
    box = np.maximum(np.abs(at.u), np.abs(at.v))
    outline = _radius(at)
    outline += at.first * (box - outline)
    return 0.9 + np.float32(0.15) * at.bend - outline


def _branching(at: ShapeAxes) -> FloatArray:
    """A stem along v, and three pairs of branches that leave it at 45 degrees."""
    side, width = np.abs(at.u), np.float32(0.1) + np.float32(0.05) * at.first
    depth: FloatArray = np.minimum(width - side, 1 - np.abs(at.v))
    for foot, length in ((-0.25, 0.55), (0.25, 0.8), (0.75, 1.0)):
        rise = at.v - np.float32(foot)
        along, across = (side - rise) * _HALF_ROOT_2, (side + rise) * _HALF_ROOT_2
        branch = np.minimum(np.float32(0.8) * width - np.abs(across), along)
        depth = np.maximum(depth, np.minimum(branch, np.float32(length) - along))
    return depth


def _stripes(at: ShapeAxes) -> FloatArray:
    period = np.float32(1.2) + np.float32(0.9) * at.second
    return _sharpened(wave(at.u * period + at.first))


def _checks(at: ShapeAxes) -> FloatArray:
    period = np.float32(0.85) + np.float32(0.5) * at.second
    return _sharpened(wave(at.u * period + at.first) * wave(at.v * period + at.second))


def _sharpened(values: FloatArray) -> FloatArray:
    sharp: FloatArray = np.clip(values * np.float32(2.5), np.float32(-1), np.float32(1))
    return sharp


_DEPTHS: dict[str, Callable[[ShapeAxes], FloatArray]] = {
    "disc": _disc,
    "ring": _ring,
    "square": _square,
    "triangle": _triangle,
    "star": _star,
    "cross": _cross,
    "blob": _blob,
    "stripes": _patch,
    "checks": _patch,
    "branching": _branching,
}
_PATTERNS: dict[str, Callable[[ShapeAxes], FloatArray]] = {"stripes": _stripes, "checks": _checks}
