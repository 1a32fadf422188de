"""One scene of the leaves: dead leaves of the power law, an object, leaves before it, and light.

Units, axes and shapes are those of `scene`. A leaf of radius r occurs with density r^-3, which
makes statistics the same at every scale, as natural images have them (Lee, Mumford and Huang 2001,
"Occlusion models for natural images"). Large leaves are drawn one by one, smaller ones as litter:
at most one in each cell of a turned grid.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from training.data.generators.leaf_shapes import CLASS_NAMES, ShapeAxes, draw_shapes
from training.data.generators.scene import FloatArray, Scene, axes, mix, to_bytes, wave

SCENE_WORDS = 216  # random numbers set aside for one image's scene, a multiple of 4
GRAIN_WORDS = 608  # words set aside for its textures and litter, four numbers each

_NUM_LEAVES = 7  # one by one behind the object
_NUM_BEFORE = 2  # and before it
_CELLS = {1: (2.5, 5.0), 4: (5.0, 11.0)}  # litter after these leaves, of so many cells a side
_RADII = 0.13, 0.6  # least and largest radius of a leaf behind the object, in image sides
_RADII_BEFORE = 0.078, 0.2
_OCTAVES = (3, 5, 9, 17, 33)  # cells a side of the 1/f texture
_LITTER_KINDS = 64  # different leaves of one litter
_LITTER_PARTS = 5  # numbers of each
_FULL_TURN = 1.0


class _Canvas(NamedTuple):
    """What every part of a scene is laid with.

    Attributes:
        scene: The random choices of B images.
        images: (B, 3, s, s), changed in place.
        x: Of the pixels, (1, 1, s).
        y: Likewise, (1, s, 1).
        palette: Three colours of the scene, (B, 3, 1, 1).
        texture: Its 1/f field, (B, s, s).
        coarse: The two coarsest octaves of it.
    """

    scene: Scene
    images: FloatArray
    x: FloatArray
    y: FloatArray
    palette: list[FloatArray]
    texture: FloatArray
    coarse: FloatArray

    @property
    def size(self) -> int:
        """Pixels a side, s."""
        return self.x.size


def paint(
    scene: Scene, grain: FloatArray, noise: FloatArray, size: int
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Draw a block of images from the back to the front.

    Args:
        scene: The random choices of B images.
        grain: In [-1, 1), (4, B, GRAIN_WORDS), for textures and litter.
        noise: In [-1, 1), (B, 3, s, s); overwritten.
        size: s.

    Returns:
        Images (B, 3, s, s) and labels (B,).
    """
    label = scene.choice(len(CLASS_NAMES))
    numbers = grain.transpose(1, 0, 2).reshape(scene.num_images, -1)
    texture, coarse, used = _texture(scene, numbers, size)
    images = np.empty((scene.num_images, 3, size, size), dtype=np.float32)
    canvas = _Canvas(scene, images, *axes(size), _palette(scene), texture, coarse)
    _lay_ground(canvas)
    for number in range(_NUM_LEAVES):
        _lay_leaf(canvas)
        if number in _CELLS:
            part = numbers[:, used : used + _LITTER_KINDS * _LITTER_PARTS]
            used += _LITTER_KINDS * _LITTER_PARTS
            _lay_litter(canvas, part, scene.uniform(*_CELLS[number]))
    _soften(images, scene.uniform(0, 0.6))
    _lay_object(canvas, label[:, 0, 0])
    for _ in range(_NUM_BEFORE):
        _lay_leaf(canvas, before=True)
    images *= _light(canvas)[:, None]
    _soften(images, scene.uniform(0, 0.4))
    noise *= scene.uniform(0, 0.05)[:, None]
    return to_bytes(images, noise), label[:, 0, 0]


def _lay_ground(canvas: _Canvas) -> None:
    scene = canvas.scene
    ground = scene.uniform(-0.4, 0.4) * canvas.x + scene.uniform(-0.8, 0.8) * canvas.y
    images = canvas.images
    images[:] = _leaf_colour(canvas)
    images *= (1 + ground + scene.uniform(0, 0.4) * canvas.texture)[:, None]


