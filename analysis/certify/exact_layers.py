"""The layers of the stated evaluation, each by the products that are fewest for its weights.

Every form gives the same numbers: the products are integers in one unit, and so is every partial
sum, at most 2^53 in absolute value (`analysis.certify.exact_evaluation`). Which form a layer takes
hangs on its kind and its nonzeros alone, never on a clock.

- `DenseLayer` is torch's own layer in float64.
- `SparseLayer` multiplies the nonzeros of a dense or local weight. A product with a zero weight is
  zero and is left out, but for an image without a class, whose values are NaN all over: it is
  given NaN for every sum, as it gets from a dense product.
- `WindowLayer` convolves by a compiled kernel, which leaves out the zeros of four channels.

Why no narrower products: an exact sum over m terms in float32 leaves 24 - log2 m bits for weight
and value together, so weights of 20 bits and values of 23, as at m = 3072, would be cut into four
parts each. Sixteen products cost more than one in float64, which costs two of float32.
"""

from functools import lru_cache
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from analysis.certify.exact_numbers import find_lift, round_entries, round_to_bits, round_weights
from training.kernels import bf16
from training.kernels.backends import run_split
from training.kernels.compiled import can_compile, compile_kernels
from training.networks.layers import LocallyConnected2d, ScaleShift, patch_index
from training.networks.symmetric import SymmetricConv2d, turn_kernels
from training.sparse.products import multiply
from training.sparse.support import Support, collect, column_type
from training.spec.architectures import LayerSpec

Linear = nn.Conv2d | nn.Linear | LocallyConnected2d
Array = NDArray[Any]

_SPARSE = 4
"""A weight of which less than one in so many is a nonzero is multiplied by its nonzeros."""
_ROWS, _LENGTH = 4, 16  # Of `training.kernels.window_products`.
_LINE_BYTES = 8 * _LENGTH
_GROUP_BYTES = 2**15  # Of the lines of a group of channels: a first-level cache.


def exact_layer(module: Linear, layer: LayerSpec, device: torch.device) -> nn.Module:
    """A layer's stated evaluation: float64 values (N, ...) to float64 sums (N, ...).

    Args:
        module: The layer with the weights that were decoded; their tensors are left alone.
        layer: What the table says of it.
        device: Where to compute.
    """
    if device.type == "cpu":
        if isinstance(module, nn.Conv2d):
            if can_compile():
                return WindowLayer(module, layer)
        elif _SPARSE * int(torch.count_nonzero(module.weight)) < module.weight.numel():
            return SparseLayer(module, layer)
    return DenseLayer(module, device)


class DenseLayer(nn.Module):
    """A layer with its weights rounded, on rounded values; the bias follows the sum.

    Args:
        module: As in `exact_layer`; it becomes a part of this one.
        device: Where to compute.
    """

    def __init__(self, module: Linear, device: torch.device) -> None:
        super().__init__()
        weight = module.weight.detach().to(device, torch.float64, copy=True).contiguous()
        is_convolution = isinstance(module, nn.Conv2d)
        self.num_bits = round_weights(weight.view(len(weight), -1) if is_convolution else weight)
        self.bias = _take_bias(module, device)
        module.weight = nn.Parameter(weight, requires_grad=False)
        self.module = module

    def forward(self, values: Tensor) -> Tensor:
        """The layer's sums."""
        sums: Tensor = self.module(round_to_bits(values, self.num_bits))
        return sums if self.bias is None else sums + self.bias


