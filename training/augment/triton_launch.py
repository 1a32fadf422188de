"""A policy's steps as Triton kernels, for CUDA: one launch a step.

Fusion of products and sums is off, so that every operation rounds on its own, as on a CPU.
"""

import importlib
import importlib.util
from functools import lru_cache
from types import ModuleType

import torch
from torch import Tensor

LARGEST_SIDE = 64
"""Of images: one program holds a whole channel."""
_PIXELS_PER_WARP = 256


def can_launch(images: Tensor) -> bool:
    """Whether the kernels take these images."""
    return images.device.type == "cuda" and images.shape[-1] <= LARGEST_SIDE and _has_triton()


def apply_step(
    images: Tensor, found: Tensor, boxes: Tensor, *, rows: tuple[Tensor, Tensor, Tensor, Tensor]
) -> Tensor:
    """One step of every image.

    Args:
        images: uint8 (N, C, s, s), contiguous, one channel or three, s <= `LARGEST_SIDE`.
        found: int64 (N,), each image's row of the policy.
        boxes: int32 (4, N), contiguous; see `training.augment.image_policy.Draws`.
        rows: Kinds, maps, tables and factors of `training.augment.policy_rows`.
    """
    num_images, num_channels, size, _ = images.shape
    outputs = torch.empty_like(images)
    block = max(256, 1 << (size * size - 1).bit_length())
    _kernels().apply_step[(num_images,)](
        images,
        outputs,
        found,
        boxes,
        *rows,
        num_images,
        size,
        CHANNELS=num_channels,
        BLOCK=block,
        num_warps=block // _PIXELS_PER_WARP,
        enable_fp_fusion=False,
    )
    return outputs


@lru_cache(maxsize=1)
def _has_triton() -> bool:
    return importlib.util.find_spec("triton") is not None


@lru_cache(maxsize=1)
def _kernels() -> ModuleType:
    return importlib.import_module("training.kernels.triton_images")