def _texture(scene: Scene, numbers: FloatArray, size: int) -> tuple[FloatArray, FloatArray, int]:
    """A random field of 1/f amplitude.

    Each octave interpolates a lattice of independent numbers, moved by a random part of a cell.
    Octaves finer than the pixels fade.

    Returns:
        The field, about -1 to 1, (B, s, s); its two coarsest octaves, likewise; and how many of
        the numbers it took.
    """
    field = np.zeros((scene.num_images, size, size), dtype=np.float32)
    coarse = field
    fall = scene.uniform(0.6, 1.0)
    amplitude, used = np.full_like(fall, 0.75), 0
    for number, cells in enumerate(_OCTAVES):
        points = cells + 2
        octave = numbers[:, used : used + points * points].reshape(-1, points, points)
        used += points * points
        for _ in range(2):
            octave = _interpolate(octave, scene.uniform(0, 1)[:, 0], cells, size)
        octave *= amplitude * np.float32(min(1.0, size / cells))
        field += octave
        amplitude = amplitude * fall
        if number == 1:
            coarse = field.copy()
    return field, coarse, used


def _interpolate(lattice: FloatArray, move: FloatArray, cells: int, size: int) -> FloatArray:
    """Values at the pixels of a moved lattice (B, points, n) along its first axis: (B, n, s).

    Turned, so that done twice it has both axes interpolated and in their old order.
    """
    points, width = lattice.shape[1:]
    centres = (np.arange(size, dtype=np.float32) + np.float32(0.5)) * np.float32(cells / size)
    place = centres + move
    left = place.astype(np.int64)
    share = place - left
    share = (share * share * (3 - 2 * share))[:, :, None]
    left += np.arange(len(lattice))[:, None] * points
    rows = np.ascontiguousarray(lattice).reshape(-1, width)
    values = mix(rows.take(left, axis=0), rows.take(left + 1, axis=0), share)
    return np.ascontiguousarray(values.transpose(0, 2, 1))


def _palette(scene: Scene) -> list[FloatArray]:
    """Three colours of one scene, (B, 3, 1, 1): more light than hue, more warm and cold than green.

    Dark is more common than light, as in photographs.
    """
    base = scene.uniform(0.15, 0.85)
    warm, green = scene.uniform(-0.2, 0.3), scene.uniform(-0.08, 0.12)
    colours = []
    for _ in range(3):
        light = scene.uniform(0, 1)
        luminance = mix(base, np.float32(0.05) + light * light, np.float32(0.75))
        colours.append(
            _tinted(luminance, warm + scene.uniform(-0.2, 0.2), green + scene.uniform(-0.08, 0.08))
        )
    return colours


def _tinted(luminance: FloatArray, warm: FloatArray, green: FloatArray) -> FloatArray:
    """A colour (B, 3, 1, 1) whose channels follow the luminance."""
    half = np.float32(0.5) * green
    factors = np.stack([1 + warm - half, 1 + green, 1 - warm - half], axis=1)
    return factors * luminance[:, None]


def _leaf_colour(canvas: _Canvas) -> FloatArray:
    """A colour between those of the palette, lighter or darker, (B, 3, 1, 1)."""
    scene, palette = canvas.scene, canvas.palette
    first, second = scene.uniform(0, 1), scene.uniform(0, 1)
    colour = mix(palette[0], palette[1].copy(), first[:, None])
    colour = mix(colour, palette[2].copy(), (second * second)[:, None])
    return colour * scene.uniform(0.35, 1.75)[:, None]


def _power_law_radius(scene: Scene, least: float, largest: float) -> FloatArray:
    """A radius of density r^-3 between two bounds, (B, 1, 1)."""
    share = scene.uniform(0, 1)
    high, low = np.float32(least**-2), np.float32(largest**-2)
    root: FloatArray = np.sqrt(high - share * (high - low))
    return 1 / root