class SparseLayer(nn.Module):
    """A dense or local layer on a CPU by its nonzeros, one product each.

    Args:
        module: As in `exact_layer`.
        layer: What the table says of it.
    """

    def __init__(self, module: nn.Linear | LocallyConnected2d, layer: LayerSpec) -> None:
        super().__init__()
        self.support, entries = collect(module.weight.detach().cpu().flatten(0, -2))
        self.values = entries.to(torch.float64)
        self.num_bits = round_entries(self.support.row_starts, self.values)
        self.shape: tuple[int, ...] = (layer.out_features,)
        if isinstance(module, LocallyConnected2d):
            self.support, self.values = _join_pixels(self.support, self.values, layer)
            self.shape = (layer.out_channels, layer.out_size, layer.out_size)
        self.bias = _take_bias(module, torch.device("cpu"))

    def forward(self, values: Tensor) -> Tensor:
        """The layer's sums, the batch last in memory."""
        lifts = find_lift(values, self.num_bits)
        units = values.flatten(1).t().add(lifts).sub_(lifts).contiguous()
        sums = (
            _spread_nan(lifts, multiply(self.support, self.values, units))
            .view(*self.shape, -1)
            .movedim(-1, 0)
        )
        return sums if self.bias is None else sums + self.bias


class WindowLayer(nn.Module):
    """A convolution on a CPU by `training.kernels.window_products`.

    Args:
        module: As in `exact_layer`.
        layer: What the table says of it.
    """

    def __init__(self, module: nn.Conv2d, layer: LayerSpec) -> None:
        super().__init__()
        weight = module.weight.detach().to("cpu", torch.float64, copy=True).contiguous()
        self.num_bits = round_weights(weight.view(len(weight), -1))
        self.margin = 0
        if isinstance(module, SymmetricConv2d):
            weight = turn_kernels(weight, module.input_symmetries)
            weight = _spread_groups(weight, module.num_groups)
            self.margin = module.margin
        self.out_channels, self.out_size = layer.out_channels, layer.out_size
        self.stride, self.padding = layer.stride, layer.padding - self.margin
        self.entries = _cut_blocks(weight.numpy(), layer.in_size + 2 * layer.padding)

    def forward(self, values: Tensor) -> Tensor:
        """The layer's sums, the batch last in memory."""
        lifts = find_lift(values, self.num_bits)
        if self.margin:
            values = F.pad(values, (self.margin,) * 4, "replicate")
        in_size, units = values.shape[-1], values.permute(1, 2, 3, 0).flatten(0, 2).contiguous()
        missing = -len(values) % _LENGTH
        if missing:
            units, lifts = F.pad(units, (0, missing)), F.pad(lifts, (0, missing))
        sums = units.new_empty(self.out_channels * self.out_size**2, len(lifts))
        arrays = (*self.entries, units.numpy(), lifts.numpy())
        sizes = (in_size, self.padding, self.stride, self.out_size)

        def work(start: int, stop: int) -> None:
            _kernels().convolve(*arrays, *sizes, sums.numpy(), start, stop)

        run_split(work, len(lifts) // _LENGTH, grain=1)
        sums = _spread_nan(lifts, sums)[:, : len(values)]
        return sums.view(self.out_channels, self.out_size, self.out_size, -1).permute(3, 0, 1, 2)


class ExactScaleShift(ScaleShift):
    """A scale and a shift in float64, in place on the sums of the layer before.

    Args:
        module: The scales and shifts that were decoded.
        device: Where to compute.
    """

    def __init__(self, module: ScaleShift, device: torch.device) -> None:
        super().__init__(len(module.scale))
        for name, tensor in module.state_dict().items():
            numbers = tensor.to(device, torch.float64)
            self.register_parameter(name, nn.Parameter(numbers, requires_grad=False))

    def forward(self, values: Tensor) -> Tensor:
        """Scale, then shift sums of shape (N, channels) or (N, channels, s, s)."""
        features = values.unflatten(1, (len(self.scale), -1))  # type: ignore[no-untyped-call]
        shape = (-1,) + (1,) * (features.dim() - 2)
        features.mul_(self.scale.view(shape)).add_(self.shift.view(shape))
        return values


def _take_bias(module: Linear, device: torch.device) -> Tensor | None:
    """A layer's bias in float64; the layer then has none."""
    bias: Tensor | None = getattr(module, "bias", None)
    if bias is None:
        return None
    module.register_parameter("bias", None)
    return bias.detach().to(device, torch.float64)


def _spread_groups(weight: Tensor, num_groups: int) -> Tensor:
    """The weight (rows, channels of one group, k, k) with zeros for the channels of the others."""
    if num_groups == 1:
        return weight
    spread = weight.new_zeros(num_groups, len(weight) // num_groups, num_groups, *weight.shape[1:])
    groups = torch.arange(num_groups)
    spread[groups, :, groups] = weight.view(num_groups, -1, *weight.shape[1:])
    return spread.flatten(0, 1).flatten(1, 2)


def _spread_nan(lifts: Tensor, sums: Tensor) -> Tensor:
    """The sums (rows, N), NaN for every image that has no rounded values."""
    bad = lifts.isnan()
    if bool(bad.any()):
        sums[:, bad] = float("nan")
    return sums


def _join_pixels(support: Support, values: Tensor, layer: LayerSpec) -> tuple[Support, Tensor]:
    """The entries of a local weight as those of the matrix from pixels to outputs.

    Args:
        support: Rows (position, channel), columns as in a patch.
        values: Of the entries.
        layer: The local layer.

    Returns:
        Rows (channel, position) and columns (channel, row, column), without the entries that look
        at padding.
    """
    kernel, size = layer.kernel or 1, layer.in_size
    places = torch.arange(support.num_rows)
    positions, channels = places // layer.out_channels, places % layer.out_channels
    rows = channels * layer.out_size**2 + positions
    counts = support.row_starts.diff()
    positions, rows = positions.repeat_interleave(counts), rows.repeat_interleave(counts)
    index = patch_index(layer.in_channels, size, kernel, layer.stride)
    seen = torch.full((layer.in_channels, *(size + 2 * layer.padding,) * 2), -1)
    middle = slice(layer.padding, layer.padding + size)
    seen[:, middle, middle] = torch.arange(layer.in_features).view(-1, size, size)
    columns = seen.flatten()[index[positions, support.columns.to(torch.int64)]]
    order = (rows * layer.in_features + columns).argsort()
    order = order[columns[order] >= 0]
    starts = torch.zeros(layer.out_features + 1, dtype=torch.int64)
    starts[1:] = torch.bincount(rows[order], minlength=layer.out_features).cumsum(0)
    kind = column_type(layer.in_features)
    return Support(starts, columns[order].to(kind), layer.in_features), values[order]


def _cut_blocks(weight: Array, side: int) -> tuple[Array, Array, Array]:
    """A convolution's weight (rows, channels, kernel, kernel) as `convolve` takes it.

    Args:
        weight: float64.
        side: Of the padded image in pixels.

    Returns:
        The starts, lines and values.
    """
    num_rows, num_channels, kernel, _ = weight.shape
    rows = np.pad(weight.reshape(num_rows, -1), ((0, -num_rows % _ROWS), (0, 0)))
    blocks = rows.reshape(-1, _ROWS, rows.shape[1])
    channels, y, x = np.indices((num_channels, kernel, kernel)).reshape(3, -1)
    group = channels // max(1, _GROUP_BYTES // (kernel * side * _LINE_BYTES))
    block, column = np.nonzero((blocks != 0).any(axis=1))
    order = np.lexsort((column, block, group[column]))
    block, column = block[order], column[order]
    shape = (int(group[-1]) + 1, len(blocks))
    counts = np.bincount(group[column] * len(blocks) + block, minlength=shape[0] * shape[1])
    ends = counts.cumsum()
    starts = np.stack([ends - counts, ends], axis=-1).reshape(*shape, 2)
    lines = ((channels * side + y) * side + x)[column]
    return starts, lines.astype(np.int32), blocks[block, :, column].ravel()


@lru_cache(maxsize=1)
def _kernels() -> SimpleNamespace:
    from training.kernels import (  # noqa: PLC0415  # these need numba
        batch_lines,
        line_products,
        sparse_products,
        vector_code,
        window_products,
    )

    modules = [bf16, vector_code, batch_lines, line_products, sparse_products, window_products]
    return compile_kernels(modules, ["convolve"])
