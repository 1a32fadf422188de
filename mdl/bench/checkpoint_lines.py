"""Writing and reading a sparse checkpoint, against the same bytes raw and a dense file."""

import os
from pathlib import Path

import torch

from mdl.bench.lines import Baseline, Line
from mdl.bench.settings import BenchSettings
from mdl.bench.sparse_networks import DENSITY, make_checkpoint, state_bytes
from mdl.timing.floors import make_copy, read_raw, write_raw
from mdl.timing.rounds import Piece, Timing, time_rounds
from training.checkpoint.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from training.checkpoint.writer import CheckpointWriter

_WRITE, _HANDOVER, _READ = "write", "hand over", "read"
_RAW_WRITE, _RAW_READ, _PASS = "raw write", "raw read", "pass"
_SAVE, _LOAD = "dense torch.save with fsync", "dense torch.load, nothing checked"


def measure_checkpoints(settings: BenchSettings, folder: Path) -> list[Line]:
    """A write, what training waits for if it is written in the background, and a read.

    Args:
        settings: α of the network.
        folder: Where the files go.
    """
    checkpoint = make_checkpoint(settings.stored_channels)
    ours, raw, dense = (folder / name for name in ("checkpoint.pt", "raw.bin", "dense.pt"))
    save_checkpoint(checkpoint, ours)
    _save_dense(checkpoint, dense)
    data = ours.read_bytes()
    with CheckpointWriter(folder / "background.pt") as writer:
        timings = time_rounds(
            {
                _WRITE: lambda: save_checkpoint(checkpoint, ours),
                _RAW_WRITE: lambda: write_raw(raw, data),
                _SAVE: Piece(run=lambda: _save_dense(checkpoint, dense), is_naive=True),
                _HANDOVER: Piece(run=lambda: writer.submit(checkpoint), prepare=writer.finish),
                _READ: Piece(run=lambda: load_checkpoint(ours), prepare=writer.finish),
                _RAW_READ: lambda: read_raw(ours),
                _LOAD: Piece(run=lambda: torch.load(dense, weights_only=True), is_naive=True),
                _PASS: make_copy(state_bytes(checkpoint), settings.cpu_pace.device),
            },
            settings.cpu_pace,
        )
    return _make_lines(checkpoint, timings, len(data), dense.stat().st_size)


def _make_lines(
    checkpoint: Checkpoint, timings: dict[str, Timing], file_bytes: int, dense_bytes: int
) -> list[Line]:
    one_pass = timings[_PASS].median
    size = f"s-fc α={checkpoint.network.base_channels} at {DENSITY:.0%} density"
    facts = {
        "dense_bytes": dense_bytes,
        "raw_write_seconds": timings[_RAW_WRITE].median,
        "raw_read_seconds": timings[_RAW_READ].median,
        "pass_seconds": one_pass,
    }
    save, load = (Baseline(name=name, timing=timings[name]) for name in (_SAVE, _LOAD))
    return [
        Line(
            piece=f"write, {size}",
            amount=file_bytes,
            unit="bytes",
            timing=timings[_WRITE],
            floor="raw write of the file with fsync, and a pass over the dense weights at the "
            "rate of a copy",
            floor_s=timings[_RAW_WRITE].median + one_pass,
            baselines=(save,),
            facts=facts,
        ),
        Line(
            piece=f"hand over to the writer in the background, {size}",
            amount=state_bytes(checkpoint),
            unit="bytes",
            timing=timings[_HANDOVER],
            floor="copy of the dense weights",
            floor_s=2 * one_pass,
            baselines=(save,),
            facts=facts,
        ),
        Line(
            piece=f"read, {size}",
            amount=file_bytes,
            unit="bytes",
            timing=timings[_READ],
            floor="raw read of the file, and a pass over the dense weights at the rate of a copy",
            floor_s=timings[_RAW_READ].median + one_pass,
            baselines=(load,),
            facts=facts,
        ),
    ]


def _save_dense(checkpoint: Checkpoint, path: Path) -> None:
    """What `torch.save(network.state_dict(), path)` does, and forced to disk as ours is."""
    with path.open("wb") as file:
        torch.save(checkpoint.state, file)
        file.flush()
        os.fsync(file.fileno())
