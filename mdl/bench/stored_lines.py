"""Files and bits of a made-up sparse network, against raw files, copies and bare coding."""

import lzma
import os
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from analysis.codes.arithmetic_coder import ArithmeticCoder
from analysis.codes.checkpoint_message import checkpoint_message
from analysis.codes.message import NetworkMessage
from analysis.codes.network_code import decode_network, encode_network
from analysis.codes.values import code_patterns
from analysis.describe.description import describe_file
from analysis.quantize.formats import find_format
from mdl.bench.lines import Baseline, Line
from mdl.bench.settings import IMAGE_SIZE, BenchSettings
from mdl.timing.floors import drop_from_cache, make_copy, read_raw, write_raw
from mdl.timing.rounds import Piece, Timing, time_rounds
from training.checkpoint.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from training.checkpoint.writer import CheckpointWriter
from training.networks.models import build_network
from training.spec.architectures import NetworkSpec
from training.spec.normalization import Normalization

DENSITY = 0.01
_WRITE, _HANDOVER, _READ = "write", "hand over", "read"
_RAW_WRITE, _RAW_READ, _PASS = "raw write", "raw read", "pass"
_SAVE, _LOAD = "dense torch.save with fsync", "dense torch.load, nothing checked"
_NUM_DECISIONS = 1 << 20
_BOUND, _COLD_READ, _COPY, _DECISIONS = "bound", "cold read", "copy", "decisions"
_CODE = "context"
_BITS = 16


def make_checkpoint(base_channels: int, *, density: float = DENSITY) -> Checkpoint:
    """An s-fc with each weight kept with probability `density`, the others zero.

    Args:
        base_channels: α.
        density: In (0, 1].
    """
    spec = NetworkSpec(
        name="s-fc", image_size=IMAGE_SIZE, num_classes=10, base_channels=base_channels
    )
    generator = torch.Generator().manual_seed(0)
    state = build_network(spec).state_dict()
    for layer in spec.layers:
        weight = state[f"{layer.name}.weight"]
        weight.masked_fill_(torch.rand(weight.shape, generator=generator) >= density, 0)
    return Checkpoint(
        network=spec,
        state=state,
        normalization=Normalization(mean=(0.5,) * 3, std=(0.25,) * 3, source="fixed"),
    )


def state_bytes(checkpoint: Checkpoint) -> int:
    """Bytes of the dense state."""
    return sum(tensor.nbytes for tensor in checkpoint.state.values())


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


def measure_bound(settings: BenchSettings, folder: Path, *, density: float) -> Line:
    """Counts and lengths of one file, which no page of is in memory.

    Args:
        settings: α of the network.
        folder: Where the file goes.
        density: Of its weights; 1 makes a dense file.
    """
    checkpoint = make_checkpoint(settings.stored_channels, density=density)
    file = folder / f"density-{density:g}.pt"
    save_checkpoint(checkpoint, file)
    chosen = find_format(_BITS, None)
    forget = partial(drop_from_cache, file)
    naive = "torch.load, torch.unique of every tensor"
    timings = time_rounds(
        {
            _BOUND: Piece(run=lambda: describe_file(file, chosen), prepare=forget),
            _COLD_READ: Piece(run=lambda: read_raw(file), prepare=forget),
            naive: Piece(run=lambda: _count_naively(file), prepare=forget, is_naive=True),
        },
        settings.cpu_pace,
    )
    size = f"s-fc α={settings.stored_channels} at {density:.0%} density"
    return Line(
        piece=f"bound --lengths-only, {size}",
        amount=checkpoint.network.num_weights,
        unit="weights",
        timing=timings[_BOUND],
        floor="cold read of the file",
        floor_s=timings[_COLD_READ].median,
        baselines=(Baseline(name=naive, timing=timings[naive]),),
        facts={"file_bytes": file.stat().st_size},
    )


def measure_encode(settings: BenchSettings) -> list[Line]:
    """Folding and rounding, the context code, and its decoder."""
    checkpoint = make_checkpoint(settings.coded_channels)
    chosen = find_format(_BITS, None)
    message = checkpoint_message(checkpoint, chosen)
    codeword = encode_network(message, _CODE)
    num_bytes, num_weights = state_bytes(checkpoint), checkpoint.network.num_weights
    naive = "lzma of the bf16 numbers"
    timings = time_rounds(
        {
            "message": lambda: checkpoint_message(checkpoint, chosen),
            "encode": lambda: encode_network(message, _CODE),
            "decode": lambda: decode_network(codeword.data),
            _COPY: make_copy(num_bytes, settings.cpu_pace.device),
            _DECISIONS: partial(_code_decisions, np.zeros(_NUM_DECISIONS, dtype=np.int64)),
            naive: Piece(run=lambda: _compress(message), is_naive=True),
        },
        settings.cpu_pace,
    )
    coding_s = codeword.num_bits * timings[_DECISIONS].median / _NUM_DECISIONS
    facts = {
        "bits": codeword.num_bits,
        "lzma_bits": 8 * _compress(message),
        "decision_seconds": timings[_DECISIONS].median / _NUM_DECISIONS,
        "pass_seconds": timings[_COPY].median,
    }
    size = f"s-fc α={settings.coded_channels} at {DENSITY:.0%} density"
    coding_floor = "one decision of the coder for each bit, and one pass over the dense weights"
    line = partial(Line, amount=num_weights, unit="weights")
    return [
        line(
            piece=f"fold, round, shorten, {size}",
            timing=timings["message"],
            floor="copy of the dense weights",
            floor_s=2 * timings[_COPY].median,
        ),
        line(
            piece=f"encode, context code, {size}",
            timing=timings["encode"],
            floor=coding_floor,
            floor_s=coding_s + timings[_COPY].median,
            baselines=(Baseline(name=naive, timing=timings[naive]),),
            facts=facts,
        ),
        line(
            piece=f"decode, context code, {size}",
            timing=timings["decode"],
            floor=coding_floor,
            floor_s=coding_s + timings[_COPY].median,
            facts=facts,
        ),
    ]


def _code_decisions(patterns: NDArray[np.int64]) -> None:
    """The coder's own rate: adaptive decisions, one a number, in the compiled kernel."""
    code_patterns(ArithmeticCoder(), patterns, 1)


def _count_naively(file: Path) -> int:
    state = torch.load(file, weights_only=True)["state"]
    return sum(len(torch.unique(_dense(tensor).to(torch.bfloat16))) for tensor in state.values())


def _dense(tensor: Tensor) -> Tensor:
    return tensor if tensor.layout == torch.strided else tensor.to_dense()


def _compress(message: NetworkMessage) -> int:
    """Bytes of the numbers of a message after a general-purpose compressor."""
    numbers = torch.cat([tensor.flatten() for tensor in message.state.values()])
    data = numbers.to(torch.bfloat16).view(torch.int16).numpy().tobytes()
    return len(lzma.compress(data, preset=1))
