"""What the layers compute, in float64 and by another route: windows cut out and summed up."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from training.networks.layers import LocallyConnected2d
from training.networks.symmetric import SymmetricBatchNorm2d, SymmetricConv2d, turn_kernels


def layer_outputs(layer: nn.Module, images: Tensor, weight: Tensor) -> Tensor:
    """Outputs of a layer with `weight` in place of its own, without its bias, differentiable.

    Nothing here is a convolution of torch: windows of the padded images are gathered, and products
    summed by one einsum.

    Args:
        layer: A layer with a weight, as networks have them.
        images: float64 (N, channels, s, s) or (N, features).
        weight: float64, of the shape of the layer's own.
    """
    if isinstance(layer, nn.Linear):
        return torch.einsum("ni,oi->no", images, weight)
    if isinstance(layer, LocallyConnected2d):
        kernel, stride, padding = layer.kernel_size, layer.stride, layer.kernel_size // 2
        windows = _windows(F.pad(images, (padding,) * 4), kernel, stride)
        outputs = torch.einsum("nkp,pok->nop", windows, weight)
        return outputs.unflatten(2, (layer.out_size, layer.out_size))
    assert isinstance(layer, nn.Conv2d)
    kernel, stride, padding = layer.kernel_size[0], layer.stride[0], layer.padding[0]
    mode = "constant"
    if isinstance(layer, SymmetricConv2d):
        weight = turn_kernels(weight, layer.input_symmetries)
        if layer.margin:
            padding, mode = layer.margin, "replicate"
    windows = _windows(F.pad(images, (padding,) * 4, mode), kernel, stride)
    side = (images.shape[2] + 2 * padding - kernel) // stride + 1
    kernels = weight.flatten(1)
    if isinstance(layer, SymmetricConv2d) and layer.num_groups > 1:  # a channel each
        windows = windows.unflatten(1, (layer.num_groups, -1))
        return torch.einsum("nokp,ok->nop", windows, kernels).unflatten(2, (side, side))
    return torch.einsum("nkp,ok->nop", windows, kernels).unflatten(2, (side, side))


def standardized(values: Tensor, norm: nn.Module, *, in_size: bool = False) -> Tensor:
    """BatchNorm's values less their mean over their standard deviation, (N, features, ...).

    With `in_size`, the sum of both sizes in place of their difference: what its rounding goes by.
    """
    assert isinstance(norm, nn.BatchNorm1d | nn.BatchNorm2d)
    if isinstance(norm, SymmetricBatchNorm2d):
        values = values.reshape(len(values), norm.num_features, -1)
    elif isinstance(norm, nn.BatchNorm1d) and norm.num_features == values.shape[1:].numel():
        values = values.flatten(1)
    over = (0, *range(2, values.dim()))
    mean = values.mean(over, keepdim=True)
    variance = ((values - mean) ** 2).mean(over, keepdim=True)
    difference = values.abs() + mean.abs() if in_size else values - mean
    return difference / (variance + norm.eps).sqrt()


def scaled(values: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Values (N, features, ...) times one number a feature, plus another."""
    by_feature = (1, -1) + (1,) * (values.dim() - 2)
    return values * weight.view(by_feature) + bias.view(by_feature)


def _windows(images: Tensor, kernel: int, stride: int) -> Tensor:
    """(N, channels, s, s) to (N, channels · kernel², positions)."""
    windows = images.unfold(2, kernel, stride).unfold(3, kernel, stride)
    return windows.permute(0, 1, 4, 5, 2, 3).flatten(4).flatten(1, 3)
