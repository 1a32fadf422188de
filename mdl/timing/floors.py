"""What the machine can do at best: copies, matrix products, raw files; and a step's operations."""

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import torch

from mdl.timing.rounds import Pace, time_rounds
from training.spec.architectures import LayerSpec, NetworkSpec

Call = Callable[[], object]
_PROBE_SIDE = 512
_LONGEST_S = 1.0  # A shape that would take longer is left out, as on a CPU without bf16 products.
_READ_BYTES = 1 << 22


def make_copy(num_bytes: int, device: torch.device) -> Call:
    """A copy that moves `num_bytes` through memory: half of them read, half written.

    Both buffers have been written, the source with numbers that differ, so that every page of
    them is there and none is another's.
    """
    source = torch.rand(max(num_bytes // 8, 1), device=device)
    target = torch.zeros_like(source)
    return lambda: target.copy_(source)


@dataclass(frozen=True, kw_only=True)
class MatmulPeak:
    """The fastest matrix product that was found in one number format.

    Attributes:
        dtype: Its name: "bf16", "fp16" or "fp32".
        shape: (m, k, n).
        flop: Operations of one product, 2 m k n.
        flop_per_second: Its rate, by the median.
        run: The product, to be timed again beside a piece.
    """

    dtype: str
    shape: tuple[int, int, int]
    flop: float
    flop_per_second: float
    run: Call


def find_peak(dtype: torch.dtype, shapes: Iterable[tuple[int, int, int]], pace: Pace) -> MatmulPeak:
    """The best of some shapes; the right factor lies transposed, as a layer's weight does.

    Args:
        dtype: torch.bfloat16, torch.float16 or torch.float32.
        shapes: (m, k, n) of products of (m, k) with (k, n).
        pace: How often each is run.
    """
    device = pace.device
    probe, flop = _make_matmul((_PROBE_SIDE,) * 3, dtype, device)
    expected = time_rounds({"probe": probe}, pace)["probe"].median / flop
    found = []
    for shape in ((_PROBE_SIDE,) * 3, *shapes):
        run, flop = _make_matmul(shape, dtype, device)
        if flop * expected > _LONGEST_S:
            continue
        seconds = time_rounds({"product": run}, pace)["product"].median
        found.append((flop / seconds, shape, flop, run))
    rate, shape, flop, run = max(found, key=lambda each: each[0])
    name = {torch.bfloat16: "bf16", torch.float16: "fp16"}.get(dtype, "fp32")
    return MatmulPeak(dtype=name, shape=shape, flop=flop, flop_per_second=rate, run=run)


def _make_matmul(
    shape: tuple[int, int, int], dtype: torch.dtype, device: torch.device
) -> tuple[Call, float]:
    rows, inner, columns = shape
    left = torch.randn(rows, inner, device=device).to(dtype)
    right = torch.randn(columns, inner, device=device).to(dtype).t()
    out = torch.empty(rows, columns, dtype=dtype, device=device)
    return (lambda: torch.mm(left, right, out=out)), 2.0 * rows * inner * columns


def write_raw(path: Path, data: bytes) -> None:
    """Write bytes and wait until they are on the disk."""
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def read_raw(path: Path) -> int:
    """Read a file from end to end into one buffer; its number of bytes."""
    buffer = bytearray(_READ_BYTES)
    total = 0
    with path.open("rb", buffering=0) as file:
        while count := file.readinto(buffer):
            total += count
    return total


def drop_from_cache(path: Path) -> None:
    """Ask the system to forget a file's pages, so that the next read goes to the disk."""
    if not hasattr(os, "posix_fadvise"):
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(descriptor)


def multiplications(layer: LayerSpec) -> int:
    """Multiply-accumulates of a layer for one image: weights, times positions where shared."""
    return layer.out_features * layer.fan_in


def step_flop(spec: NetworkSpec, batch_size: int) -> int:
    """Operations of the matrix products of a step: 2 a multiply-accumulate.

    The forward pass takes one product a layer, the backward pass two: gradients of weights and of
    inputs. The first layer's inputs are images, which need none.

    >>> spec = NetworkSpec(name="s-fc", image_size=32, num_classes=10, base_channels=150)
    >>> round(step_flop(spec, 512) / 1e9)
    666
    """
    first, *rest = spec.layers
    products = 2 * multiplications(first) + 3 * sum(multiplications(layer) for layer in rest)
    return 2 * batch_size * products
