"""Layers that torch does not have, or not safely: local, pixel by pixel, scale and shift."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from training.networks.local_product import LocalShape, local_product, takes_product


class LocallyConnected2d(nn.Module):
    """A convolution without weight sharing: every output position has a kernel of its own.

    y[n, o, p] = Σ_k weight[p, o, k] · patch[n, p, k], where patch p holds the inputs that a
    convolution with "same" padding sees at output position p, in (channel, row, column) order.
    All positions are one batched matrix product, which for bfloat16 on a CPU is taken without the
    patches (`training.networks.local_product`). The output has the CHWN in memory.

    Weights that look at padding exist but never act: their gradient is zero.

    Args:
        in_channels: Channels of the input, >= 1.
        out_channels: Channels of the output, >= 1.
        in_size: Side of the square input in pixels, >= 1.
        kernel_size: Side of the kernels, odd.
        stride: Pixels from one patch to the next, >= 1.
        bias: Whether there is a bias, one for each unit; BatchNorm needs none.

    Attributes:
        out_size: Side of the output in pixels, ceil(in_size / stride).
        weight: Shape (out_size², out_channels, in_channels·kernel_size²), positions row by row,
            drawn from U(-1/√fan_in, 1/√fan_in) with fan_in = in_channels·kernel_size².
        bias: Shape (out_channels·out_size²,), drawn likewise, or None.

    Raises:
        ValueError: An even kernel, which has no "same" padding on both sides.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        in_size: int,
        kernel_size: int,
        stride: int = 1,
        *,
        bias: bool = False,
    ) -> None:
        super().__init__()
        if kernel_size % 2 == 0:
            raise ValueError(
                f"kernel_size must be odd (same padding on both sides), not {kernel_size}"
            )
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.in_size = in_size
        self.kernel_size = kernel_size
        self.stride = stride
        self.out_size = -(-in_size // stride)
        self._shape = LocalShape(in_channels, out_channels, in_size, kernel_size, stride)
        fan_in = in_channels * kernel_size**2
        self.weight = nn.Parameter(torch.empty(self.out_size**2, out_channels, fan_in))
        units = out_channels * self.out_size**2
        self.bias: nn.Parameter | None = nn.Parameter(torch.empty(units)) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the weights anew, by the rule that torch has for convolutions."""
        bound = 1 / math.sqrt(self.weight.shape[-1])
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -bound, bound)

    def forward(self, images: Tensor) -> Tensor:
        """Map images (N, in_channels, in_size, in_size) to (N, out_channels, out_size, out_size).

        Raises:
            ValueError: Images of another shape.
        """
        expected = (self.in_channels, self.in_size, self.in_size)
        if tuple(images.shape[1:]) != expected:
            sizes = ", ".join(str(size) for size in expected)
            raise ValueError(f"images must have shape (N, {sizes}), not {tuple(images.shape)}")
        images, weight = _cast_for_matmul(images), _cast_for_matmul(self.weight)
        shape = (self.out_channels, self.out_size, self.out_size)
        if takes_product(images, weight):
            outputs = local_product(images, weight, self._shape)
        else:
            sums = torch.bmm(weight, extract_patches(images, self.kernel_size, self.stride))
            outputs = sums.permute(2, 1, 0).reshape(len(images), *shape)
        return outputs if self.bias is None else outputs + self.bias.view(shape)

    def extra_repr(self) -> str:
        """The sizes, as torch's own layers print them."""
        return (
            f"{self.in_channels}, {self.out_channels}, in_size={self.in_size}, "
            f"kernel_size={self.kernel_size}, stride={self.stride}"
        )


class PixelwiseConv2d(nn.Conv2d):
    """A convolution of which one pixel and the kernel's middle make an output: a matrix product.

    So it is with 1x1 kernels, and with any kernel on an image of one pixel. It gives the numbers
    of `nn.Conv2d` with "same" padding, which is left out here because oneDNN gets
    weight gradients of both wrong, channels last on a CPU: strided 1x1 kernels with few channels
    write past their workspace without AVX-512 (uxlfoundation/oneDNN issue 6035); in bfloat16,
    kernels that look at padding alone keep what lay in memory, and sums of emulated 1x1 kernels
    lose their last terms (both seen with oneDNN 3.12).

    Args:
        in_channels: Channels of the input, >= 1.
        out_channels: Channels of the output, >= 1.
        kernel_size: Side of the kernels, odd; above 1 only for images of one pixel.
        stride: Pixels from one output's input to the next, >= 1.
        bias: Whether there is a bias; BatchNorm needs none.

    Attributes:
        weight: Shape (out_channels, in_channels, kernel_size, kernel_size).
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        stride: int,
        *,
        bias: bool = False,
    ) -> None:
        super().__init__(
            in_channels, out_channels, kernel_size, stride, kernel_size // 2, bias=bias
        )

    def forward(self, images: Tensor) -> Tensor:
        """Map images (N, in_channels, s, s) to (N, out_channels, s', s'), s' = ceil(s / stride).

        The output has the channels last in memory.

        Raises:
            ValueError: More than one pixel under kernels above 1x1.
        """
        middle, (rows, columns) = self.kernel_size[0] // 2, self.stride
        if middle and images.shape[2:] != (1, 1):
            raise ValueError(f"images must have one pixel for {self.kernel_size} kernels")
        pixels = images.permute(0, 2, 3, 1)[:, ::rows, ::columns]
        return F.linear(pixels, self.weight[:, :, middle, middle], self.bias).permute(0, 3, 1, 2)


def patch_index(
    channels: int, size: int, kernel_size: int, stride: int, *, device: torch.device | None = None
) -> Tensor:
    """Where each entry of each patch lies in the zero-padded image.

    The padding is (kernel_size - 1) / 2 on each side, so the padded side is
    size + kernel_size - 1 and the output's side is ceil(size / stride).

    Returns:
        int64 (out_size², channels·kernel_size²): flat indices, (channel, row, column), into the
        padded image. Positions go row by row, entries by (channel, row, column).

    Two positions of one row of three pixels, seen through 3x3 kernels two pixels apart:

    >>> patch_index(1, 3, 3, 2)[:2].tolist()
    [[0, 1, 2, 5, 6, 7, 10, 11, 12], [2, 3, 4, 7, 8, 9, 12, 13, 14]]
    """
    side = size + kernel_size - 1
    pixels = torch.arange(channels * side * side, device=device).view(channels, side, side)
    windows = pixels.unfold(1, kernel_size, stride).unfold(2, kernel_size, stride)
    return windows.permute(1, 2, 0, 3, 4).flatten(2).flatten(0, 1)


def extract_patches(images: Tensor, kernel_size: int, stride: int) -> Tensor:
    """Unfold images (N, C, s, s) into patches (out_size², C·kernel_size², N).

    The batch comes last, so that a patch entry is a contiguous row and unfolding is a gather of
    rows; its gradient adds rows in a fixed order.
    """
    _, channels, size, _ = images.shape
    pad = (kernel_size - 1) // 2
    last = images.permute(1, 2, 3, 0)
    pixels = F.pad(last, (0, 0, pad, pad, pad, pad)).flatten(0, 2)
    index = patch_index(channels, size, kernel_size, stride, device=images.device)
    return F.embedding(index, pixels)


def _cast_for_matmul(values: Tensor) -> Tensor:
    """What autocast would do to the input of a matrix product; it leaves float64 alone."""
    device = values.device.type
    if device == "meta" or not torch.is_autocast_enabled(device) or values.dtype == torch.float64:
        return values
    return values.to(torch.get_autocast_dtype(device))


class ScaleShift(nn.Module):
    """y = scale · x + shift, one scale and one shift a feature: BatchNorm in eval mode, folded.

    Args:
        num_features: Size of dimension 1 of the input, or a part of it: then the same number of
            channels in a row share each feature.

    Attributes:
        scale: Shape (num_features,), starts at 1.
        shift: Shape (num_features,), starts at 0.
    """

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(num_features))
        self.shift = nn.Parameter(torch.zeros(num_features))

    def forward(self, values: Tensor) -> Tensor:
        """Scale and shift values of shape (N, channels) or (N, channels, s, s)."""
        shape = (1, -1) + (1,) * (values.dim() - 2)
        scale: Tensor = self.scale
        shift: Tensor = self.shift
        if len(scale) != values.shape[1]:
            repeats = values.shape[1] // len(scale)
            scale, shift = scale.repeat_interleave(repeats), shift.repeat_interleave(repeats)
        return values * scale.view(shape) + shift.view(shape)

    def extra_repr(self) -> str:
        """The number of features."""
        return str(len(self.scale))