def _turned(canvas: _Canvas, spread: float) -> tuple[FloatArray, FloatArray]:
    """The pixels (B, s, s) as seen from a random place, turned by any angle."""
    scene = canvas.scene
    cosine, sine = scene.rotation(_FULL_TURN)
    flip = scene.sign()
    x = canvas.x - scene.uniform(-spread, spread)
    y = canvas.y - scene.uniform(-spread, spread)
    return flip * (cosine * x) + flip * (sine * y), cosine * y - sine * x


def _rounded_box(u: FloatArray, v: FloatArray, share: FloatArray) -> FloatArray:
    """How far out a point lies, 1 on the edge, between a disc (share 0) and a box (share 1)."""
    square = u * u
    other = v * v
    box = np.maximum(square, other)
    other += square
    np.sqrt(other, out=other)
    np.sqrt(box, out=box)
    return mix(other, box, share)


def _blend_shaded(
    images: FloatArray, coverage: FloatArray, colour: FloatArray, shade: FloatArray
) -> None:
    """Lay colours (B, 3, 1, 1) times a shade (B, s, s) over the images, channel by channel."""
    work = np.empty_like(shade)
    for channel in range(3):
        part = images[:, channel]
        np.multiply(colour[:, channel], shade, out=work)
        work -= part
        work *= coverage
        part += work


def _covered(depth: FloatArray, sharpness: FloatArray) -> FloatArray:
    """Coverage of pixels from how many of them they lie inside; overwrites the depth."""
    depth *= sharpness
    depth += np.float32(0.5)
    return np.clip(depth, np.float32(0), np.float32(1), out=depth)


def _lay_leaf(canvas: _Canvas, *, before: bool = False) -> None:
    """A leaf between oval and box, its edge uneven, shaded along one direction and textured."""
    scene, texture = canvas.scene, canvas.texture
    radius = _power_law_radius(scene, *(_RADII_BEFORE if before else _RADII))
    u, v = _turned(canvas, 0.45 if before else 0.65)
    u /= radius
    v /= radius * scene.uniform(0.35, 1)
    v += scene.uniform(-0.4, 0.4) * (u * u)
    coverage = _rounded_box(u, v, scene.uniform(0, 1))
    work = scene.uniform(-0.25, 0.25) * texture
    coverage += work
    np.subtract(np.float32(1), coverage, out=coverage)
    coverage = _covered(coverage, (radius * np.float32(canvas.size)) * scene.uniform(0.4, 1))
    shade = np.multiply(scene.uniform(-0.5, 0.5), texture, out=work)
    u *= scene.uniform(-0.3, 0.3)
    shade += u
    shade += 1
    _blend_shaded(canvas.images, coverage, _leaf_colour(canvas), shade)


def _lay_litter(canvas: _Canvas, numbers: FloatArray, count: FloatArray) -> None:
    """Small leaves, at most one in each cell of a turned grid.

    Args:
        canvas: Changed in place.
        numbers: In [-1, 1), (B, kinds x parts).
        count: Cells an image side, (B, 1, 1).
    """
    scene, palette = canvas.scene, canvas.palette
    u, v = _turned(canvas, 0.5)
    u = u * count + np.float32(32)  # positive, so that whole parts are cells
    v = v * count + np.float32(32)
    column, row = np.floor(u), np.floor(v)
    kind = (column * 5 + row * 19).astype(np.int64) & (_LITTER_KINDS - 1)
    kind += (np.arange(scene.num_images) * _LITTER_KINDS)[:, None, None]
    parts = numbers.reshape(-1, _LITTER_KINDS, _LITTER_PARTS).transpose(2, 0, 1)
    flat = np.ascontiguousarray(parts).reshape(_LITTER_PARTS, -1)
    share = (flat[0] + 1) * np.float32(0.5)
    radius = 1 / np.sqrt(np.float32(30) - share * np.float32(25))  # of 0.18 to 0.45 cells
    room = np.float32(0.5) - radius
    u -= column
    v -= row
    u -= (np.float32(0.5) + room * flat[1]).take(kind)
    v -= (np.float32(0.5) + room * flat[2]).take(kind)
    v *= scene.uniform(1, 2)
    outline = np.sqrt(u * u + v * v)
    coverage = _covered(radius.take(kind) - outline, np.float32(canvas.size) / count)
    coverage *= (flat[3] < np.float32(0.3)).astype(np.float32).take(kind)
    colour = mix(palette[0], palette[2].copy(), scene.uniform(0, 1)[:, None])
    shade = (1 + np.float32(0.6) * flat[4]).take(kind)
    _blend_shaded(canvas.images, coverage, colour, shade)


