"""BatchNorm and ReLU where the batch lies last in memory: one row for each feature.

Values are bfloat16 as uint16, shape (features, batch). A row is in the nearest cache from its first
pass to its last. Sums run in `LANES` lanes of float32, joined in float64.
"""

import numpy as np

from training.kernels.batch_norm import activate, pass_gradient
from training.kernels.bf16 import Cells, Real, round_bf16, widen_bf16

LANES = 64
QUARTER = LANES // 4


def join(lanes: Cells) -> float:
    """The sum of the lanes in a fixed order: a quarter of them in float32, those in float64."""
    total = 0.0
    for i in range(QUARTER):
        total += (lanes[i] + lanes[i + QUARTER]) + (lanes[i + 2 * QUARTER] + lanes[i + 3 * QUARTER])
    return total


def add_differences(chunk: Cells, origin: Real, lanes: Cells, squares: Cells) -> None:
    """Add x - o and (x - o)² of up to `LANES` entries, one a lane."""
    for i in range(len(chunk)):
        value = widen_bf16(chunk[i]) - origin
        lanes[i] += value
        squares[i] += value * value


def add_products(
    chunk: Cells,
    gradient: Cells,
    output: Cells,
    centre: Real,
    has_relu: bool,
    lanes: Cells,
    products: Cells,
) -> None:
    """Add g and g (x - mean) of up to `LANES` entries, one a lane, g past the ReLU."""
    for i in range(len(chunk)):
        passed = pass_gradient(gradient[i], output[i], has_relu)
        lanes[i] += passed
        products[i] += passed * (widen_bf16(chunk[i]) - centre)


def scale_row(row: Cells, scale: Real, shift: Real, output: Cells, has_relu: bool) -> None:
    """max(0, scale x + shift) of one feature."""
    for i in range(len(row)):
        output[i] = round_bf16(activate(widen_bf16(row[i]) * scale + shift, has_relu))


def differentiate_feature(
    row: Cells,
    gradient: Cells,
    output: Cells,
    centre: Real,
    slope: Real,
    lean: Real,
    level: Real,
    has_relu: bool,
    back: Cells,
) -> None:
    """∂x = a g + b (x - mean) + c of one feature, with a, b, c the slope, lean and level."""
    for i in range(len(row)):
        passed = pass_gradient(gradient[i], output[i], has_relu)
        value = slope * passed + level + lean * (widen_bf16(row[i]) - centre)
        back[i] = round_bf16(value)


def measure_row(row: Cells, lanes: Cells, squares: Cells) -> tuple[float, float]:
    """Mean and variance of one row in float64; differences from its first entry are summed."""
    origin = widen_bf16(row[0])
    lanes[:] = np.float32(0)
    squares[:] = np.float32(0)
    for left in range(0, len(row), LANES):
        add_differences(row[left : left + LANES], origin, lanes, squares)
    shift = join(lanes) / len(row)
    return origin + shift, max(0.0, join(squares) / len(row) - shift * shift)


def measure_rows(values: Cells, mean: Cells, variance: Cells, start: int, stop: int) -> None:
    """Means and variances of rows start, ..., stop - 1."""
    lanes, squares = np.empty(LANES, dtype=np.float32), np.empty(LANES, dtype=np.float32)
    for i in range(start, stop):
        mean[i], variance[i] = measure_row(values[i], lanes, squares)


def normalize_features(
    values: Cells,
    weight: Cells,
    bias: Cells,
    eps: float,
    mean: Cells,
    variance: Cells,
    outputs: Cells,
    start: int,
    stop: int,
    has_relu: bool,
) -> None:
    """Outputs max(0, BN(x)) of features start, ..., stop - 1, with their means and variances."""
    lanes, squares = np.empty(LANES, dtype=np.float32), np.empty(LANES, dtype=np.float32)
    for feature in range(start, stop):
        row = values[feature]
        centre, spread = measure_row(row, lanes, squares)
        mean[feature] = centre
        variance[feature] = spread
        scale = np.float32(weight[feature] / np.sqrt(spread + eps))
        shift = np.float32(bias[feature] - centre * scale)
        scale_row(row, scale, shift, outputs[feature], has_relu)


def differentiate_features(
    values: Cells,
    gradients: Cells,
    outputs: Cells,
    weight: Cells,
    mean: Cells,
    deviation: Cells,
    back: Cells,
    of_weight: Cells,
    of_bias: Cells,
    start: int,
    stop: int,
    has_relu: bool,
) -> None:
    """Gradients of values, weight and bias for features start, ..., stop - 1.

    `deviation` holds √(σ² + ε).
    """
    lanes, products = np.empty(LANES, dtype=np.float32), np.empty(LANES, dtype=np.float32)
    batch = values.shape[1]
    for feature in range(start, stop):
        centre = mean[feature]
        row, gradient, output = values[feature], gradients[feature], outputs[feature]
        lanes[:] = np.float32(0)
        products[:] = np.float32(0)
        for left in range(0, batch, LANES):
            right = left + LANES
            add_products(
                row[left:right],
                gradient[left:right],
                output[left:right],
                centre,
                has_relu,
                lanes,
                products,
            )
        total, product = join(lanes), join(products)
        of_bias[feature] = total
        of_weight[feature] = product / deviation[feature]
        slope = weight[feature] / deviation[feature]
        lean = -slope * product / (batch * deviation[feature] * deviation[feature])
        differentiate_feature(
            row,
            gradient,
            output,
            centre,
            np.float32(slope),
            np.float32(lean),
            np.float32(-slope * total / batch),
            has_relu,
            back[feature],
        )
