"""Runs a function of a test module in two processes that are ranks 0 and 1."""

import importlib
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from training.distributed.ranks import Ranks, joined_ranks

ROOT = Path(__file__).resolve().parents[2]


def run_two_ranks(
    task: Callable[[Ranks, Path], None],
    folder: Path,
    *,
    device: str = "cpu",
    exit_codes: tuple[int, int] = (0, 0),
) -> None:
    """Call `task(ranks, folder)`, a function of a module, on both ranks and wait for them."""
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        port = probe.getsockname()[1]
    shared = {"WORLD_SIZE": "2", "MASTER_ADDR": "localhost", "MASTER_PORT": str(port)}
    command = [
        sys.executable,
        "-W",
        "error",
        "-m",
        "tests.training.two_ranks",
        task.__module__,
        task.__name__,
        str(folder),
        device,
    ]
    processes = [
        subprocess.Popen(
            command,
            cwd=ROOT,
            text=True,
            stderr=subprocess.PIPE,
            env=os.environ | shared | {"RANK": str(rank), "OMP_NUM_THREADS": "1"},
        )
        for rank in range(2)
    ]
    errors = [process.communicate(timeout=600)[1] for process in processes]
    assert tuple(process.returncode for process in processes) == exit_codes, errors


def read_result(folder: Path, name: str, rank: int = 0) -> Any:
    """What a rank saved by `save_result`."""
    return torch.load(folder / f"{name}-{rank}.pt", weights_only=True)


def save_result(folder: Path, name: str, ranks: Ranks, value: Any) -> None:
    """Leave tensors for the test to look at."""
    torch.save(value, folder / f"{name}-{ranks.rank}.pt")


if __name__ == "__main__":
    module, name, place, kind = sys.argv[1:]
    index = int(os.environ["RANK"]) if kind == "cuda" else None
    with joined_ranks(torch.device(kind, index)) as found:
        getattr(importlib.import_module(module), name)(found, Path(place))
