"""Applies a policy to a batch of images, each with its own draws, on the images' own device.

All draws are made first, the same on every path. Then one of three ways, which give the same bytes:
a CPU changes one image after another in code compiled by numba; CUDA has a Triton kernel, one
program per image; and plain torch computes every kind of operation for all images and keeps what
was drawn. The last is for small batches on a CPU, large images on CUDA, and where no compiler is.
No way waits for the device, and all shapes are fixed, so that a CUDA graph can hold them.
"""

import importlib
from dataclasses import dataclass
from functools import lru_cache
from types import ModuleType, SimpleNamespace

import torch
from torch import Tensor

from training.augment import image_operations as operations
from training.augment.policy_rows import prepare_policy
from training.distributed.ranks import BatchPart
from training.errors import ConfigError
from training.kernels import image_operations as kernel_module
from training.kernels.backends import Backend, backend_name, run_split
from training.kernels.compiled import compile_kernels
from training.kernels.image_operations import (
    AFFINE,
    AUTOCONTRAST,
    COLOR,
    CONTRAST,
    CUTOUT,
    EQUALIZE,
    SHARPNESS,
    TABLE,
)
from training.spec.policy import Policy

SMALLEST_COMPILED = 1 << 13
"""Values from which a batch is worth compiled code, which takes seconds to compile once."""
_GRAIN = 32  # Images that are worth a thread.
LARGEST_SIDE = 64
"""Of images: one program holds a whole channel."""
_PIXELS_PER_WARP = 256


@dataclass(frozen=True, kw_only=True, eq=False)
class DeviceRows:
    """`policy_rows.PolicyRows` as tensors on a device; kinds that occur, for the host."""

    kinds: Tensor
    maps: Tensor
    tables: Tensor
    factors: Tensor
    half_sides: Tensor
    extents: Tensor
    choices: Tensor
    probabilities: Tensor
    rounds: int
    present: frozenset[int]


@dataclass(frozen=True, kw_only=True)
class Draws:
    """What happens to each of N images, in K steps.

    Attributes:
        rows: int64 (K, N), rows of the policy.
        boxes: int32 (K, 4, N): left, top, right and bottom of Cutout, the last two exclusive;
            empty where the step is another operation.
    """

    rows: Tensor
    boxes: Tensor

    def of(self, images: slice) -> "Draws":
        """What happens to some of the images."""
        return Draws(
            rows=self.rows[:, images].contiguous(), boxes=self.boxes[..., images].contiguous()
        )


def apply_policy(
    images: Tensor, policy: Policy, *, generator: torch.Generator, part: BatchPart | None = None
) -> Tensor:
    """Images changed by a policy, each by draws of its own.

    Args:
        images: uint8 (N, C, s, s) with one channel or three; left as they are.
        policy: What may happen.
        generator: Source of all randomness, on the device of the images.
        part: Which part of a batch these images are; None for the whole.

    Raises:
        ValueError: Images of another number of channels.
    """
    if images.shape[1] not in (1, 3):
        raise ConfigError.naming(
            "a policy needs images of 1 or 3 channels, not {}; use {policy} none", images.shape[1]
        )
    rows = rows_on(policy, images.shape[-1], images.device)
    num_drawn = len(images) if part is None else part.num_images
    draws = draw_steps(rows, num_drawn, images.shape[-1], generator=generator)
    draws = draws if part is None else draws.of(part.rows)
    if is_compiled(images):
        return apply_compiled(images, rows, draws)
    if images.shape[-1] <= LARGEST_SIDE and _backend(images.device) == "triton":
        return apply_launched(images, rows, draws)
    return apply_batched(images, rows, draws)


def is_compiled(images: Tensor) -> bool:
    """Whether numba's code takes these images; the result is the same either way."""
    return images.numel() >= SMALLEST_COMPILED and _backend(images.device) == "numba"


@lru_cache(maxsize=16)
def rows_on(policy: Policy, size: int, device: torch.device) -> DeviceRows:
    """A policy for images of side `size`, ready on a device."""
    rows = prepare_policy(policy, size)
    names = (
        "kinds",
        "maps",
        "tables",
        "factors",
        "half_sides",
        "extents",
        "choices",
        "probabilities",
    )
    tensors = {name: torch.from_numpy(getattr(rows, name)).to(device) for name in names}
    present = frozenset(int(kind) for kind in rows.kinds)
    return DeviceRows(**tensors, rounds=rows.rounds, present=present)


