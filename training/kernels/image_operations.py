"""Augmentation of one image after another, as kernels for `training.kernels.compiled`.

The arithmetic of a policy's operations is Pillow's, operation by operation, and
`training.augment.image_operations` is the same on whole batches. Images are uint8 (C, s, s) with
one channel or three.
"""

import numpy as np

from training.kernels.bf16 import Cells, Real

IDENTITY, AFFINE, TABLE, AUTOCONTRAST, EQUALIZE, CONTRAST, COLOR, SHARPNESS, CUTOUT = range(9)
"""Kinds of operation: first those that are known before the image, then those that look at it."""
CUTOUT_COLOUR = (125, 123, 114)
"""Red, green and blue of a policy's Cutout, as in Fast AutoAugment's code."""
CUTOUT_GREY = 123
"""The same on images of one channel."""


def apply_steps(
    images: Cells,
    outputs: Cells,
    steps: Cells,
    boxes: Cells,
    kinds: Cells,
    maps: Cells,
    tables: Cells,
    factors: Cells,
    start: int,
    stop: int,
) -> None:
    """Images start, ..., stop - 1 after their steps.

    `steps` (K, N) holds rows of `training.augment.policy_rows` and `boxes` (K, 4, N) the left, top,
    right and bottom of Cutout, the last two exclusive.
    """
    num_channels, size = images.shape[1], images.shape[2]
    scratch = np.empty((num_channels, size, size), dtype=np.uint8)
    table = np.empty(256, dtype=np.uint8)
    counts = np.empty(256, dtype=np.int64)
    for i in range(start, stop):
        image = outputs[i]
        copy_image(images[i], image)
        for k in range(len(steps)):
            row = steps[k, i]
            kind = kinds[row]
            if kind == IDENTITY:
                continue
            if kind == AFFINE:
                move_pixels(image, scratch, maps[row])
                copy_image(scratch, image)
            elif kind == TABLE:
                for channel in range(num_channels):
                    look_up(image[channel], tables[row])
            elif kind in (AUTOCONTRAST, EQUALIZE):
                for channel in range(num_channels):
                    count_values(image[channel], counts)
                    if kind == AUTOCONTRAST:
                        fill_autocontrast(counts, table)
                    else:
                        fill_equalize(counts, table)
                    look_up(image[channel], table)
            elif kind == CONTRAST:
                fill_contrast(mean_grey(image), factors[row], table)
                for channel in range(num_channels):
                    look_up(image[channel], table)
            elif kind == COLOR:
                if num_channels == 3:
                    blend_grey(image, factors[row])
            elif kind == SHARPNESS:
                smooth(image, scratch)
                blend(scratch, image, factors[row])
            elif kind == CUTOUT:
                cut_out(image, boxes[k, :, i])


def copy_image(source: Cells, target: Cells) -> None:
    """Target becomes source."""
    for channel in range(source.shape[0]):
        for y in range(source.shape[1]):
            for x in range(source.shape[2]):
                target[channel, y, x] = source[channel, y, x]


def move_pixels(image: Cells, target: Cells, a: Cells) -> None:
    """The image under an affine map of `training.augment.policy_rows`."""
    num_channels, size = image.shape[0], image.shape[1]
    for y in range(size):
        x_fixed = np.int64(a[2]) + np.int64(a[1]) * y
        y_fixed = np.int64(a[5]) + np.int64(a[4]) * y
        for x in range(size):
            column, row = x_fixed >> 16, y_fixed >> 16
            if 0 <= column < size and 0 <= row < size:
                for channel in range(num_channels):
                    target[channel, y, x] = image[channel, row, column]
            else:
                for channel in range(num_channels):
                    target[channel, y, x] = 0
            x_fixed += a[0]
            y_fixed += a[3]


def look_up(pixels: Cells, table: Cells) -> None:
    """Each value of one channel becomes its entry in the table."""
    for y in range(pixels.shape[0]):
        for x in range(pixels.shape[1]):
            pixels[y, x] = table[pixels[y, x]]


def count_values(pixels: Cells, counts: Cells) -> None:
    """How often each value is in one channel."""
    counts[:] = 0
    for y in range(pixels.shape[0]):
        for x in range(pixels.shape[1]):
            counts[pixels[y, x]] += 1


def fill_autocontrast(counts: Cells, table: Cells) -> None:
    """The darkest value becomes 0 and the lightest 255."""
    low, high = 0, 255
    while low < 255 and counts[low] == 0:
        low += 1
    while high > 0 and counts[high] == 0:
        high -= 1
    if high <= low:
        for value in range(256):
            table[value] = value
        return
    scale = 255.0 / (high - low)
    offset = -low * scale
    for value in range(256):
        table[value] = min(max(int(value * scale + offset), 0), 255)


