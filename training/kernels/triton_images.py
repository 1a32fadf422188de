"""A policy's operations in Triton's language; `training.augment.image_policy` launches them.

Loaded only where Triton is installed. One program is one image, and its operation is a branch. The
arithmetic is that of `training.kernels.image_operations`, but each pixel is worked out by itself:
nothing is looked up in a table that would have to be made first.

Parameters are annotated with types of Triton's own: its compiler looks up what stands there.
"""

from typing import Any

import triton
import triton.language as tl

from training.kernels import image_operations as plain

AFFINE = tl.constexpr(plain.AFFINE)
TABLE = tl.constexpr(plain.TABLE)
AUTOCONTRAST = tl.constexpr(plain.AUTOCONTRAST)
EQUALIZE = tl.constexpr(plain.EQUALIZE)
CONTRAST = tl.constexpr(plain.CONTRAST)
COLOR = tl.constexpr(plain.COLOR)
SHARPNESS = tl.constexpr(plain.SHARPNESS)
CUTOUT = tl.constexpr(plain.CUTOUT)
RED, GREEN, BLUE = (tl.constexpr(value) for value in plain.CUTOUT_COLOUR)
GREY = tl.constexpr(plain.CUTOUT_GREY)


@triton.jit  # type: ignore[untyped-decorator, unused-ignore]
def apply_step(
    images: tl.tensor,
    outputs: tl.tensor,
    found: tl.tensor,
    boxes: tl.tensor,
    kinds: tl.tensor,
    maps: tl.tensor,
    tables: tl.tensor,
    factors: tl.tensor,
    num_images: tl.tensor,
    size: tl.tensor,
    CHANNELS: tl.constexpr,  # noqa: N803  # Triton's own custom
    BLOCK: tl.constexpr,  # noqa: N803
) -> None:
    """One step of every image: `found` (N,) and `boxes` (4, N) are of this step."""
    image = tl.program_id(0)
    row = tl.load(found + image)
    kind = tl.load(kinds + row).to(tl.int32)
    factor = tl.load(factors + row)
    num = size * size
    place = tl.arange(0, BLOCK)
    inside = place < num
    y, x = place // size, place % size
    first = image.to(tl.int64) * CHANNELS * num
    grey = _grey(images + first, place, inside, num, CHANNELS)
    for channel in range(CHANNELS):
        source = images + first + channel * num
        value = tl.load(source + place, mask=inside, other=0).to(tl.int32)
        result = value
        if kind == AFFINE:
            result = _move(source, maps + row * 6, x, y, size)
        elif kind == TABLE:
            result = tl.load(tables + row * 256 + value).to(tl.int32)
        elif kind == AUTOCONTRAST:
            result = _stretch(value, inside)
        elif kind == EQUALIZE:
            result = _equalize(value, inside, num, BLOCK)
        elif kind == CONTRAST:
            mean = (2 * tl.sum(grey, 0) + num) // (2 * num)
            result = _mix(mean + value * 0, value, factor)
        elif kind == COLOR:
            result = _mix(grey, value, factor)
        elif kind == SHARPNESS:
            result = _mix(_smooth(source, value, x, y, size), value, factor)
        elif kind == CUTOUT:
            left, top = tl.load(boxes + image), tl.load(boxes + num_images + image)
            right = tl.load(boxes + 2 * num_images + image)
            bottom = tl.load(boxes + 3 * num_images + image)
            hole = (x >= left) & (x < right) & (y >= top) & (y < bottom)
            result = tl.where(hole, _colour(channel, CHANNELS), value)
        tl.store(outputs + first + channel * num + place, result.to(tl.uint8), mask=inside)


@triton.jit  # type: ignore[untyped-decorator, unused-ignore]
def _colour(channel: tl.tensor, CHANNELS: tl.constexpr) -> Any:  # noqa: N803
    if CHANNELS == 1:
        return channel + GREY
    return tl.where(channel == 0, RED, tl.where(channel == 1, GREEN, BLUE))


