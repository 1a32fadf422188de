"""Pictures of the digits 0-9 in the fonts that Matplotlib ships, as masks of ink coverage.

The outlines are read in the fonts' own integer units, without hinting and at no size, and filled
here: so the masks depend on the font files alone, not on a version of FreeType or Matplotlib.
"""

from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.errors import DataError

FloatArray = NDArray[np.float64]

# Every font of Matplotlib 3.9-3.11 whose ten digits are digits. Left out: cmsy10, cmex10 and
# LastResort, which have other symbols at those places, and the fonts of symbols without digits.
FONTS = (
    "DejaVuSans",
    "DejaVuSans-Bold",
    "DejaVuSans-Oblique",
    "DejaVuSans-BoldOblique",
    "DejaVuSansMono",
    "DejaVuSansMono-Bold",
    "DejaVuSansMono-Oblique",
    "DejaVuSansMono-BoldOblique",
    "DejaVuSerif",
    "DejaVuSerif-Bold",
    "DejaVuSerif-Italic",
    "DejaVuSerif-BoldItalic",
    "STIXGeneral",
    "STIXGeneralBol",
    "STIXGeneralItalic",
    "STIXGeneralBolIta",
    "cmb10",
    "cmmi10",
    "cmr10",
    "cmss10",
    "cmti10",
    "cmtt10",
)
NUM_DIGITS = 10
CANVAS_SIDE = 1.25  # side of a mask, in heights of its digit: room for the widest and a margin
_CURVE_STEPS = 8  # straight pieces for one Bézier curve
_SAMPLES = 4  # coverage of a pixel is counted on 4 x 4 points
_MOVE, _LINE, _QUADRATIC, _CUBIC = 1, 2, 3, 4


@lru_cache(maxsize=4)
def digit_masks(side: int) -> NDArray[np.float32]:
    """Masks of every digit in every font.

    Each digit's bounding box is centred in its mask and scaled to height 1 / CANVAS_SIDE of it.

    Args:
        side: Pixels on a side of a mask, >= 4.

    Returns:
        Fraction of each pixel that ink covers, in [0, 1], shape (len(FONTS), 10, side, side);
        read-only. Row 0 is the top.

    Raises:
        DataError: The installed Matplotlib lacks one of the fonts.
    """
    masks = np.empty((len(FONTS), NUM_DIGITS, side, side), dtype=np.float32)
    for index, font in enumerate(FONTS):
        for digit, edges in enumerate(_digit_outlines(font)):
            masks[index, digit] = _coverage(edges, side)
    masks.setflags(write=False)
    return masks


def _digit_outlines(font: str) -> list[FloatArray]:
    """Outline of each digit as directed edges (E, 4) of x0, y0, x1, y1, y upward, height 1."""
    import matplotlib  # noqa: PLC0415  (slow to import, and only the glyphs need it)
    from matplotlib.ft2font import FT2Font, LoadFlags  # noqa: PLC0415

    path = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / f"{font}.ttf"
    if not path.is_file():
        raise DataError(
            f"the glyphs need Matplotlib's font {path}, which is not there; reinstall matplotlib"
        )
    face = FT2Font(str(path))
    outlines = []
    for digit in range(NUM_DIGITS):
        face.load_char(ord(str(digit)), flags=LoadFlags.NO_SCALE)
        edges = _flatten(*face.get_path())
        low, high = _bounds(edges[:, 0::2]), _bounds(edges[:, 1::2])
        height = high[1] - high[0]
        centre = np.array([low[0] + low[1], high[0] + high[1]] * 2) / 2
        outlines.append((edges - centre) / height)
    return outlines


def _bounds(values: FloatArray) -> tuple[float, float]:
    return float(values.min()), float(values.max())


def _flatten(vertices: FloatArray, codes: NDArray[Any]) -> FloatArray:
    """The directed edges (E, 4) of closed contours, with every curve cut into straight pieces."""
    contours: list[list[FloatArray]] = []
    index = 0
    while index < len(codes):
        code = int(codes[index])
        if code == _MOVE:
            contours.append([vertices[index]])
            index += 1
        elif code in (_LINE, _QUADRATIC, _CUBIC):
            num_points = code - 1
            control = [contours[-1][-1], *vertices[index : index + num_points]]
            contours[-1].extend(_bezier(control))
            index += num_points
        else:  # the close mark: every contour is closed below
            index += 1
    pieces = []
    for contour in contours:
        points = np.array(contour)
        pieces.append(np.concatenate([points, np.roll(points, -1, axis=0)], axis=1))
    return np.concatenate(pieces)


def _bezier(control: list[FloatArray]) -> list[FloatArray]:
    """Points of a Bézier curve after its first, by de Casteljau's rule: repeated averages."""
    if len(control) == 2:
        return [control[1]]
    points = []
    for step in range(1, _CURVE_STEPS + 1):
        t = step / _CURVE_STEPS
        level = control
        while len(level) > 1:
            level = [a + t * (b - a) for a, b in pairwise(level)]
        points.append(level[0])
    return points


def _coverage(edges: FloatArray, side: int) -> NDArray[np.float32]:
    """Fill an outline by the nonzero rule of TrueType; returns (side, side) in [0, 1].

    On each row of sample points, an edge that crosses the row changes the winding number of all
    points to its right by its direction; points with a nonzero sum are inside.
    """
    num = side * _SAMPLES
    step = CANVAS_SIDE / num
    rows = (CANVAS_SIDE - step) / 2 - step * np.arange(num)[:, None]
    x0, y0, x1, y1 = edges.T[:, None, :]
    upward = y0 < y1
    crosses = (y0 <= rows) != (y1 <= rows)
    row, edge = np.nonzero(crosses)
    x0, y0, x1, y1, upward = (values[0, edge] for values in (x0, y0, x1, y1, upward))
    x = x0 + (rows[row, 0] - y0) * (x1 - x0) / (y1 - y0)
    column = np.ceil((x + CANVAS_SIDE / 2) / step - 0.5).clip(0, num).astype(np.int64)
    turns = np.bincount(
        row * (num + 1) + column, weights=np.where(upward, 1.0, -1.0), minlength=num * (num + 1)
    )
    winding = turns.reshape(num, num + 1).cumsum(axis=1)[:, :num]
    inside = (winding != 0).reshape(side, _SAMPLES, side, _SAMPLES)
    covered: NDArray[np.int64] = inside.sum(axis=(1, 3))
    return (covered / _SAMPLES**2).astype(np.float32)
