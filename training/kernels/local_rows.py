"""The products of a locally connected layer, as kernels for `training.kernels.compiled`.

The batch lies last: values are bfloat16 as uint16, with a row for each unit, and units go by
(place, channel). A place is a pixel of the input or a position of the output, and the links of
`training.networks.local_product` join them. No patch is gathered: a list of rows stands for it.

Work comes in blocks of some channels of one place. Batches are >= `COLUMNS`. This module needs
numba; import it only where that is installed.
"""

import numpy as np

from training.kernels.bf16 import Cells
from training.kernels.dot_tiles import SIDE, sum_tile, tall_tile, wide_tile
from training.kernels.vector_code import COLUMNS

_TALL, _WIDE = 8, 4  # Rows of the two tiles of products; the second has twice the columns.


def multiply_rows(
    values: Cells,
    weights: Cells,
    bounds: Cells,
    ends: Cells,
    sources: Cells,
    most: int,
    channels: int,
    channel_stride: int,
    row_stride: int,
    outputs: Cells,
    num_rows: int,
    block: int,
    start: int,
    stop: int,
) -> None:
    """outputs[q, m] = Σ weights[source + m·row_stride + c·channel_stride] · values[end, c].

    The sum is over the links of place q, at most `most`, and the channels c. Works on blocks start,
    ..., stop - 1 of `block` rows m, a multiple of 8.
    """
    batch = values.shape[1]
    values, outputs = values.reshape(values.size), outputs.reshape(outputs.size)
    is_wide = num_rows <= _WIDE and batch >= 2 * COLUMNS
    height, width = (_WIDE, 2 * COLUMNS) if is_wide else (_TALL, COLUMNS)
    capacity = most * channels + 1
    starts, places = np.empty(capacity, dtype=np.int64), np.empty(capacity, dtype=np.int64)
    packed = np.empty(block * capacity, dtype=np.uint16)
    num_blocks = -(-num_rows // block)
    for index in range(start, stop):
        place, first = index // num_blocks, index % num_blocks * block
        last = min(num_rows, first + block)
        count = list_rows(
            bounds, ends, sources, place, channels, channel_stride, batch, starts, places
        )
        num_pairs = (count + 1) // 2
        size = 2 * num_pairs * height
        for row in range(first, last, height):
            tile = packed[(row - first) // height * size :]
            for i in range(height):
                offset = min(row + i, num_rows - 1) * row_stride
                pack_row(weights, offset, places, count, tile[2 * i :], 2 * height)
        for left in range(0, batch, width):
            column = min(left, batch - width)
            for row in range(first, last, height):
                tile_start = (row - first) // height * size
                output = (place * num_rows + row) * batch + column
                if is_wide:
                    wide_tile(
                        packed,
                        tile_start,
                        num_pairs,
                        values,
                        starts,
                        column,
                        outputs,
                        output,
                        batch,
                        last - row,
                    )
                else:
                    tall_tile(
                        packed,
                        tile_start,
                        num_pairs,
                        values,
                        starts,
                        column,
                        outputs,
                        output,
                        batch,
                        last - row,
                    )


def sum_rows(
    gradients: Cells,
    values: Cells,
    bounds: Cells,
    ends: Cells,
    sources: Cells,
    most: int,
    channels: int,
    channel_stride: int,
    row_stride: int,
    of_weights: Cells,
    num_rows: int,
    block: int,
    start: int,
    stop: int,
) -> None:
    """of_weights[source + m·row_stride + c·channel_stride] = Σ gradients[p, m] · values[end, c].

    The sum is over the batch, for the links of position p and the channels c; weights of p without
    a link get 0. Works on blocks start, ..., stop - 1.
    """
    batch = values.shape[1]
    values, gradients = values.reshape(values.size), gradients.reshape(gradients.size)
    capacity = most * channels + SIDE
    starts, places = np.empty(capacity, dtype=np.int64), np.empty(capacity, dtype=np.int64)
    rows = np.empty(block, dtype=np.int64)
    sums = np.empty(block * capacity, dtype=np.uint16)
    num_full = (batch - 1) // COLUMNS
    mask = np.zeros(COLUMNS, dtype=np.uint16)
    mask[(num_full + 1) * COLUMNS - batch :] = 0xFFFF
    num_blocks = -(-num_rows // block)
    for index in range(start, stop):
        place, first = index // num_blocks, index % num_blocks * block
        last = min(num_rows, first + block)
        count = list_rows(
            bounds, ends, sources, place, channels, channel_stride, batch, starts, places
        )
        for i in range(SIDE):
            starts[count + i] = starts[count - 1]
        for i in range(block):
            rows[i] = (place * num_rows + min(first + i, num_rows - 1)) * batch
        for entry in range(0, count, SIDE):
            for i in range(0, last - first, SIDE):
                sum_tile(
                    gradients,
                    rows,
                    i,
                    values,
                    starts,
                    entry,
                    num_full,
                    batch - COLUMNS,
                    mask,
                    sums,
                    i * capacity + entry,
                    capacity,
                )
        if count < row_stride:
            origin = (place * num_rows + first) * row_stride
            of_weights[origin : origin + (last - first) * row_stride] = 0
        for i in range(last - first):
            offset = (first + i) * row_stride
            for j in range(count):
                of_weights[places[j] + offset] = sums[i * capacity + j]


def list_rows(
    bounds: Cells,
    ends: Cells,
    sources: Cells,
    place: int,
    channels: int,
    channel_stride: int,
    batch: int,
    starts: Cells,
    places: Cells,
) -> int:
    """List where the rows start that a place sees, and where their weights do; how many."""
    count = 0
    for link in range(bounds[place], bounds[place + 1]):
        for channel in range(channels):
            starts[count] = (ends[link] * channels + channel) * batch
            places[count] = sources[link] + channel * channel_stride
            count += 1
    starts[count] = starts[count - 1]  # beside a last row that has no partner
    return count


def pack_row(
    weights: Cells, offset: int, places: Cells, count: int, packed: Cells, step: int
) -> None:
    """The weights of one row in pairs that are `step` apart; an odd one is paired with 0."""
    for pair in range(count // 2):
        packed[pair * step] = weights[places[2 * pair] + offset]
        packed[pair * step + 1] = weights[places[2 * pair + 1] + offset]
    if count % 2:
        packed[count // 2 * step] = weights[places[count - 1] + offset]
        packed[count // 2 * step + 1] = 0
