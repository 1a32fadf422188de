"""The digits 0-9 as a pen writes them: curves through control points, in several styles each.

A style is a sequence of curves, each a sequence of points (x, y), y downward. A curve is smooth and
passes through its points (Catmull and Rom); curves that share a point meet there in a corner, and
the point moves as one.
"""

from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Point = tuple[float, float]
Curve = tuple[Point, ...]

STYLES = (
    (  # 0: a closed oval; one that crosses itself at the top
        "40,0 12,18 2,55 20,94 50,95 72,55 66,15 40,0",
        "60,8 20,15 3,60 30,100 70,70 62,20 40,0",
    ),
    (  # 1: a bar, twice; with a flag; with a flag and a base
        "10,0 10,50 10,100",
        "10,0 10,50 10,100",
        "0,22 22,0 | 22,0 22,50 22,100",
        "0,20 26,0 | 26,0 26,100 | 0,100 55,100",
    ),
    (  # 2: with a corner at the foot, twice; with loops there, from small to large
        "4,22 30,0 60,14 50,50 2,98 | 2,98 35,96 74,97",
        "3,20 35,0 60,20 42,62 10,96 0,84 16,76 45,94 80,90",
        "8,18 34,0 58,16 44,60 14,98 2,80 24,66 48,88 76,98 90,84",
        "14,34 6,16 34,0 56,20 40,56 0,96 | 0,96 30,86 70,100",
        "6,18 32,0 54,18 46,52 10,98 0,84 14,72 38,78 62,94 84,88",
        "8,14 34,0 56,20 46,60 20,96 2,88 6,68 30,66 54,86 74,96",
    ),
    (  # 3: round; with a flat top; without a corner; with a small lower half
        "6,8 35,0 56,18 40,40 20,46 | 20,46 50,54 60,78 34,100 0,92",
        "6,3 55,2 | 55,2 24,42 | 24,42 55,55 56,85 30,100 0,90",
        "0,12 32,0 54,18 30,44 50,62 50,88 24,100 0,86",
        "0,10 30,0 52,18 34,44 12,54 | 12,54 42,60 46,82 20,100 0,96",
    ),
    (  # 4: open; closed; open and round
        "12,0 4,30 6,52 | 6,52 35,54 62,48 | 60,0 58,50 54,100",
        "55,0 30,30 0,64 | 0,64 72,62 | 55,0 54,50 52,100",
        "20,0 0,44 20,58 70,46 | 56,16 48,60 42,100",
    ),
    (  # 5: in two strokes; in one with corners; in one without; with a hook below; with a wide bowl
        "18,4 12,42 | 12,42 42,40 60,68 38,98 0,94 | 18,4 68,0",
        "80,0 28,4 | 28,4 20,42 | 20,42 50,56 52,84 26,100 0,88",
        "70,2 30,8 16,32 46,52 52,80 26,100 0,92",
        "20,6 16,46 | 16,46 46,42 56,72 30,100 4,94 0,78 | 20,6 50,4",
        "16,4 10,38 | 10,38 36,32 58,56 48,90 16,98 0,84 | 16,4 60,0",
    ),
    (  # 6: bent; with a straight stem; with a small and with a wide loop; with a curl
        "50,0 18,28 4,68 22,98 54,84 46,56 8,68",
        "25,0 6,40 6,86 36,100 56,76 34,58 6,80",
        "30,0 10,44 6,84 26,100 46,82 30,70 14,92",
        "14,0 0,50 10,90 44,100 66,80 50,58 14,74",
        "20,0 2,44 8,88 38,100 62,80 54,56 34,54 26,74",
    ),
    (  # 7: with a plain, a flagged, a waved, a hooked top; with a bar; without a corner
        "0,6 32,5 64,2 | 64,2 42,48 28,100",
        "0,20 6,3 | 6,3 64,3 | 64,3 44,50 34,100",
        "0,22 12,2 34,10 60,2 | 60,2 50,50 44,100",
        "0,28 4,6 30,10 58,4 | 58,4 44,50 30,100",
        "0,5 64,2 | 64,2 42,50 30,100 | 16,52 68,48",
        "0,8 30,3 56,10 50,46 36,100",
    ),
    (  # 8: in one stroke; of two rings; open above, twice; with a small upper ring
        "56,14 30,0 8,20 30,46 54,76 28,100 4,78 30,50 56,14",
        "30,0 8,20 30,44 52,22 30,0 | 30,44 4,72 28,100 56,74 30,44",
        "56,8 26,0 10,20 34,46 48,76 24,100 4,80 30,48 72,10",
        "46,14 24,2 8,22 30,50 36,80 20,100 6,84 30,46 60,0",
        "40,12 26,2 14,16 28,36 56,72 30,100 2,76 26,40 40,12",
    ),
    (  # 9: with a straight stem; with a bent one; with a small loop; open above; round; hooked
        "54,14 24,0 2,26 20,50 54,14 | 54,14 54,60 46,100",
        "52,20 30,0 4,20 24,46 52,20 54,60 38,94 8,94",
        "40,12 20,0 2,20 16,38 40,12 | 40,12 36,50 26,100",
        "46,4 12,10 4,36 26,46 50,22 | 50,10 48,50 42,100",
        "50,8 30,0 8,14 6,34 24,44 44,30 50,8 | 50,8 47,50 40,100",
        "64,4 40,2 12,12 6,32 24,42 48,22 | 54,8 48,50 42,100",
    ),
)
"""Of each digit, all as likely: curves with | between, points x,y in hundredths of its height."""

