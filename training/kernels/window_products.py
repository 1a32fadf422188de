"""Convolutions in float64 with the batch last, four channels of output at a time.

A weight (rows, channels · kernel²) is cut into blocks of `ROWS` rows. A block has an entry for
each column in which one of its rows has a nonzero: other zeros cost nothing. A tile holds `LENGTH`
images, a line for each pixel of each channel, zero-padded. Entries go by groups of channels, so
that the lines which a block reads stay in the first-level cache, and positions by bands of rows of
the image, so that their sums stay in the second. This module needs numba; import it only where
that is installed.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from training.kernels.batch_lines import VECTOR_BYTES, CarryLoop, LineNumbers
from training.kernels.bf16 import Cells
from training.kernels.line_products import copy_vector
from training.kernels.sparse_products import make_tile
from training.kernels.vector_code import VectorCode, number

ROWS = 4
"""Rows of a block."""
LENGTH = 16
"""Images of a tile: a line has 128 bytes."""

_SUM_LINES = 2**11  # Of a band: 256 KiB.
_FEWEST_POSITIONS = 16  # Of a band, so that a block's entries are read for some of them.
_LANES = VECTOR_BYTES // 8


def convolve(
    starts: Cells,
    lines: Cells,
    values: Cells,
    inputs: Cells,
    lifts: Cells,
    in_size: int,
    padding: int,
    stride: int,
    out_size: int,
    outputs: Cells,
    start: int,
    stop: int,
) -> None:
    """outputs[row · positions + position, n] = Σ weight · inputs, for tiles start, ..., stop - 1.

    Args:
        starts: int64 (groups, blocks, 2): the first entry of a block in a group of channels, and
            the one behind the last.
        lines: int32 (entries), where in the tile an entry's line lies at the first position.
        values: float64 (entries · ROWS), an entry's weights in the block's rows.
        inputs: float64 (channels · in_size², N), N a multiple of `LENGTH`.
        lifts: float64 (N), added to the inputs of each image and taken off again: they round.
        in_size: Side of the images in pixels.
        padding: Pixels of zeros on each side.
        stride: Pixels from one window to the next.
        out_size: Positions on a side.
        outputs: float64 (rows · positions, N).
        start: Tile t holds images t · LENGTH, ..., (t + 1) · LENGTH - 1.
        stop: The tile behind the last.
    """
    batch, side, positions = inputs.shape[1], in_size + 2 * padding, out_size * out_size
    channels, num_blocks = len(inputs) // (in_size * in_size), starts.shape[1]
    images, flat = inputs.reshape(inputs.size), outputs.reshape(outputs.size)
    tile = make_tile(inputs, LENGTH, channels * side * side)
    tile[:] = 0
    fewest = -(-_FEWEST_POSITIONS // out_size)
    band = min(out_size, max(fewest, _SUM_LINES // (num_blocks * ROWS * out_size)))
    sums = np.empty(num_blocks * ROWS * band * out_size * LENGTH, dtype=np.float64)
    for left in range(start * LENGTH, stop * LENGTH, LENGTH):
        for row in range(channels * in_size):
            channel, y = row // in_size, row % in_size
            target = (channel * side + y + padding) * side + padding
            for x in range(in_size):
                source = (row * in_size + x) * batch
                for lane in range(0, LENGTH, _LANES):
                    place = (target + x) * LENGTH + lane
                    round_vector(images, source, lifts, left + lane, tile, place)
        for top in range(0, out_size, band):
            bottom = min(top + band, out_size)
            size = (bottom - top) * out_size
            sums[:] = 0
            for group in range(len(starts)):
                for block in range(num_blocks):
                    first, last = starts[group, block, 0], starts[group, block, 1]
                    place = block * size * ROWS * LENGTH
                    for y in range(top, bottom):
                        for x in range(out_size):
                            base = (y * side + x) * stride
                            add_block(values, lines, first, last, tile, base, sums, place)
                            place += ROWS * LENGTH
            for row in range(len(outputs) // positions):
                source = (row // ROWS * size * ROWS + row % ROWS) * LENGTH
                target = (row * positions + top * out_size) * batch + left
                for i in range(size):
                    for lane in range(0, LENGTH, _LANES):
                        start_of_sums = source + i * ROWS * LENGTH + lane
                        copy_vector(sums, start_of_sums, flat, target + i * batch + lane)


def _round_vector(
    typing: Any, inputs: Any, start: Any, lifts: Any, first: Any, tile: Any, place: Any
) -> Any:
    """tile[place + i] = (inputs[start + first + i] + lifts[first + i]) - lifts[first + i]."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        code = VectorCode(context, builder)
        numbers = LineNumbers(code, types.float64)
        inputs, start, lifts, first, tile, place = code.find_data(signature, args)
        lift = numbers.load(code.move(lifts, first))
        values = numbers.load(code.move(inputs, builder.add(start, first)))
        rounded = builder.fsub(builder.fadd(values, lift), lift)
        numbers.store(rounded, code.move(tile, place))
        return context.get_dummy_value()

    return types.void(inputs, start, lifts, first, tile, place), generate


def _add_block(
    typing: Any,
    values: Any,
    lines: Any,
    first: Any,
    stop: Any,
    tile: Any,
    base: Any,
    sums: Any,
    place: Any,
) -> Any:
    """Add the products of a block's entries with their lines, as the window stands at `base`.

    sums[place + r L + i] += Σ_k values[k R + r] · tile[(base + lines[k]) L + i]

    for first <= k < stop, 0 <= r < R = `ROWS`, 0 <= i < L = `LENGTH`.
    """

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        code = VectorCode(context, builder)
        numbers = LineNumbers(code, types.float64)
        values, lines, first, stop, tile, base, sums, place = code.find_data(signature, args)
        window = code.move(tile, builder.mul(base, number(LENGTH)))
        for lanes in _find_shares("+avx512f" in context.codegen().magic_tuple()[2]):
            targets = [
                code.move(sums, builder.add(place, number(row * LENGTH + lane)))
                for row in range(ROWS)
                for lane in lanes
            ]
            loop = CarryLoop(builder, first, stop, 1, [numbers.load(each) for each in targets])
            line = builder.zext(code.load_number(code.move(lines, loop.index)), ir.IntType(64))
            line = code.move(window, builder.mul(line, number(LENGTH)))
            vectors = [numbers.load(code.move(line, lane)) for lane in lanes]
            entry = code.move(values, builder.mul(loop.index, number(ROWS)))
            weights = [numbers.repeat(code.load_number(code.move(entry, r))) for r in range(ROWS)]
            factors = [(weight, vector) for weight in weights for vector in vectors]
            loop.close(
                [
                    numbers.add_products(total, *pair)
                    for total, pair in zip(loop.sums, factors, strict=True)
                ]
            )
            for total, target in zip(loop.sums, targets, strict=True):
                numbers.store(total, target)
        return context.get_dummy_value()

    return types.void(values, lines, first, stop, tile, base, sums, place), generate


def _find_shares(has_wide_registers: bool) -> list[Sequence[int]]:
    """Where the vectors of a line start whose sums are held in registers together."""
    lanes = range(0, LENGTH, _LANES)
    return [lanes] if has_wide_registers else [[lane] for lane in lanes]


round_vector: Any = intrinsic(_round_vector)
add_block: Any = intrinsic(_add_block)
