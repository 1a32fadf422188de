"""Flip, crop, normalisation and cutout in one pass, as a kernel for `training.kernels.compiled`."""

import numpy as np

from training.kernels.bf16 import Cells


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
