"""One scene of the glyphs: what is drawn, where and in which colours; and the drawing itself.

Units, axes and shapes are those of `scene`.
"""

import numpy as np
from numpy.typing import NDArray

from training.data.generators.glyph_masks import CANVAS_SIDE, FONTS, NUM_DIGITS
from training.data.generators.scene import FloatArray, Scene, axes, blend, mix, to_bytes, wave

SCENE_WORDS = 96  # random numbers set aside for one image's scene, a multiple of 4
MAX_TILT = 0.2217  # tan(25°/2): rotations lie within ±25°, so that 6 and 9 stay apart


def paint(
    scene: Scene, noise: FloatArray, masks: FloatArray, size: int
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Draw a block of images from the back to the front.

    Args:
        scene: The random choices of B images.
        noise: In [-1, 1), (B, 3, s, s); overwritten.
        masks: As `digit_masks` makes them.
        size: s.

    Returns:
        Images (B, 3, s, s) and labels (B,).
    """
    x, y = axes(size)
    label = scene.choice(NUM_DIGITS)
    contrast = scene.uniform(0.2, 0.8)
    middle = contrast / 2 + scene.uniform(0, 1) * (1 - contrast)
    half = scene.sign() * contrast / 2
    ink, paper = scene.colour(middle + half, 0.25), scene.colour(middle - half, 0.25)

    images = _background(scene, paper, contrast, x, y)
    for _ in range(2):
        blend(images, _stroke(scene, x, y, size), scene.colour(scene.uniform(0, 1), 0.25))
    for _ in range(2):
        blend(images, _neighbour(scene, masks, x, y), scene.colour(scene.uniform(0, 1), 0.25))
    blend(images, _centre_digit(scene, label, masks, x, y), ink)
    noise *= scene.uniform(0, 0.12)[:, None]
    return to_bytes(images, noise), label[:, 0, 0]


def _background(
    scene: Scene, paper: FloatArray, contrast: FloatArray, x: FloatArray, y: FloatArray
) -> FloatArray:
    """Paper under a colour gradient and two gratings of different colours, (B, 3, s, s).

    The textures' strength follows the contrast of the digit, up to about its half.
    """
    fields = [
        scene.uniform(-1, 1) * x + scene.uniform(-1, 1) * y,
        wave(scene.uniform(-4, 4) * x + (scene.uniform(-4, 4) * y + scene.uniform(0, 1))),
        wave(scene.uniform(-8, 8) * x + (scene.uniform(-8, 8) * y + scene.uniform(0, 1))),
    ]
    size = x.shape[-1]
    images = np.empty((scene.num_images, 3, size, size), dtype=np.float32)
    images[:] = paper
    for field, strength in zip(fields, (0.5, 0.3, 0.2), strict=True):
        for channel in range(3):
            amount = scene.uniform(-strength, strength) * contrast
            images[:, channel] += amount * field
    return images


def _stroke(scene: Scene, x: FloatArray, y: FloatArray, size: int) -> FloatArray:
    """Coverage of a straight bar anywhere in the image, absent half of the time, (B, s, s)."""
    cosine, sine = scene.rotation(1.0)
    x = x - scene.uniform(-0.5, 0.5)
    y = y - scene.uniform(-0.5, 0.5)
    along, across = cosine * x + sine * y, cosine * y - sine * x
    length, width = scene.uniform(0.1, 0.4), scene.uniform(0.01, 0.05)
    present = scene.choice(2).astype(np.float32)
    inside = np.minimum(length - np.abs(along, out=along), width - np.abs(across, out=across))
    inside *= np.float32(size)
    inside += np.float32(0.5)
    np.clip(inside, np.float32(0), np.float32(1), out=inside)
    inside *= present
    return inside


def _neighbour(scene: Scene, masks: FloatArray, x: FloatArray, y: FloatArray) -> FloatArray:
    """Coverage of a digit centred near the border, present in 3 of 4 images, (B, s, s)."""
    digit = scene.choice(NUM_DIGITS)
    reach, shift = scene.sign() * scene.uniform(0.5, 0.7), scene.uniform(-0.6, 0.6)
    upright = scene.choice(2).astype(np.float32)
    left = upright * shift + (1 - upright) * reach
    top = upright * reach + (1 - upright) * shift
    height = scene.uniform(0.45, 0.85)
    present = scene.choice(4) > 0
    ink = _digit(scene, digit, masks, height, (x - left, y - top))
    ink *= present.astype(np.float32)
    return ink


def _centre_digit(
    scene: Scene, label: NDArray[np.int64], masks: FloatArray, x: FloatArray, y: FloatArray
) -> FloatArray:
    """Coverage of the digit that gives the label, almost always inside the image, (B, s, s)."""
    height = scene.uniform(0.45, 0.85)
    room = (1 - height) / 2
    left, top = (scene.uniform(-1, 1) * room for _ in range(2))
    return _digit(scene, label, masks, height, (x - left, y - top))


def _digit(
    scene: Scene,
    digit: NDArray[np.int64],
    masks: FloatArray,
    height: FloatArray,
    position: tuple[FloatArray, FloatArray],
) -> FloatArray:
    """Coverage of one digit an image in a random font, rotated, sheared and stretched, (B, s, s).

    The map from the image back to the mask is that of p = R S diag(w, h) q, for a rotation R of
    up to 25°, a shear S of up to 0.25, and a width w of 0.75 to 1.25 times the height h. The
    position is that of every pixel, as seen from the digit's centre.
    """
    x, y = position
    font = scene.choice(len(FONTS))
    cosine, sine = scene.rotation(MAX_TILT)
    shear = scene.uniform(-0.25, 0.25)
    stretch = scene.uniform(0.75, 1.25)
    side = masks.shape[-1]
    scale = np.float32(side / CANVAS_SIDE) / height
    row_x, row_y = -sine, cosine
    column_x, column_y = (cosine - shear * row_x) / stretch, (sine - shear * row_y) / stretch
    centre = np.float32((side - 1) / 2)
    column = scale * column_x * x + (scale * column_y * y + centre)
    row = scale * row_x * x + (scale * row_y * y + centre)
    return _sample(masks.reshape(-1), (font * NUM_DIGITS + digit) * side * side, column, row, side)


def _sample(
    atlas: FloatArray, offset: NDArray[np.int64], column: FloatArray, row: FloatArray, side: int
) -> FloatArray:
    """Bilinear interpolation at (row, column) of the mask that begins at `offset` of the atlas.

    The border of every mask is empty, so positions outside are moved there.
    """
    top = np.float32(side - 1.001)
    np.clip(column, np.float32(0), top, out=column)
    np.clip(row, np.float32(0), top, out=row)
    left, upper = column.astype(np.int32), row.astype(np.int32)
    column -= left
    row -= upper
    index = upper
    index *= np.int32(side)
    index += left
    index += offset.astype(np.int32)
    above = mix(atlas.take(index), atlas[1:].take(index), column)
    index += np.int32(side)
    below = mix(atlas.take(index), atlas[1:].take(index, mode="clip"), column)
    return mix(above, below, row)
