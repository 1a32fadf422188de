"""One run of the bench: the machine and its peaks, then the groups that were asked for."""

import importlib.util
import os
import platform
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from mdl.bench.count_lines import measure_counts
from mdl.bench.lines import Line
from mdl.bench.optimizer_lines import measure_optimizers
from mdl.bench.qat_lines import measure_qat
from mdl.bench.settings import DTYPES, BenchSettings
from mdl.bench.sparse_lines import measure_sparse_products
from mdl.bench.sparse_step_lines import measure_sparse_steps, why_no_sparse_steps
from mdl.bench.step_lines import measure_augmentation, measure_step
from mdl.bench.stored_lines import DENSITY, measure_bound, measure_checkpoints, measure_encode
from mdl.timing.floors import MatmulPeak, find_peak, make_copy
from mdl.timing.rounds import time_rounds
from training.run.precision import limits_in_effect, vector_instructions
from training.run.provenance import collect_versions
from training.spec.architectures import NetworkSpec
from training.spec.config import Precision

_INSTRUCTIONS = (
    "avx2",
    "avx512f",
    "avx512_vnni",
    "avx512_bf16",
    "avx512_fp16",
    "amx_tile",
    "amx_bf16",
    "asimd",
    "sve",
    "bf16",
)

OnPiece = Callable[[str], None]


def describe_machine(device: torch.device) -> dict[str, Any]:
    """The machine as plain values: what a figure of the bench must be quoted with.

    "instructions" are those that products run on, "limits" the environment's variables that keep
    libraries from others, and "processor_instructions" what the processor has.
    """
    versions = collect_versions()
    return {
        "cpu": versions["cpu"],
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "instructions": vector_instructions(),
        "limits": limits_in_effect(),
        "processor_instructions": _processor_instructions(),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "device": device.type,
        "gpu": versions["gpu"] if device.type == "cuda" else None,
        "platform": versions["platform"],
        "python": platform.python_version(),
        "torch": versions["torch"],
        "commit": versions["commit"],
        "compiler": shutil.which("c++") is not None,
        "numba": importlib.util.find_spec("numba") is not None,
        "folder": tempfile.gettempdir(),
    }


def why_not_published(machine: dict[str, Any]) -> str | None:
    """Why figures of this machine must not be quoted: no commit has the code; None if one has.

    >>> why_not_published({"commit": "1f2e-dirty"}), why_not_published({"commit": "1f2e"})
    ('the code has changes that no commit holds', None)
    """
    commit = machine["commit"]
    if commit is None:
        return "the commit of the code is not known"
    return "the code has changes that no commit holds" if commit.endswith("-dirty") else None


def _processor_instructions() -> list[str]:
    """Those of the processor's vector and matrix instructions that matter here."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return []
    for line in text.splitlines():
        key, _, values = line.partition(":")
        if key.strip() in ("flags", "Features"):
            found = set(values.split())
            return [name for name in _INSTRUCTIONS if name in found]
    return []


@dataclass(frozen=True, kw_only=True)
class BenchStart:
    """What is known before the first group is measured.

    Attributes:
        machine: From `describe_machine`.
        precision: Arithmetic of the pieces of training.
        copy_bytes_per_second: Bytes that a copy reads and writes a second, at 12 a weight.
        peaks: Matrix products, by training's arithmetic first; none if no group needs them.
    """

    machine: dict[str, Any]
    precision: Precision
    copy_bytes_per_second: float
    peaks: tuple[MatmulPeak, ...]


OnGroup = Callable[[BenchStart, str, list[Line]], None]


@dataclass(frozen=True, kw_only=True)
class BenchReport:
    """All that one run measured.

    Attributes:
        start: The machine, and what it can do at best.
        groups: Group to its lines.
        seconds: What the run took.
    """

    start: BenchStart
    groups: dict[str, list[Line]]
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        start = self.start
        return {
            "machine": start.machine,
            "not_for_publication": why_not_published(start.machine),
            "precision": start.precision,
            "copy_bytes_per_second": start.copy_bytes_per_second,
            "matmul_peaks": [
                {
                    "dtype": peak.dtype,
                    "shape": list(peak.shape),
                    "flop_per_second": peak.flop_per_second,
                }
                for peak in start.peaks
            ],
            "groups": {
                name: [line.to_dict() for line in lines] for name, lines in self.groups.items()
            },
            "seconds": self.seconds,
        }


def run_bench(
    settings: BenchSettings,
    groups: Sequence[str],
    *,
    on_piece: OnPiece = lambda piece: None,
    on_start: Callable[[BenchStart], None] = lambda start: None,
    on_group: OnGroup = lambda start, group, lines: None,
) -> BenchReport:
    """Measure groups of pieces.

    Args:
        settings: Sizes and rounds.
        groups: Some of those that `mdl bench` has, in the order to run them in.
        on_piece: Told what comes next.
        on_start: Told of the machine before the first group.
        on_group: Given each group's lines as soon as they are there, with the start and its name.
    """
    begin = time.perf_counter()
    start = _measure_start(settings, groups, on_piece)
    on_start(start)
    measured = {}
    for group in groups:
        measured[group] = list(_measure(group, settings, start.peaks, on_piece))
        on_group(start, group, measured[group])
    return BenchReport(start=start, groups=measured, seconds=time.perf_counter() - begin)


def _measure_start(settings: BenchSettings, groups: Sequence[str], on_piece: OnPiece) -> BenchStart:
    on_piece("copy bandwidth")
    num_bytes = 12 * settings.num_weights
    pace = settings.peak_pace
    copy = time_rounds({"copy": make_copy(num_bytes, settings.device)}, pace)["copy"]
    peaks: tuple[MatmulPeak, ...] = ()
    if {"step", "sparse", "qat"} & set(groups):
        on_piece("matmul peaks")
        shapes = _product_shapes(settings, groups)
        peaks = tuple(find_peak(DTYPES[each], shapes, pace) for each in settings.precisions)
    return BenchStart(
        machine=describe_machine(settings.device),
        precision=settings.precision,
        copy_bytes_per_second=num_bytes / copy.median,
        peaks=peaks,
    )


def _measure(
    group: str, settings: BenchSettings, peaks: tuple[MatmulPeak, ...], on_piece: OnPiece
) -> Iterator[Line]:
    if group == "step":
        peak = peaks[0]
        for name in settings.steps:
            on_piece(f"step, {name}")
            yield measure_step(name, settings, peak)
        return
    if group == "sparse":
        yield from _measure_sparse(settings, peaks, on_piece)
        return
    on_piece(group)
    if group == "qat":
        yield from measure_qat(settings, {peak.dtype: peak for peak in peaks})
    elif group == "optimizer":
        yield from measure_optimizers(settings)
    elif group == "augmentation":
        yield from measure_augmentation(settings)
    elif group == "encode":
        yield from measure_encode(settings)
    elif group == "count":
        yield from measure_counts(settings)
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
        yield from measure_sparse_steps(settings, by_type[settings.sparse_precisions[0]])
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