def fill_equalize(counts: Cells, table: Cells) -> None:
    """Values become as equally frequent as whole steps make them."""
    total, last = 0, 0
    for value in range(256):
        total += counts[value]
        if counts[value]:
            last = counts[value]
    step = (total - last) // 255
    if step == 0:
        for value in range(256):
            table[value] = value
        return
    reached = step // 2
    for value in range(256):
        table[value] = min(reached // step, 255)
        reached += counts[value]


def grey(red: Real, green: Real, blue: Real) -> Real:
    """The luminance of ITU-R 601-2 in 16.16 fixed point, rounded."""
    weighted = np.int32(19595) * red + np.int32(38470) * green + np.int32(7471) * blue
    return (weighted + np.int32(0x8000)) >> np.int32(16)


def mean_grey(image: Cells) -> Real:
    """The mean luminance, rounded half up."""
    size = image.shape[1]
    total = np.int64(0)
    for y in range(size):
        for x in range(size):
            if image.shape[0] == 3:
                total += grey(
                    np.int32(image[0, y, x]), np.int32(image[1, y, x]), np.int32(image[2, y, x])
                )
            else:
                total += image[0, y, x]
    num = size * size
    return np.float32((2 * total + num) // (2 * num))


def mix(degenerate: Real, value: Real, factor: Real) -> Real:
    """Pillow's blend: d + f (v - d) in float32, clipped and cut down to an integer."""
    mixed = degenerate + factor * (value - degenerate)
    return np.uint8(min(max(mixed, np.float32(0)), np.float32(255)))


def fill_contrast(mean: Real, factor: Real, table: Cells) -> None:
    """Values are drawn to, or away from, the mean."""
    for value in range(256):
        table[value] = mix(mean, np.float32(value), factor)


def blend(degenerate: Cells, image: Cells, factor: Real) -> None:
    """The image becomes its blend with another."""
    for channel in range(image.shape[0]):
        for y in range(image.shape[1]):
            for x in range(image.shape[2]):
                image[channel, y, x] = mix(
                    np.float32(degenerate[channel, y, x]), np.float32(image[channel, y, x]), factor
                )


def blend_grey(image: Cells, factor: Real) -> None:
    """The image becomes its blend with its luminance."""
    for y in range(image.shape[1]):
        for x in range(image.shape[2]):
            red, green, blue = image[0, y, x], image[1, y, x], image[2, y, x]
            level = np.float32(grey(np.int32(red), np.int32(green), np.int32(blue)))
            image[0, y, x] = mix(level, np.float32(red), factor)
            image[1, y, x] = mix(level, np.float32(green), factor)
            image[2, y, x] = mix(level, np.float32(blue), factor)


def smooth(image: Cells, target: Cells) -> None:
    """Mean of 3x3 pixels where the middle one counts five times, rounded; the border stays."""
    copy_image(image, target)
    for channel in range(image.shape[0]):
        for y in range(1, image.shape[1] - 1):
            for x in range(1, image.shape[2] - 1):
                total = np.int32(4) * image[channel, y, x]
                for below in range(-1, 2):
                    for right in range(-1, 2):
                        total += np.int32(image[channel, y + below, x + right])
                target[channel, y, x] = (2 * total + 13) // 26


def cut_out(image: Cells, box: Cells) -> None:
    """A rectangle in the colour of Cutout."""
    for channel in range(image.shape[0]):
        colour = CUTOUT_COLOUR[channel] if image.shape[0] == 3 else CUTOUT_GREY
        for y in range(box[1], box[3]):
            for x in range(box[0], box[2]):
                image[channel, y, x] = colour


def write_views(
    images: Cells,
    outputs: Cells,
    values: Cells,
    flips: Cells,
    offsets: Cells,
    holes: Cells,
    order: Cells,
    start: int,
    stop: int,
) -> None:
    """Inputs of a network for images start, ..., stop - 1.

    Row y, column x of a view shows the image's row y + `offsets[0]` and column x + `offsets[1]`,
    where a flipped view counts x from the right; outside the image is value 0. Then `values`
    (C, 256) turns each value into an input, and the hole becomes 0.

    Args:
        images: uint8 (N, C, s, s).
        outputs: (N, C, s²), of the type of `values`.
        values: What each value of each channel becomes.
        flips: bool (N,).
        offsets: int64 (2, N).
        holes: int64 (4, N): left, top, right and bottom, the last two exclusive.
        order: int64 (s²,) places of the view in the order of the output; empty for their own.
        start: First image.
        stop: One past the last image.
    """
    num_channels, size = images.shape[1], images.shape[2]
    view = np.empty(size * size, dtype=outputs.dtype)
    for i in range(start, stop):
        down, right, flip = offsets[0, i], offsets[1, i], flips[i]
        first, last = max(0, -right), min(size, size - right)
        for channel in range(num_channels):
            target = view if len(order) else outputs[i, channel]
            table = values[channel]
            for y in range(size):
                row = y + down
                base = y * size
                if row < 0 or row >= size or first >= last:
                    for x in range(size):
                        target[base + x] = table[0]
                    continue
                source = images[i, channel, row]
                if flip:
                    for x in range(first):
                        target[base + size - 1 - x] = table[0]
                    for x in range(first, last):
                        target[base + size - 1 - x] = table[source[x + right]]
                    for x in range(last, size):
                        target[base + size - 1 - x] = table[0]
                else:
                    for x in range(first):
                        target[base + x] = table[0]
                    for x in range(first, last):
                        target[base + x] = table[source[x + right]]
                    for x in range(last, size):
                        target[base + x] = table[0]
            for y in range(holes[1, i], holes[3, i]):
                for x in range(holes[0, i], holes[2, i]):
                    target[y * size + x] = 0
            for place in range(len(order)):
                outputs[i, channel, place] = view[order[place]]
