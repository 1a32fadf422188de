"""How long a call takes on a device, also on one that works on after the call has returned."""

import time
from collections.abc import Callable

import torch

_NUM_ROUNDS = 3
_NUM_CALLS_ASIDE = 8  # In a round on a device that works aside: it waits for the host but once.


def measure_seconds(call: Callable[[], object], device: torch.device) -> float:
    """Seconds of one call; the best of a few rounds, after one that is not timed.

    Where calls return before the device is done, a round is several calls in a row and ends when
    the device is done with all of them, as steps follow each other in training.

    Args:
        call: Works on the device. It may wait for it, and is timed with that.
        device: Where the work is done.
    """
    num_calls = 1 if device.type == "cpu" else _NUM_CALLS_ASIDE
    call()
    best = float("inf")
    for _ in range(_NUM_ROUNDS):
        wait_for(device)
        start = time.perf_counter()
        for _ in range(num_calls):
            call()
        wait_for(device)
        best = min(best, (time.perf_counter() - start) / num_calls)
    return best


def wait_for(device: torch.device) -> None:
    """Return once the device has done all that it was given; a CPU has."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
