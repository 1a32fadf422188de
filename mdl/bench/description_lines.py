"""`mdl bound --lengths-only` and `mdl encode` on a made-up network, against reading and coding."""

import lzma
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
from analysis.describe.file_description import describe_file
from analysis.quantize.formats import find_format
from mdl.bench.lines import Baseline, Line
from mdl.bench.settings import BenchSettings
from mdl.bench.sparse_networks import DENSITY, make_checkpoint, state_bytes
from mdl.timing.floors import drop_from_cache, make_copy, read_raw
from mdl.timing.rounds import Piece, time_rounds
from training.checkpoint.checkpoint import save_checkpoint

_NUM_DECISIONS = 1 << 20
_PIECE, _READ, _COPY, _DECISIONS = "piece", "read", "copy", "decisions"
_CODE = "context"
_BITS = 16


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
            _PIECE: Piece(run=lambda: describe_file(file, chosen), prepare=forget),
            _READ: Piece(run=lambda: read_raw(file), prepare=forget),
            naive: Piece(run=lambda: _count_naively(file), prepare=forget, is_naive=True),
        },
        settings.cpu_pace,
    )
    size = f"s-fc α={settings.stored_channels} at {density:.0%} density"
    return Line(
        piece=f"bound --lengths-only, {size}",
        amount=checkpoint.network.num_weights,
        unit="weights",
        timing=timings[_PIECE],
        floor="cold read of the file",
        floor_s=timings[_READ].median,
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
