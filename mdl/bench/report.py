"""One run of the bench: the peaks of the machine, then the groups that were asked for."""

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from mdl.bench.augmentation_lines import measure_augmentation
from mdl.bench.checkpoint_lines import measure_checkpoints
from mdl.bench.description_lines import measure_bound, measure_encode
from mdl.bench.floors import MatmulPeak, find_peak, make_copy
from mdl.bench.lines import Line
from mdl.bench.machine import describe_machine
from mdl.bench.optimizer_lines import measure_optimizers
from mdl.bench.rounds import time_rounds
from mdl.bench.settings import BenchSettings
from mdl.bench.sparse_lines import measure_sparse_products
from mdl.bench.sparse_networks import DENSITY
from mdl.bench.sparse_step_lines import measure_sparse_steps, why_no_sparse_steps
from mdl.bench.step_lines import measure_step
from training.architectures import NetworkSpec

OnPiece = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class BenchReport:
    """All that one run measured.

    Attributes:
        machine: From `describe_machine`.
        copy_bytes_per_second: Bytes that a copy reads and writes a second, at 12 a weight.
        peaks: Matrix products, in bf16 and fp32; none if no group needs them.
        groups: Group to its lines.
        seconds: What the run took.
    """

    machine: dict[str, Any]
    copy_bytes_per_second: float
    peaks: tuple[MatmulPeak, ...]
    groups: dict[str, list[Line]]
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {
            "machine": self.machine,
            "copy_bytes_per_second": self.copy_bytes_per_second,
            "matmul_peaks": [
                {
                    "dtype": peak.dtype,
                    "shape": list(peak.shape),
                    "flop_per_second": peak.flop_per_second,
                }
                for peak in self.peaks
            ],
            "groups": {
                name: [line.to_dict() for line in lines] for name, lines in self.groups.items()
            },
            "seconds": self.seconds,
        }


def run_bench(
    settings: BenchSettings, groups: Sequence[str], *, on_piece: OnPiece = lambda piece: None
) -> BenchReport:
    """Measure groups of pieces.

    Args:
        settings: Sizes and rounds.
        groups: Some of `mdl.bench.settings.GROUPS`, in the order to run them in.
        on_piece: Told what comes next.
    """
    begin = time.perf_counter()
    on_piece("copy bandwidth")
    num_bytes = 12 * settings.num_weights
    copy = time_rounds({"copy": make_copy(num_bytes, settings.device)}, settings.pace)["copy"]
    peaks: tuple[MatmulPeak, ...] = ()
    if {"step", "sparse"} & set(groups):
        on_piece("matmul peaks")
        shapes = _product_shapes(settings, groups)
        pace = settings.pace if "step" in groups else settings.sparse_pace
        peaks = tuple(find_peak(dtype, shapes, pace) for dtype in (torch.bfloat16, torch.float32))
    lines = {group: list(_measure(group, settings, peaks, on_piece)) for group in groups}
    return BenchReport(
        machine=describe_machine(settings.device),
        copy_bytes_per_second=num_bytes / copy.median,
        peaks=peaks,
        groups=lines,
        seconds=time.perf_counter() - begin,
    )


def _measure(
    group: str, settings: BenchSettings, peaks: tuple[MatmulPeak, ...], on_piece: OnPiece
) -> Iterator[Line]:
    if group == "step":
        peak = max(peaks, key=lambda each: each.flop_per_second)
        for name in settings.steps:
            on_piece(f"step, {name}")
            yield measure_step(name, settings, peak)
        return
    if group == "sparse":
        yield from _measure_sparse(settings, peaks, on_piece)
        return
    on_piece(group)
    if group == "optimizer":
        yield from measure_optimizers(settings)
    elif group == "augmentation":
        yield from measure_augmentation(settings)
    elif group == "encode":
        yield from measure_encode(settings)
    else:
        with tempfile.TemporaryDirectory(prefix="mdl-bench-") as folder:
            if group == "checkpoint":
                yield from measure_checkpoints(settings, Path(folder))
            else:
                for density in (1.0, DENSITY):
                    yield measure_bound(settings, Path(folder), density=density)


def _measure_sparse(
    settings: BenchSettings, peaks: tuple[MatmulPeak, ...], on_piece: OnPiece
) -> Iterator[Line]:
    by_type = {peak.dtype: peak for peak in peaks}
    on_piece("sparse, products")
    yield from measure_sparse_products(settings, by_type)
    reason = why_no_sparse_steps(settings)
    if reason is None:
        on_piece("sparse, steps")
        yield from measure_sparse_steps(settings, by_type["bf16"])
    else:
        on_piece(f"sparse, no steps: {reason}")


def _product_shapes(settings: BenchSettings, groups: Sequence[str]) -> list[tuple[int, int, int]]:
    """Squares, and the products of the dense layers of each s-fc that is timed."""
    sizes = [settings.steps["s-fc"]] if "step" in groups and "s-fc" in settings.steps else []
    sizes += [settings.sparse] if "sparse" in groups else []
    shapes = [(side, side, side) for side in settings.matmul_sides]
    for width, batch_size in sizes:
        spec = NetworkSpec(name="s-fc", image_size=32, num_classes=10, base_channels=width)
        shapes += [
            (batch_size, layer.in_features, layer.out_features) for layer in spec.layers[:-1]
        ]
    return list(dict.fromkeys(shapes))
