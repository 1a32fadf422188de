"""Moving images between layouts: channels first or last in memory, or CHWN, the batch innermost.

In torch a transposed matrix is copied fast, and so are rows of the batch; a general permutation
takes 20 times as long. So these go through the former, or through a compiled kernel.
"""

from functools import lru_cache
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from training.kernels import bf16
from training.kernels.backends import run_split
from training.kernels.compiled import can_compile, compile_kernels

_GRAIN_ENTRIES = 2**17  # Entries that are worth a thread.


def put_chwn(images: Tensor) -> Tensor:
    """Images (N, C, s, s) as (s, s, C, N), contiguous; a view where memory has that order.

    >>> import torch
    >>> put_chwn(torch.arange(4.0).view(1, 4, 1, 1)).flatten().tolist()
    [0.0, 1.0, 2.0, 3.0]
    """
    last = images.permute(2, 3, 1, 0)
    if images.is_contiguous() and not last.is_contiguous():
        units = images.flatten(1).t().contiguous()
        last = units.view(*images.shape[1:], -1).permute(1, 2, 0, 3)
    return last.contiguous()


def flatten_units(images: Tensor) -> Tensor:
    """Images (N, C, s, s) as a matrix (N, C·s·s), like `flatten(1)`.

    Where the batch lies last in memory it does so in the matrix too, which products take as it is.

    >>> import torch
    >>> images = torch.zeros(2, 2, 3, 5).permute(3, 2, 0, 1)
    >>> flatten_units(images).stride(), images.flatten(1).stride()
    ((1, 5), (12, 1))
    """
    if images.dim() == 4 and images.permute(2, 3, 1, 0).is_contiguous():
        return images.permute(1, 2, 3, 0).contiguous().flatten(0, 2).t()
    if _has_kernel(images):
        units: Tensor = _FlattenChannelsLast.apply(images)  # type: ignore[no-untyped-call]
        return units
    return images.flatten(1)


class _FlattenChannelsLast(torch.autograd.Function):
    """flatten(1) of images with channels last in memory, whose gradient has them last too."""

    @staticmethod
    def forward(ctx: Any, images: Tensor) -> Tensor:
        num, channels, rows, columns = images.shape
        ctx.shape = images.shape
        pixels = images.permute(0, 2, 3, 1).view(num, rows * columns, channels)
        return _transpose(pixels).flatten(1)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        num, channels, rows, columns = ctx.shape
        units = gradients[0].contiguous().view(num, channels, rows * columns)
        return _transpose(units).view(num, rows, columns, channels).permute(0, 3, 1, 2)


def _has_kernel(images: Tensor) -> bool:
    fits = images.dim() == 4 and images.dtype == torch.bfloat16 and images.device.type == "cpu"
    fits = fits and images.shape[1] > 1 and images.shape[2] > 1 and images.numel() > 0
    return fits and images.is_contiguous(memory_format=torch.channels_last) and can_compile()


def _transpose(matrices: Tensor) -> Tensor:
    """(N, A, B) to (N, B, A), both contiguous, bfloat16."""
    num, height, width = matrices.shape
    flipped = torch.empty(num, width, height, dtype=matrices.dtype)
    source = matrices.detach().view(torch.uint16).numpy()
    target = flipped.view(torch.uint16).numpy()

    def apply(start: int, stop: int) -> None:
        _kernels().transpose_matrices(source, target, start, stop)

    run_split(apply, num, grain=max(1, _GRAIN_ENTRIES // (height * width)))
    return flipped


@lru_cache(maxsize=1)
def _kernels() -> SimpleNamespace:
    return compile_kernels([bf16], ["transpose_matrices"])
