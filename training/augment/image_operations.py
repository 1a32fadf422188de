"""A policy's operations on whole batches, each image with its own parameters, as Pillow does them.

All shapes are fixed and nothing waits for the device, so a CUDA graph can hold every function.
Images are uint8 (N, C, s, s) with one channel or three. Whatever a function takes beside them has
one entry, or one row, for each image.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from training.augment.policy_rows import ONE
from training.kernels.image_operations import CUTOUT_COLOUR, CUTOUT_GREY

_LUMINANCE = (19595.0, 38470.0, 7471.0)  # In units of 2⁻¹⁶.
_SMOOTH_WEIGHT = 13.0  # Eight neighbours once and the middle five times.


def move_images(images: Tensor, maps: Tensor) -> Tensor:
    """Each image under its affine map, int32 (N, 6) as `training.augment.policy_rows` has it."""
    size = images.shape[-1]
    axis = torch.arange(size, dtype=torch.int32, device=images.device)
    along, across, start = maps.view(-1, 2, 3, 1).unbind(2)
    # The frame of black pixels catches all that lies outside: positions count from the frame.
    rows = across * axis + (start + ONE)
    places = ((rows[..., None] + (along * axis)[:, :, None]) >> 16).clamp_(0, size + 1)
    index = torch.add(places[:, 0], places[:, 1], alpha=size + 2).flatten(1).to(torch.int64)
    framed = F.pad(images, (1, 1, 1, 1)).flatten(2)
    moved = framed.gather(2, index[:, None].expand(-1, images.shape[1], -1))
    return moved.view(images.shape)


def look_up(images: Tensor, tables: Tensor) -> Tensor:
    """Each value becomes its entry in the table of its image and channel, uint8 (N, C, 256)."""
    return tables.gather(2, images.flatten(2).to(torch.int64)).view(images.shape)


def autocontrast_tables(images: Tensor) -> Tensor:
    """Tables (N, C, 256) that stretch each channel's values to 0, ..., 255."""
    low, high = images.flatten(2).to(torch.float64).aminmax(dim=2, keepdim=True)
    spread = high - low
    scale = torch.full_like(spread, 255.0) / spread.clamp(min=1)
    values = torch.arange(256, dtype=torch.float64, device=images.device)
    stretched = (values * scale + -low * scale).clamp_(0, 255)
    return torch.where(spread > 0, stretched, values).to(torch.uint8)


def equalize_tables(images: Tensor) -> Tensor:
    """Tables (N, C, 256) that make each channel's values as equally frequent as can be."""
    pixels = images.flatten(2).to(torch.int64)
    one = torch.ones((), dtype=torch.int32, device=images.device)
    counts = torch.zeros((*images.shape[:2], 256), dtype=torch.int32, device=images.device)
    counts.scatter_add_(2, pixels, one.expand_as(pixels))
    last = counts.gather(2, pixels.amax(dim=2, keepdim=True))
    step = (pixels.shape[2] - last) // 255
    reached = counts.cumsum(2, dtype=torch.int32) - counts + step // 2
    values = torch.arange(256, dtype=torch.int32, device=images.device)
    tables = (reached // step.clamp(min=1)).clamp_(max=255)
    return torch.where(step > 0, tables, values).to(torch.uint8)


def contrast_tables(images: Tensor, factors: Tensor) -> Tensor:
    """Tables (N, 1, 256) that draw values to, or away from, the mean luminance."""
    num = images.shape[-1] ** 2
    total = grey_images(images).sum(dim=(2, 3), dtype=torch.int64)[..., None]
    centre = ((2 * total + num) // (2 * num)).to(torch.float32)
    values = torch.arange(256, dtype=torch.float32, device=images.device)
    return blend(centre, values, factors[:, None, None])


def grey_images(images: Tensor) -> Tensor:
    """The luminance of ITU-R 601-2, integers in float32 (N, 1, s, s)."""
    if images.shape[1] == 1:
        return images.to(torch.float32)
    red, green, blue = images.to(torch.float32)[:, :, None].unbind(1)
    total = red * _LUMINANCE[0] + green * _LUMINANCE[1] + blue * _LUMINANCE[2]
    return ((total + 0x8000) * 2.0**-16).floor()  # all sums are below 2²⁴ and so exact


def smooth_images(images: Tensor) -> Tensor:
    """Rounded mean of 3x3 pixels, the middle one five times, in float32; the border stays."""
    smooth = images.to(torch.float32)
    if images.shape[-1] < 3:
        return smooth
    neighbours = F.avg_pool2d(smooth, 3, stride=1, divisor_override=1)
    inner = smooth[..., 1:-1, 1:-1]
    # A thirteenth is never near a half, so one rounding of the quotient changes nothing.
    inner.copy_(((neighbours + 4 * inner) / _SMOOTH_WEIGHT + 0.5).floor())
    return smooth


def blend(degenerate: Tensor, images: Tensor, factors: Tensor) -> Tensor:
    """Pillow's blend d + f (v - d): in float32, clipped and cut down to integers, uint8.

    Each operation rounds on its own, as in Pillow's builds for x86.
    """
    mixed = degenerate + factors * (images.to(torch.float32) - degenerate)
    return mixed.clamp_(0, 255).to(torch.uint8)


def cut_out(images: Tensor, boxes: Tensor) -> Tensor:
    """A rectangle in the colour of Cutout in each image.

    Args:
        images: The images.
        boxes: int32 (4, N): left, top, right and bottom, the last two exclusive.
    """
    axis = torch.arange(images.shape[-1], dtype=boxes.dtype, device=images.device)
    inside = (axis >= boxes[:2, :, None]) & (axis < boxes[2:, :, None])
    hole = inside[1, :, :, None] & inside[0, :, None, :]
    if images.shape[1] == 1:
        return images.masked_fill(hole[:, None], CUTOUT_GREY)
    planes = [
        plane.masked_fill(hole, value)
        for plane, value in zip(images.unbind(1), CUTOUT_COLOUR, strict=True)
    ]
    return torch.stack(planes, dim=1)