def _lay_object(canvas: _Canvas, label: NDArray[np.int64]) -> None:
    """The object that gives the label, and its shadow."""
    scene, texture = canvas.scene, canvas.texture
    radius = scene.uniform(0.25, 0.45)
    u, v = _turned(canvas, 0.17)
    u /= radius
    v /= radius * scene.uniform(0.75, 1)
    u += scene.uniform(-0.1, 0.1) * texture
    v += scene.uniform(-0.25, 0.25) * canvas.coarse
    bend = canvas.coarse[:, ::-1, ::-1]
    pixels = ShapeAxes(u, v, bend, scene.uniform(0, 1), scene.uniform(0, 1))
    depth, pattern = draw_shapes(label, pixels)
    colour, other = _object_colours(canvas)
    shadow = np.clip(depth * np.float32(3) + np.float32(1), np.float32(0), np.float32(1))
    shadow *= scene.uniform(0, 0.5)
    canvas.images[:] *= (1 - shadow)[:, None]
    shade = scene.uniform(-0.3, 0.3) * u + scene.uniform(-0.3, 0.3) * v
    shade += scene.uniform(-0.4, 0.4) * texture
    shade += 1
    pattern += 1
    pattern *= np.float32(0.5)
    colours = mix(colour, np.broadcast_to(other, canvas.images.shape).copy(), pattern[:, None])
    coverage = _covered(depth, radius * np.float32(canvas.size) * scene.uniform(0.5, 1))
    _blend_shaded(canvas.images, coverage, colours, shade)


def _object_colours(canvas: _Canvas) -> tuple[FloatArray, FloatArray]:
    """Two colours, lighter and darker than the palette's middle or the other way, (B, 3, 1, 1)."""
    scene = canvas.scene
    first, second, third = (
        (colour[:, 0] + colour[:, 1] + colour[:, 2]) / np.float32(3) for colour in canvas.palette
    )
    middle = ((second + third) * np.float32(0.5) + first) * np.float32(0.5)
    contrast = scene.uniform(0.18, 0.5)
    is_dark = middle + scene.uniform(-0.3, 0.3) < 0.5
    up = np.where(is_dark, np.float32(1), np.float32(-1))
    luminance = np.clip(middle + up * contrast, np.float32(0.04), np.float32(1))
    own = _tinted(luminance, scene.uniform(-0.4, 0.4), scene.uniform(-0.15, 0.15))
    luminance = luminance - up * scene.uniform(0.5, 1.2) * contrast
    return own, _tinted(luminance, scene.uniform(-0.4, 0.4), scene.uniform(-0.15, 0.15))


def _light(canvas: _Canvas) -> FloatArray:
    """A gradient and a broad wave of light over the whole scene, (B, s, s), about 1."""
    scene, x, y = canvas.scene, canvas.x, canvas.y
    light = scene.uniform(-0.5, 0.5) * x + scene.uniform(-0.5, 0.5) * y
    phase = scene.uniform(-0.7, 0.7) * x + (scene.uniform(-0.7, 0.7) * y + scene.uniform(0, 1))
    light += scene.uniform(0, 0.25) * wave(phase)
    light += scene.uniform(0.85, 1.3)
    return light


def _soften(images: FloatArray, amount: FloatArray) -> None:
    """Move every pixel towards the mean of its neighbours above and beside it, in place."""
    share = (amount * np.float32(0.5))[:, None]
    for axis in (2, 3):
        padded = np.concatenate(
            [images.take([0], axis), images, images.take([-1], axis)], axis=axis
        )
        beside = (
            padded[:, :, :-2] + padded[:, :, 2:]
            if axis == 2
            else padded[..., :-2] + padded[..., 2:]
        )
        beside *= np.float32(0.5)
        beside -= images
        beside *= share
        images += beside
