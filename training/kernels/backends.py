"""What runs kernels: compiled ones on all threads of a CPU, Triton's on CUDA, or torch alone."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from importlib.util import find_spec
from typing import Literal, TypeVar

import torch

from training.kernels.compiled import can_compile

T = TypeVar("T")
Backend = Literal["numba", "triton", "torch"]


def backend_name(device: torch.device) -> Backend:
    """What computes on a device: "numba", "triton", or "torch" with operations of its own."""
    if device.type == "cpu" and can_compile():
        return "numba"
    if device.type == "cuda" and find_spec("triton") is not None:
        return "triton"
    return "torch"


def run_split(task: Callable[[int, int], T], count: int, *, grain: int) -> list[T]:
    """Call task(start, stop) on contiguous ranges that cover 0, ..., count - 1.

    There are at most `torch.get_num_threads()` ranges, and each but the last starts at a multiple
    of `grain`. The calling thread takes the last one. A task should release the interpreter.

    Args:
        task: Works on [start, stop).
        count: Items in all, >= 0.
        grain: Fewest items that are worth a thread of their own, >= 1.

    Returns:
        The results, in the order of the ranges.

    >>> run_split(lambda start, stop: (start, stop), 7, grain=10)
    [(0, 7)]
    """
    num_grains = max(1, -(-count // grain))
    num_pieces = min(torch.get_num_threads(), num_grains)
    bounds = [num_grains * piece // num_pieces * grain for piece in range(num_pieces)] + [count]
    if num_pieces == 1:
        return [task(0, count)]
    pool = _pool(os.getpid())
    others = [pool.submit(task, bounds[i], bounds[i + 1]) for i in range(num_pieces - 1)]
    last = task(bounds[-2], bounds[-1])
    return [other.result() for other in others] + [last]


@lru_cache(maxsize=1)
def _pool(process: int) -> ThreadPoolExecutor:  # a fork starts anew
    return ThreadPoolExecutor(max_workers=os.cpu_count(), thread_name_prefix="kernel")
