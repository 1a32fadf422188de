"""The locally connected product in bfloat16 on a CPU, without a copy of any patch.

Output position p and input pixel x are joined where p's window sees x, by a matrix of weights:

    y[p] = Σ_x W[p, x] v[x]      ∂v[x] = Σ_p W[p, x]ᵀ ∂y[p]      ∂W[p, x] = ∂y[p] v[x]ᵀ

The batch lies last in memory, (row, column, channel, batch), in and out. Each output is a float32
sum that is rounded once, in an order that does not depend on the number of threads.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from training.kernels import bf16
from training.kernels.backends import run_split
from training.kernels.compiled import can_compile, compile_kernels
from training.networks.memory_layouts import put_chwn

Indices = NDArray[np.int64]
Bits = NDArray[np.uint16]
_SMALLEST_BATCH = 32  # Columns of the kernels' tiles.
_BLOCK = 32  # Channels of a place that are worked on at a time.
_GRAIN = 2**22  # Products that are worth a thread.
_SHARES = 1024  # Pieces of equal size that work is cut into.


@dataclass(frozen=True)
class Links:
    """Links between places of two sides, seen from one of them.

    Attributes:
        bounds: Shape (places + 1,); place q has the links bounds[q], ..., bounds[q + 1] - 1.
        ends: Shape (links,), the place at each link's other end.
        sources: Shape (links,), where the link's weight for the first channel of both ends lies in
            the flat weights.
        most: The most links that a place has.
    """

    bounds: Indices
    ends: Indices
    sources: Indices
    most: int


@lru_cache(maxsize=64)
def link_places(size: int, kernel_size: int, stride: int, num_weights: int) -> tuple[Links, Links]:
    """The links of output positions to input pixels, and the same of pixels to positions.

    There is a link for each entry of each position's window that sees a pixel, not padding.

    Args:
        size: Side of the input in pixels.
        kernel_size: Side of the window, odd.
        stride: Pixels from one window to the next.
        num_weights: Weights of a position, in (output, channel, row, column) order.

    Two positions with a window of three that are two pixels apart, in one dimension of two:

    >>> forth, back = link_places(3, 3, 2, 9)
    >>> forth.bounds.tolist(), forth.ends[:4].tolist(), forth.sources[:4].tolist()
    ([0, 4, 8, 12, 16], [0, 1, 3, 4], [4, 5, 7, 8])
    >>> back.ends[back.bounds[4] :][:4].tolist(), back.most
    ([0, 1, 2, 3], 4)
    """
    starts = np.arange(0, size, stride, dtype=np.int64) - (kernel_size - 1) // 2
    pixels = starts[:, None] + np.arange(kernel_size)
    place, entry = np.nonzero((pixels >= 0) & (pixels < size))
    pixel = pixels[place, entry]
    position = _pair(place, place, len(starts))
    source = position * num_weights + _pair(entry, entry, kernel_size)
    pixel = _pair(pixel, pixel, size)
    num_places = len(starts) ** 2
    return _sort(position, pixel, source, num_places), _sort(pixel, position, source, size**2)


def _pair(rows: Indices, columns: Indices, num_columns: int) -> Indices:
    """Flat index of every row with every column."""
    return (rows[:, None] * num_columns + columns).ravel()


def _sort(places: Indices, ends: Indices, sources: Indices, num_places: int) -> Links:
    order = np.lexsort((sources, places))
    bounds = np.searchsorted(places[order], np.arange(num_places + 1))
    most = int(np.diff(bounds).max())
    return Links(bounds.astype(np.int64), ends[order], sources[order], most)


@dataclass(frozen=True)
class LocalShape:
    """The sizes of a locally connected layer, as `layers.LocallyConnected2d` has them."""

    in_channels: int
    out_channels: int
    in_size: int
    kernel_size: int
    stride: int

    @property
    def out_size(self) -> int:
        """Side of the output in pixels."""
        return -(-self.in_size // self.stride)

    @property
    def fan_in(self) -> int:
        """Weights of one output."""
        return self.in_channels * self.kernel_size**2

    @property
    def links(self) -> tuple[Links, Links]:
        """From positions to pixels, and back."""
        weights = self.out_channels * self.fan_in
        return link_places(self.in_size, self.kernel_size, self.stride, weights)


def takes_product(images: Tensor, weight: Tensor) -> bool:
    """Whether `local_product` takes these: bfloat16 on a CPU, a batch >= 32, numba at hand."""
    fits = images.dtype == weight.dtype == torch.bfloat16 and len(images) >= _SMALLEST_BATCH
    return fits and images.device.type == weight.device.type == "cpu" and can_compile()


def local_product(images: Tensor, weight: Tensor, shape: LocalShape) -> Tensor:
    """Map images (N, in_channels, s, s) to (N, out_channels, out_size, out_size).

    Args:
        images: bfloat16 in any layout; free of copies where the batch lies last in memory.
        weight: bfloat16 (out_size², out_channels, fan_in).
        shape: The layer's sizes.

    Returns:
        bfloat16, in CHWN layout in memory.
    """
    outputs: Tensor = _LocalProduct.apply(images, weight, shape)  # type: ignore[no-untyped-call]
    return outputs


@dataclass(frozen=True)
class _Job:
    """A product that is still to be computed into `result`, block by block of its rows.

    Attributes:
        result: The tensor that `run` fills.
        run: Computes blocks start, ..., stop - 1.
        num_blocks: Blocks in all.
        num_products: Products of two numbers in all, about.
    """

    result: Tensor
    run: Callable[[int, int], None]
    num_blocks: int
    num_products: int


class _LocalProduct(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, images: Tensor, weight: Tensor, shape: LocalShape) -> Tensor:
        images, weight = put_chwn(images), weight.contiguous()
        ctx.save_for_backward(images, weight)
        ctx.shape = shape
        job = _multiply(images, weight, shape, back=False)
        _run([job])
        return job.result

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        (images, weight), shape = ctx.saved_tensors, ctx.shape
        gradient = put_chwn(gradient)
        of_images, of_weight = None, None
        if ctx.needs_input_grad[0]:
            of_images = _multiply(gradient, weight, shape, back=True)
        if ctx.needs_input_grad[1]:
            of_weight = _sum_products(gradient, images, shape)
        jobs = (of_images, of_weight)
        _run([job for job in jobs if job is not None])
        return *(None if job is None else job.result for job in jobs), None


def _multiply(values: Tensor, weight: Tensor, shape: LocalShape, *, back: bool) -> _Job:
    """W v, or Wᵀ v, from (s, s, C, N) to (N, C, s, s) in CHWN layout in memory."""
    links = shape.links[back]
    # Channels, and the step from the weight of one to that of the next.
    inner = (shape.in_channels, shape.kernel_size**2)
    outer = (shape.out_channels, shape.fan_in)
    size = shape.out_size
    if back:
        inner, outer, size = outer, inner, shape.in_size
    (channels, channel_stride), (num_rows, row_stride) = inner, outer
    batch = values.shape[-1]
    strides = (1, batch, size * num_rows * batch, num_rows * batch)
    outputs = torch.empty_strided((batch, num_rows, size, size), strides, dtype=values.dtype)
    arrays = (_rows(values), _bits(weight).ravel(), links.bounds, links.ends, links.sources)
    rows = _rows(outputs.permute(2, 3, 1, 0))

    def run(start: int, stop: int) -> None:
        _kernels().multiply_rows(
            *arrays,
            links.most,
            channels,
            channel_stride,
            row_stride,
            rows,
            num_rows,
            _BLOCK,
            start,
            stop,
        )

    num_blocks = size**2 * -(-num_rows // _BLOCK)
    return _Job(outputs, run, num_blocks, len(links.ends) * channels * num_rows * batch)


def _sum_products(gradient: Tensor, values: Tensor, shape: LocalShape) -> _Job:
    """∂W, the sum of ∂y vᵀ over the batch, from (s, s, C, N)."""
    links, channels, num_rows = shape.links[0], shape.in_channels, shape.out_channels
    sums = torch.empty(shape.out_size**2, num_rows, shape.fan_in, dtype=values.dtype)
    arrays = (_rows(gradient), _rows(values), links.bounds, links.ends, links.sources)
    flat = _bits(sums).ravel()

    def run(start: int, stop: int) -> None:
        _kernels().sum_rows(
            *arrays,
            links.most,
            channels,
            shape.kernel_size**2,
            shape.fan_in,
            flat,
            num_rows,
            _BLOCK,
            start,
            stop,
        )

    num_blocks = shape.out_size**2 * -(-num_rows // _BLOCK)
    return _Job(sums, run, num_blocks, len(links.ends) * channels * num_rows * values.shape[-1])


def _run(jobs: Sequence[_Job]) -> None:
    """Do the jobs, each thread a share of every one: handing work to threads takes time."""

    def run(start: int, stop: int) -> None:
        for job in jobs:
            job.run(job.num_blocks * start // _SHARES, job.num_blocks * stop // _SHARES)

    products_a_share = sum(job.num_products for job in jobs) // _SHARES
    run_split(run, _SHARES, grain=max(1, _GRAIN // max(1, products_a_share)))


def _rows(values: Tensor) -> Bits:
    """(s, s, C, N) as a row for each unit."""
    return _bits(values.flatten(0, 2))


def _bits(values: Tensor) -> Bits:
    return values.detach().view(torch.uint16).numpy()


@lru_cache(maxsize=1)
def _kernels() -> SimpleNamespace:
    from training.kernels import dot_tiles, local_rows, vector_code  # noqa: PLC0415  # need numba

    return compile_kernels(
        [bf16, vector_code, dot_tiles, local_rows], ["multiply_rows", "sum_rows"]
    )