@triton.jit  # type: ignore[untyped-decorator, unused-ignore]
def _grey(
    source: tl.tensor,
    place: tl.tensor,
    inside: tl.tensor,
    num: tl.tensor,
    CHANNELS: tl.constexpr,  # noqa: N803
) -> Any:
    first = tl.load(source + place, mask=inside, other=0).to(tl.int32)
    if CHANNELS == 1:
        return first
    green = tl.load(source + num + place, mask=inside, other=0).to(tl.int32)
    blue = tl.load(source + 2 * num + place, mask=inside, other=0).to(tl.int32)
    return tl.where(inside, (19595 * first + 38470 * green + 7471 * blue + 0x8000) >> 16, 0)


@triton.jit  # type: ignore[untyped-decorator, unused-ignore]
def _move(source: tl.tensor, a: tl.tensor, x: tl.tensor, y: tl.tensor, size: tl.tensor) -> Any:
    column = (tl.load(a) * x + tl.load(a + 1) * y + tl.load(a + 2)) >> 16
    line = (tl.load(a + 3) * x + tl.load(a + 4) * y + tl.load(a + 5)) >> 16
    seen = (column >= 0) & (column < size) & (line >= 0) & (line < size) & (y < size)
    return tl.load(source + line * size + column, mask=seen, other=0).to(tl.int32)


@triton.jit  # type: ignore[untyped-decorator, unused-ignore]
def _stretch(value: tl.tensor, inside: tl.tensor) -> Any:
    low = tl.min(tl.where(inside, value, 255), 0)
    high = tl.max(tl.where(inside, value, 0), 0)
    scale = 255.0 / tl.maximum(high - low, 1).to(tl.float64)
    offset = (0 - low).to(tl.float64) * scale
    stretched = (value.to(tl.float64) * scale + offset).to(tl.int32)
    stretched = tl.minimum(tl.maximum(stretched, 0), 255)
    return tl.where(high > low, stretched, value)


@triton.jit  # type: ignore[untyped-decorator, unused-ignore]
def _equalize(value: tl.tensor, inside: tl.tensor, num: tl.tensor, BLOCK: tl.constexpr) -> Any:  # noqa: N803
    bins = tl.arange(0, 256)
    # Lanes beyond the image count as 255 and are taken away again.
    counts = tl.histogram(tl.where(inside, value, 255), 256)
    counts = tl.where(bins == 255, counts - (BLOCK - num), counts)
    high = tl.max(tl.where(counts > 0, bins, 0), 0)
    step = (num - tl.sum(tl.where(bins == high, counts, 0), 0)) // 255
    reached = tl.cumsum(counts, 0) - counts + step // 2
    levels = tl.minimum(reached // tl.maximum(step, 1), 255)
    return tl.where(step > 0, tl.gather(levels, value, 0), value)


@triton.jit  # type: ignore[untyped-decorator, unused-ignore]
def _smooth(
    source: tl.tensor, value: tl.tensor, x: tl.tensor, y: tl.tensor, size: tl.tensor
) -> Any:
    inner = (x > 0) & (x < size - 1) & (y > 0) & (y < size - 1)
    total = 4 * value
    for below in tl.static_range(-1, 2):
        for right in tl.static_range(-1, 2):
            near = source + (y + below) * size + x + right
            total += tl.load(near, mask=inner, other=0).to(tl.int32)
    return tl.where(inner, (2 * total + 13) // 26, value)


@triton.jit  # type: ignore[untyped-decorator, unused-ignore]
def _mix(degenerate: tl.tensor, value: tl.tensor, factor: tl.tensor) -> Any:
    base = degenerate.to(tl.float32)
    mixed = base + factor * (value.to(tl.float32) - base)
    return tl.minimum(tl.maximum(mixed, 0.0), 255.0).to(tl.int32)
