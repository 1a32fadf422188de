"""BatchNorm with what follows it, as kernels for `training.kernels.compiled`.

Values are bfloat16 as uint16, in a matrix with one row for each image (and position) and one
column for each feature, or, where the batch lies last in memory, the other way round. Arithmetic
is float32; sums over a batch are taken in blocks and joined in float64 by the caller.
"""

import numpy as np

from training.kernels.bf16 import Cells, Real, round_bf16, widen_bf16

TILE = 512  # Columns whose sums stay in the nearest cache.


def add_moments(row: Cells, origin: Cells, sums: Cells, squares: Cells) -> None:
    """Add x - o and (x - o)² of one row to the sums."""
    for i in range(len(row)):
        value = widen_bf16(row[i]) - origin[i]
        sums[i] += value
        squares[i] += value * value


def sum_blocks(
    values: Cells, origin: Cells, first: int, last: int, block: int, sums: Cells, squares: Cells
) -> None:
    """Σ (x - o) and Σ (x - o)² of each column, over each of blocks first, ..., last - 1.

    A block is `block` rows; `sums` and `squares` have a row for each and start at 0.
    """
    for index in range(first, last):
        stop = min(len(values), (index + 1) * block)
        for left in range(0, values.shape[1], TILE):
            right = left + TILE
            for i in range(index * block, stop):
                add_moments(
                    values[i, left:right],
                    origin[left:right],
                    sums[index, left:right],
                    squares[index, left:right],
                )


def activate(value: Real, has_relu: bool) -> Real:
    """max(0, value), or the value itself; NaN stays NaN."""
    zero = np.float32(0)
    return zero if has_relu and value <= zero else value


def normalize_row(row: Cells, scale: Cells, shift: Cells, output: Cells, has_relu: bool) -> None:
    """max(0, scale x + shift) of one row."""
    for i in range(len(row)):
        value = widen_bf16(row[i]) * scale[i] + shift[i]
        output[i] = round_bf16(activate(value, has_relu))


def normalize_row_with(
    row: Cells, scale: Cells, shift: Cells, residual: Cells, output: Cells, has_relu: bool
) -> None:
    """max(0, scale x + shift + residual) of one row."""
    for i in range(len(row)):
        value = widen_bf16(row[i]) * scale[i] + shift[i] + widen_bf16(residual[i])
        output[i] = round_bf16(activate(value, has_relu))


def normalize_rows(
    values: Cells,
    scale: Cells,
    shift: Cells,
    residual: Cells,
    outputs: Cells,
    start: int,
    stop: int,
    has_residual: bool,
    has_relu: bool,
) -> None:
    """max(0, scale x + shift + residual) of rows start, ..., stop - 1."""
    for i in range(start, stop):
        if has_residual:
            normalize_row_with(values[i], scale, shift, residual[i], outputs[i], has_relu)
        else:
            normalize_row(values[i], scale, shift, outputs[i], has_relu)


def pass_gradient(gradient: Real, output: Real, has_relu: bool) -> Real:
    """The gradient where the ReLU let the output through, else 0."""
    passes = np.uint16(output - np.uint16(1)) < np.uint16(0x7FFF)  # the output is > 0
    return widen_bf16(gradient) if passes or not has_relu else np.float32(0)


def add_gradients(
    row: Cells,
    gradient: Cells,
    output: Cells,
    mean: Cells,
    has_relu: bool,
    sums: Cells,
    products: Cells,
) -> None:
    """Add g and g (x - mean) of one row to the sums, g past the ReLU."""
    for i in range(len(row)):
        passed = pass_gradient(gradient[i], output[i], has_relu)
        sums[i] += passed
        products[i] += passed * (widen_bf16(row[i]) - mean[i])


def sum_gradient_blocks(
    values: Cells,
    gradients: Cells,
    outputs: Cells,
    mean: Cells,
    first: int,
    last: int,
    block: int,
    has_relu: bool,
    sums: Cells,
    products: Cells,
) -> None:
    """Σ g and Σ g (x - mean) of each column, in blocks as `sum_blocks` has them."""
    for index in range(first, last):
        stop = min(len(values), (index + 1) * block)
        for left in range(0, values.shape[1], TILE):
            right = left + TILE
            for i in range(index * block, stop):
                add_gradients(
                    values[i, left:right],
                    gradients[i, left:right],
                    outputs[i, left:right],
                    mean[left:right],
                    has_relu,
                    sums[index, left:right],
                    products[index, left:right],
                )


def differentiate_row(
    row: Cells,
    gradient: Cells,
    output: Cells,
    mean: Cells,
    slope: Cells,
    lean: Cells,
    level: Cells,
    has_relu: bool,
    back: Cells,
) -> None:
    """∂x = a g + b (x - mean) + c of one row, with a, b, c the slope, lean and level."""
    for i in range(len(row)):
        passed = pass_gradient(gradient[i], output[i], has_relu)
        value = slope[i] * passed + level[i] + lean[i] * (widen_bf16(row[i]) - mean[i])
        back[i] = round_bf16(value)


def pass_row(gradient: Cells, output: Cells, has_relu: bool, through: Cells) -> None:
    """The gradient of the residual, which is that past the ReLU."""
    for i in range(len(gradient)):
        passes = not has_relu or (output[i] != 0 and output[i] < 0x8000)
        through[i] = gradient[i] if passes else np.uint16(0)


def differentiate_rows(
    values: Cells,
    gradients: Cells,
    outputs: Cells,
    mean: Cells,
    slope: Cells,
    lean: Cells,
    level: Cells,
    start: int,
    stop: int,
    has_relu: bool,
    has_residual: bool,
    back: Cells,
    through: Cells,
) -> None:
    """∂x = a g + b (x - mean) + c of rows start, ..., stop - 1; g continues to the residual."""
    for i in range(start, stop):
        differentiate_row(
            values[i], gradients[i], outputs[i], mean, slope, lean, level, has_relu, back[i]
        )
        if has_residual:
            pass_row(gradients[i], outputs[i], has_relu, through[i])
