"""A random view of each image: mirrored or not, cropped out of a black frame, and with a hole.

The draws come first, the same on every path. Then one pass of compiled code on a CPU, or gathers
on any device, make the inputs of a network; both give the same bits.
"""

from dataclasses import dataclass, replace
from functools import lru_cache
from types import SimpleNamespace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from training.data.input_map import permute_pixels
from training.kernels import image_operations as kernel_module
from training.kernels.backends import run_split
from training.kernels.compiled import compile_kernels
from training.spec.config import Augmentation

_GRAIN = 32  # Images that are worth a thread.
_WHOLE_NUMBERS = {2: torch.int16, 4: torch.int32, 8: torch.int64}  # by bytes, for any such type


@dataclass(frozen=True, kw_only=True)
class Views:
    """How each of N images is seen; None where nothing was drawn.

    Attributes:
        size: Side of the images.
        pad: Width of the black frame.
        side: Of the hole.
        flips: bool (N, 1), mirrored left to right.
        offsets: int64 (2, N, 1), row and column in the framed image where the view begins.
        centres: int64 (2, N, 1), row and column of the hole's middle.
    """

    size: int
    pad: int
    side: int
    flips: Tensor | None
    offsets: Tensor | None
    centres: Tensor | None

    def of(self, images: slice) -> "Views":
        """How some of the images are seen."""

        def take(drawn: Tensor | None) -> Tensor | None:
            return None if drawn is None else drawn[..., images, :].contiguous()

        return replace(
            self, flips=take(self.flips), offsets=take(self.offsets), centres=take(self.centres)
        )


def draw_views(
    num: int, size: int, augmentation: Augmentation, *, generator: torch.Generator
) -> Views:
    """Draw what `augmentation` asks for, for `num` images of side `size`."""
    device, pad = generator.device, augmentation.crop
    flips = offsets = centres = None
    if augmentation.flip:
        flips = torch.rand(num, 1, generator=generator, device=device) < 0.5
    if pad:
        offsets = torch.randint(2 * pad + 1, (2, num, 1), generator=generator, device=device)
    if augmentation.cutout:
        centres = torch.randint(size, (2, num, 1), generator=generator, device=device)
    return Views(
        size=size, pad=pad, side=augmentation.cutout, flips=flips, offsets=offsets, centres=centres
    )


def gather_views(images: Tensor, views: Views, *, order: Tensor | None) -> Tensor:
    """The views of uint8 images (N, C, s, s), mirrored and cropped, without the hole.

    Args:
        images: The images.
        views: What was drawn.
        order: int64 (s²,), a permutation of the view's pixels; None for none.
    """
    if views.flips is None and views.offsets is None:
        return images if order is None else permute_pixels(images, order)
    axis = torch.arange(views.size, device=images.device)
    rows, columns = axis.expand(len(images), -1), axis.expand(len(images), -1)
    if views.flips is not None:
        columns = torch.where(views.flips, views.size - 1 - columns, columns)
    if views.offsets is not None:
        rows, columns = rows + views.offsets[0], columns + views.offsets[1]
    source = (rows[:, :, None] * (views.size + 2 * views.pad) + columns[:, None, :]).flatten(1)
    source = source if order is None else source.index_select(1, order)
    framed = F.pad(images, (views.pad,) * 4) if views.pad else images
    index = source[:, None].expand(-1, images.shape[1], -1)
    return framed.flatten(2).gather(2, index).view(images.shape)


def cut_holes(inputs: Tensor, views: Views, *, order: Tensor | None) -> None:
    """Put 0 into the hole of each of the inputs (N, C, s, s), in place."""
    if views.centres is None:
        return
    axis = torch.arange(views.size, device=inputs.device)
    first = views.centres - views.side // 2
    inside = (axis >= first) & (axis < first + views.side)
    hole = (inside[0][:, :, None] & inside[1][:, None, :]).flatten(1)
    hole = hole if order is None else hole[:, order]
    inputs.flatten(2).masked_fill_(hole[:, None], 0)


def write_views(images: Tensor, views: Views, values: Tensor, *, order: Tensor | None) -> Tensor:
    """All in one pass, on a CPU, in compiled code.

    Args:
        images: uint8 (N, C, s, s).
        views: What was drawn.
        values: (C, 256), the input that each value of each channel becomes.
        order: int64 (s²,), a permutation of the view's pixels; None for none.

    Returns:
        Inputs (N, C, s, s) of the type of `values`.
    """
    num, size = len(images), views.size
    inputs = torch.empty(images.shape, dtype=values.dtype)
    whole = _WHOLE_NUMBERS[values.dtype.itemsize]
    flips = np.zeros(num, dtype=bool) if views.flips is None else views.flips[:, 0].numpy()
    offsets = np.zeros((2, num), dtype=np.int64)
    if views.offsets is not None:
        offsets = (views.offsets[..., 0] - views.pad).numpy()
    holes = np.zeros((4, num), dtype=np.int64)
    if views.centres is not None:
        first = views.centres[..., 0].flip(0) - views.side // 2
        holes = torch.cat([first, first + views.side]).clamp_(0, size).numpy()
    arrays = (
        images.contiguous().numpy(),
        inputs.flatten(2).view(whole).numpy(),
        values.view(whole).numpy(),
        flips,
        offsets,
        holes,
        np.empty(0, dtype=np.int64) if order is None else order.numpy(),
    )
    kernel = _kernels().write_views
    run_split(lambda start, stop: kernel(*arrays, start, stop), num, grain=_GRAIN)
    return inputs


@lru_cache(maxsize=1)
def _kernels() -> SimpleNamespace:
    return compile_kernels([kernel_module], ["write_views"])
