"""BatchNorm, a residual sum and ReLU in one: what follows every hidden layer.

`normalize` gives max(0, BN(x) + residual) in the memory layout that x has. For bfloat16 values in
training on a CPU it runs compiled kernels: two passes forward and two back, and nothing is kept but
x, the output and two numbers a feature. Everywhere else it is torch's own operations.
"""

from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from training.kernels.compiled import can_compile
from training.networks import norm_passes
from training.networks.memory_layouts import put_chwn

Layout = Literal["rows", "CHWN"]
BatchNorm = nn.BatchNorm1d | nn.BatchNorm2d
_PLAIN_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)  # not their subclasses


def normalize(
    values: Tensor, norm: nn.Module, *, residual: Tensor | None = None, relu: bool = True
) -> Tensor:
    """max(0, norm(values) + residual), without the maximum if `relu` is False.

    Args:
        values: Output of a layer, (N, features) or (N, channels, s, s); a `BatchNorm1d` treats
            every unit (channel, row, column) of the latter as a feature.
        norm: The layer's normalisation. It computes in float32 at least.
        residual: Of the values' shape, or None.
        relu: Whether ReLU follows.

    Returns:
        The values' shape.
    """
    if isinstance(norm, BatchNorm) and type(norm) in _PLAIN_NORMS and norm.training:
        layout = _find_layout(values, norm, residual)
        if layout is not None:
            outputs, mean, variance = _FusedNorm.apply(  # type: ignore[no-untyped-call]
                values, norm.weight, norm.bias, residual, (norm.eps, relu, layout)
            )
            _move_statistics(norm, mean, variance, values.numel() // len(mean))
            fused: Tensor = outputs
            return fused
    shape = values.shape
    parameter = next(norm.parameters())
    if not isinstance(norm, nn.BatchNorm2d) and len(parameter) == shape[1:].numel():
        values = values.flatten(1)
    if not (values.is_cuda and type(norm) in _PLAIN_NORMS):  # CUDA mixes bfloat16 with float32
        values = values.to(parameter.dtype)
    plain: Tensor = norm(values)
    if residual is not None:
        plain = plain + residual.reshape(plain.shape)
    # In place on a tensor, not on a view of it: the gradient of a view comes back in another
    # memory layout, and with the channels last ReLU's own gradient then took 13 times as long.
    plain = F.relu(plain, inplace=True) if relu else plain
    return plain if plain.shape == shape else plain.view(shape)


class _FusedNorm(torch.autograd.Function):
    """Gives outputs, mean and variance; settings are ε, whether ReLU follows, and the layout."""

    @staticmethod
    def forward(ctx: Any, *inputs: Any) -> tuple[Tensor, Tensor, Tensor]:
        values, weight, bias, residual, settings = inputs
        eps, relu, layout = settings
        matrix = _matrix(values, layout)
        w, b = _vector(weight, values, layout), _vector(bias, values, layout)
        if layout == "rows":
            other = None if residual is None else _matrix(_like(residual, values, layout), layout)
            bits, moments = norm_passes.normalize_rows(matrix, w, b, other, eps=eps, relu=relu)
        else:
            bits, moments = norm_passes.normalize_chwn(matrix, w, b, eps=eps, relu=relu)
        outputs = _tensor(bits, values, layout)
        ctx.save_for_backward(values, outputs, weight)
        ctx.settings, ctx.moments, ctx.has_residual = settings, moments, residual is not None
        mean = _feature_order(moments.mean, values, layout)
        variance = _feature_order(moments.variance, values, layout)
        ctx.mark_non_differentiable(mean, variance)
        return outputs, mean, variance

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        values, outputs, weight = ctx.saved_tensors
        eps, relu, layout = ctx.settings
        w = _vector(weight, values, layout)
        x, y = _matrix(values, layout), _matrix(outputs, layout)
        gradient = _matrix(_like(gradients[0], values, layout), layout)
        through = None
        if layout == "rows":
            back, of_weight, of_bias, through = norm_passes.differentiate_rows(
                x, gradient, y, w, ctx.moments, eps=eps, relu=relu, with_residual=ctx.has_residual
            )
        else:
            back, of_weight, of_bias = norm_passes.differentiate_chwn(
                x, gradient, y, w, ctx.moments, eps=eps, relu=relu
            )
        return (
            _tensor(back, values, layout),
            _feature_order(of_weight, values, layout).to(weight.dtype),
            _feature_order(of_bias, values, layout).to(weight.dtype),
            None if through is None else _tensor(through, values, layout),
            None,
        )


def _find_layout(values: Tensor, norm: BatchNorm, residual: Tensor | None) -> Layout | None:
    """How the kernels see these values, or None if they do not take them."""
    fits = values.device.type == "cpu" and values.dtype == torch.bfloat16 and can_compile()
    fits = fits and norm.weight.dtype == torch.float32
    fits = fits and (residual is None or residual.dtype == torch.bfloat16)
    layout: Layout | None = None
    if not fits or values.numel() < 2 * norm.num_features:  # of one value torch says what is wrong
        return None
    channels_last = torch.channels_last
    if values.dim() == 2:
        if values.is_contiguous():
            layout = "rows"
        elif residual is None and values.t().is_contiguous():
            layout = "CHWN"
    elif norm.num_features == values.shape[1] and values.is_contiguous(memory_format=channels_last):
        layout = "rows"
    elif residual is None and norm.num_features == values.shape[1:].numel():
        layout = "CHWN" if values.permute(2, 3, 1, 0).is_contiguous() else None
    return layout


def _matrix(values: Tensor, layout: Layout) -> NDArray[np.uint16]:
    """The bits as (rows, features), or (features, batch), without a copy."""
    values = values.detach().view(torch.uint16)
    if layout == "CHWN" and values.dim() == 2:
        return values.t().numpy()
    if layout == "CHWN":
        return values.permute(2, 3, 1, 0).flatten(0, 2).numpy()
    if values.dim() == 4:
        values = values.permute(0, 2, 3, 1).flatten(0, 2)
    return values.numpy()


def _tensor(bits: NDArray[np.uint16], values: Tensor, layout: Layout) -> Tensor:
    """The inverse of `_matrix`: the shape of `values`, and its layout."""
    tensor = torch.from_numpy(bits).view(torch.bfloat16)
    if values.dim() == 2:
        return tensor.t() if layout == "CHWN" else tensor
    num, channels, rows, columns = values.shape
    if layout == "CHWN":
        return tensor.view(rows, columns, channels, num).permute(3, 2, 0, 1)
    return tensor.view(num, rows, columns, channels).permute(0, 3, 1, 2)


def _like(tensor: Tensor, values: Tensor, layout: Layout) -> Tensor:
    """The tensor in the memory layout of `values`."""
    if tensor.stride() == values.stride():
        return tensor
    if layout == "CHWN" and values.dim() == 2:
        return tensor.t().contiguous().t()
    if layout == "CHWN":
        return put_chwn(tensor).permute(3, 2, 0, 1)
    return torch.empty_like(values).copy_(tensor)


def _vector(tensor: Tensor, values: Tensor, layout: Layout) -> NDArray[np.float32]:
    """One number per feature, in the order that `_matrix` has them in."""
    tensor = tensor.detach()
    if layout == "CHWN" and values.dim() == 4:
        tensor = tensor.view(values.shape[1:]).permute(1, 2, 0).flatten()
    return tensor.numpy()


def _feature_order(numbers: NDArray[np.float64], values: Tensor, layout: Layout) -> Tensor:
    """The inverse of `_vector`."""
    tensor = torch.from_numpy(numbers)
    if layout == "CHWN" and values.dim() == 4:
        _, channels, rows, columns = values.shape
        tensor = tensor.view(rows, columns, channels).permute(2, 0, 1).flatten()
    return tensor


@torch.no_grad()
def _move_statistics(norm: BatchNorm, mean: Tensor, variance: Tensor, count: int) -> None:
    """What torch's BatchNorm does to its running statistics; the variance there is unbiased."""
    unbiased = variance * (count / (count - 1))
    for running, fresh in ((norm.running_mean, mean), (norm.running_var, unbiased)):
        if running is not None and norm.momentum is not None:
            running.add_(fresh - running, alpha=norm.momentum)
    if norm.num_batches_tracked is not None:
        norm.num_batches_tracked.add_(1)
