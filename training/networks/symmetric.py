"""A convolution whose kernels act in all eight positions of a square, and its BatchNorm.

The symmetries of a square are rotations by quarter turns, without and with a mirror before them:
element g = r + 4f mirrors a plane left to right if f = 1, then turns it r times. A kernel gives
eight channels, one an element. Where the input has such channels itself, they change places along
with the turning of the kernel, so that turning the input turns and permutes the output: a group
convolution (Cohen and Welling 2016). Only the kernels are parameters.
"""

from functools import lru_cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from training.spec.architectures import NUM_SYMMETRIES, LayerSpec


class SymmetricConv2d(nn.Conv2d):
    """A convolution with `NUM_SYMMETRIES` channels of output for each kernel.

    Channel 8b + g of the output uses kernel b in position g; if the layer is depthwise, on channel
    8b + g of the input.

    Args:
        layer: A "conv" layer whose `symmetries` is 8.
        bias: Whether there is a bias; BatchNorm needs none.

    Attributes:
        weight: Shape (out_channels / 8, channels seen, kernel, kernel).
        bias: Shape (out_channels / 8,), or None.
    """

    def __init__(self, layer: LayerSpec, *, bias: bool = False) -> None:
        super().__init__(
            layer.channels_seen,
            layer.out_channels // layer.symmetries,
            layer.kernel or 1,
            layer.stride,
            layer.padding,
            bias=bias,
        )
        self.input_symmetries = 1 if layer.depthwise else layer.input_symmetries
        self.num_groups = layer.in_channels // layer.channels_seen
        self.margin = layer.padding if layer.edge_padding else 0

    def forward(self, images: Tensor) -> Tensor:
        """Map images (N, in_channels, s, s) to (N, 8 kernels, s', s')."""
        kernels = turn_kernels(self.weight, self.input_symmetries)
        bias = self.bias
        if bias is not None:
            bias = bias[:, None].expand(-1, NUM_SYMMETRIES).flatten()
        padding = self.padding
        if self.margin:  # of channels last torch pads slowly, so that they become so afterwards
            images = F.pad(images, (self.margin,) * 4, "replicate")
            images, padding = images.contiguous(memory_format=torch.channels_last), (0, 0)
        return F.conv2d(images, kernels, bias, self.stride, padding, groups=self.num_groups)


class SymmetricBatchNorm2d(nn.BatchNorm2d):
    """BatchNorm with one mean, variance, weight and bias for the eight channels of a kernel."""

    def forward(self, values: Tensor) -> Tensor:
        """Normalise values (N, 8 kernels, s, s)."""
        shape = values.shape
        together = values.reshape(shape[0], self.num_features, -1, shape[-1])
        return super().forward(together).view(shape)


def turn_kernels(kernels: Tensor, input_symmetries: int) -> Tensor:
    """Every kernel in all eight positions.

    Args:
        kernels: (b, channels, k, k).
        input_symmetries: 8 if the channels of the input are those of a symmetric layer, else 1.

    Returns:
        (8b, channels, k, k): kernel b in position g is at 8b + g.

    >>> turn_kernels(torch.tensor([[[[1, 0], [0, 0]]]]), 1)[:4].flatten(1).tolist()
    [[1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1], [0, 1, 0, 0]]
    """
    turned: Tensor = _TurnKernels.apply(kernels, input_symmetries)  # type: ignore[no-untyped-call]
    return turned


class _TurnKernels(torch.autograd.Function):
    """All positions in one gather, channels last in memory; its gradient is one gather too."""

    @staticmethod
    def forward(ctx: Any, kernels: Tensor, input_symmetries: int) -> Tensor:
        ctx.shape, ctx.input_symmetries = kernels.shape, input_symmetries
        number, channels, size, _ = kernels.shape
        places, _ = _places(channels, size, input_symmetries, kernels.device)
        turned = kernels.reshape(number, -1)[:, places]
        return turned.view(-1, size, size, channels).permute(0, 3, 1, 2)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        number, channels, size, _ = ctx.shape
        _, sources = _places(channels, size, ctx.input_symmetries, gradients[0].device)
        turned = gradients[0].permute(0, 2, 3, 1).reshape(number, -1)
        summed = turned[:, sources].view(number, NUM_SYMMETRIES, -1).sum(dim=1)
        return summed.view(ctx.shape), None


@lru_cache(maxsize=64)
def _places(
    channels: int, size: int, input_symmetries: int, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Of which entry of a kernel each entry of its eight positions is, channels last; the inverse.

    The second goes by position and entry of the kernel, and gives where it comes to lie.
    """
    entries = torch.arange(channels * size**2).view(-1, input_symmetries, size, size)
    turned = []
    for element in range(NUM_SYMMETRIES):
        moved = entries[:, _sources(element)] if input_symmetries > 1 else entries
        moved = moved.flip(-1) if element >= 4 else moved
        moved = torch.rot90(moved, element % 4, (-2, -1)).flatten(0, 1)
        turned.append(moved.permute(1, 2, 0).flatten())
    places = torch.stack(turned)
    starts = torch.arange(NUM_SYMMETRIES)[:, None] * places.shape[1]
    return places.flatten().to(device), (places.argsort(dim=1) + starts).flatten().to(device)


def compose(first: int, second: int) -> int:
    """The symmetry that is `second`, then `first`.

    Mirror and turn: m r = r⁻¹ m.

    >>> compose(1, 3), compose(4, 1), compose(4, 4)
    (0, 7, 0)
    """
    turns = second % 4 if first < 4 else -(second % 4)
    return (first + turns) % 4 + 4 * ((first // 4 + second // 4) % 2)


def _sources(element: int) -> list[int]:
    """Of which input channel each plane of a kernel in position `element` is: g⁻¹h for h."""
    inverse = next(g for g in range(NUM_SYMMETRIES) if compose(element, g) == 0)
    return [compose(inverse, h) for h in range(NUM_SYMMETRIES)]