NUM_POINTS = 16
"""Room for the control points of one style."""
NUM_SEGMENTS = 36
"""Straight pieces that a style is cut into; those that are too many have no length."""
_STEPS = 4  # straight pieces between two points of a curve


class Skeletons(NamedTuple):
    """All styles of all digits as arrays, those of a digit one after another, shape (styles, ...).

    Attributes:
        first: The first style of each digit, (10,).
        number: How many styles each digit has, (10,).
        points: Control points, (..., NUM_POINTS, 2), with zeros behind the last.
        weights: Of the control points in the two ends of each straight piece,
            (..., NUM_SEGMENTS, 2, NUM_POINTS).
    """

    first: NDArray[np.int64]
    number: NDArray[np.int64]
    points: NDArray[np.float32]
    weights: NDArray[np.float32]


@lru_cache(maxsize=1)
def skeletons() -> Skeletons:
    """The arrays of `STYLES`; read-only."""
    number = np.array([len(styles) for styles in STYLES])
    all_styles = [_curves(style) for styles in STYLES for style in styles]
    points = np.zeros((len(all_styles), NUM_POINTS, 2), dtype=np.float32)
    weights = np.zeros((len(all_styles), NUM_SEGMENTS, 2, NUM_POINTS), dtype=np.float32)
    for index, style in enumerate(all_styles):
        names = sorted({point for curve in style for point in curve})
        points[index, : len(names)] = names
        pieces = [piece for curve in style for piece in _pieces(curve, names)]
        pieces += [2 * pieces[-1][1:]] * (NUM_SEGMENTS - len(pieces))
        weights[index] = pieces
    for array in (points, weights):
        array.setflags(write=False)
    first = np.cumsum(number) - number
    return Skeletons(first, number, points, weights)


def _curves(style: str) -> list[Curve]:
    """The points of each curve, in heights of the digit."""
    return [
        tuple((int(x) / 100, int(y) / 100) for x, y in (each.split(",") for each in curve.split()))
        for curve in style.split("|")
    ]


def _pieces(curve: Curve, names: list[Point]) -> list[tuple[NDArray[np.float64], ...]]:
    """Straight pieces of a curve: the weights of all control points in its two ends."""
    rows = np.zeros((len(curve), NUM_POINTS))
    rows[np.arange(len(curve)), [names.index(point) for point in curve]] = 1
    if len(curve) == 2:
        return [(rows[0], rows[1])]
    closed = curve[0] == curve[-1]
    before = rows[-2] if closed else rows[0]
    after = rows[1] if closed else rows[-1]
    known = [before, *rows, after]
    vertices = [rows[0]]
    for first, second, third, fourth in zip(known, known[1:], known[2:], known[3:], strict=False):
        vertices += [
            _between(first, second, third, fourth, step / _STEPS) for step in range(1, _STEPS + 1)
        ]
    return list(pairwise(vertices))


def _between(
    first: NDArray[np.float64],
    second: NDArray[np.float64],
    third: NDArray[np.float64],
    fourth: NDArray[np.float64],
    t: float,
) -> NDArray[np.float64]:
    """The uniform Catmull-Rom curve from the second point (t = 0) to the third (t = 1)."""
    return (
        (-t + 2 * t**2 - t**3) * first
        + (2 - 5 * t**2 + 3 * t**3) * second
        + (t + 4 * t**2 - 3 * t**3) * third
        + (t**3 - t**2) * fourth
    ) / 2