def draw_steps(
    rows: DeviceRows, num_images: int, size: int, *, generator: torch.Generator
) -> Draws:
    """Sub-policies, which of their steps happen, signs, and places of Cutout.

    A Cutout of side v > 0 covers the pixels from ⌊max(0, c - v/2)⌋ on, ⌊v⌋ + 1 of them along each
    axis, with c uniform in [0, s).
    """
    num_subpolicies, num_steps, _ = rows.choices.shape
    uniform = torch.rand(
        (rows.rounds, 1 + 4 * num_steps, num_images), generator=generator, device=generator.device
    )
    chosen = (uniform[:, 0] * num_subpolicies).to(torch.int64).clamp_(max=num_subpolicies - 1)
    happens, turned, x, y = uniform[:, 1:].view(rows.rounds, num_steps, 4, -1).unbind(2)
    pairs = rows.choices[chosen].transpose(1, 2)  # (rounds, K, N, 2)
    found = torch.where(turned < 0.5, pairs[..., 0], pairs[..., 1]).to(torch.int64)
    found = torch.where(happens < rows.probabilities[chosen].transpose(1, 2), found, 0)
    found = found.flatten(0, 1)
    first = torch.stack([x, y], dim=2).flatten(0, 1) * size - rows.half_sides[found][:, None]
    first = first.clamp_(min=0).to(torch.int32)
    last = (first + rows.extents[found][:, None]).clamp_(max=size)
    return Draws(rows=found, boxes=torch.cat([first, last], dim=1))


def apply_compiled(images: Tensor, rows: DeviceRows, draws: Draws) -> Tensor:
    """The drawn steps on a CPU, image by image in compiled code."""
    outputs = torch.empty(images.shape, dtype=torch.uint8)
    arrays = [
        tensor.numpy()
        for tensor in (
            images.contiguous(),
            outputs,
            draws.rows,
            draws.boxes,
            rows.kinds,
            rows.maps,
            rows.tables,
            rows.factors,
        )
    ]
    kernel = _kernels().apply_steps
    run_split(lambda start, stop: kernel(*arrays, start, stop), len(images), grain=_GRAIN)
    return outputs


def apply_launched(images: Tensor, rows: DeviceRows, draws: Draws) -> Tensor:
    """The drawn steps on CUDA: one Triton kernel per step, in which each image takes its branch."""
    num_images, num_channels, size, _ = images.shape
    block = max(256, 1 << (size * size - 1).bit_length())
    images = images.contiguous()
    for found, boxes in zip(draws.rows, draws.boxes, strict=True):
        outputs = torch.empty_like(images)
        _triton_kernels().apply_step[(num_images,)](
            images,
            outputs,
            found,
            boxes,
            rows.kinds,
            rows.maps,
            rows.tables,
            rows.factors,
            num_images,
            size,
            CHANNELS=num_channels,
            BLOCK=block,
            num_warps=block // _PIXELS_PER_WARP,
            enable_fp_fusion=False,  # every operation rounds on its own, as on a CPU
        )
        images = outputs
    return images


def apply_batched(images: Tensor, rows: DeviceRows, draws: Draws) -> Tensor:
    """The drawn steps on any device: every kind of operation for all images, kept where drawn."""
    for found, boxes in zip(draws.rows, draws.boxes, strict=True):
        images = _apply_step(images, rows, found, boxes)
    return images


def _apply_step(images: Tensor, rows: DeviceRows, found: Tensor, boxes: Tensor) -> Tensor:
    # Rows that are not of a kind have parameters that change nothing, so kinds can follow each
    # other: maps and tables of no change, factor 1, an empty box.
    present = rows.present
    kinds = rows.kinds[found][:, None, None]
    if AFFINE in present:
        images = operations.move_images(images, rows.maps[found])
    tables = None
    if TABLE in present or present & {AUTOCONTRAST, EQUALIZE, CONTRAST}:
        tables = rows.tables[found][:, None].expand(-1, images.shape[1], -1)
    factors = rows.factors[found]
    if AUTOCONTRAST in present:
        tables = _where(kinds == AUTOCONTRAST, operations.autocontrast_tables(images), tables)
    if EQUALIZE in present:
        tables = _where(kinds == EQUALIZE, operations.equalize_tables(images), tables)
    if CONTRAST in present:
        tables = _where(kinds == CONTRAST, operations.contrast_tables(images, factors), tables)
    if tables is not None:
        images = operations.look_up(images, tables)
    if present & {COLOR, SHARPNESS}:
        images = _blend_step(images, kinds[..., None], factors, present)
    if CUTOUT in present:
        images = operations.cut_out(images, boxes)
    return images


def _blend_step(images: Tensor, kinds: Tensor, factors: Tensor, present: frozenset[int]) -> Tensor:
    smooth = operations.smooth_images(images) if SHARPNESS in present else images.float()
    grey = operations.grey_images(images) if COLOR in present else images.float()
    degenerate = torch.where(kinds == COLOR, grey, smooth)
    mixed = operations.blend(degenerate, images, factors[:, None, None, None])
    return torch.where((kinds == COLOR) | (kinds == SHARPNESS), mixed, images)


def _where(condition: Tensor, chosen: Tensor, other: Tensor | None) -> Tensor:
    return chosen if other is None else torch.where(condition, chosen, other)


@lru_cache(maxsize=4)
def _backend(device: torch.device) -> Backend:
    return backend_name(device)


@lru_cache(maxsize=1)
def _kernels() -> SimpleNamespace:
    return compile_kernels([kernel_module], ["apply_steps"])


@lru_cache(maxsize=1)
def _triton_kernels() -> ModuleType:
    return importlib.import_module("training.kernels.triton_images")
