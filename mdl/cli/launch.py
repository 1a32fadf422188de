"""`torchrun -m mdl train`: this process as one of several ranks, of which the first one speaks."""

import os
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path

import torch

from mdl.terminal.devices import choose_device
from mdl.terminal.errors import error_line
from mdl.terminal.options import Device
from training.distributed.lost_ranks import PATIENCE, LostRankError
from training.distributed.ranks import Ranks, is_launched, joined_ranks
from training.errors import USER_ERRORS, TrainingError


@contextmanager
def launched_ranks(device: Device) -> Iterator[tuple[Ranks, torch.device]]:
    """The ranks that `torchrun` started and the device of this one; one rank alone without it.

    Ranks but the first print nothing unless something is wrong with them alone. When ranks are
    lost, the first one that is left says so. An error ends a rank of several on the spot: to take
    the connections down in order, the others would be needed.

    Raises:
        ValueError: `cuda` was asked for and this rank has no card.
        TrainingError: The ranks did not find each other.
    """
    chosen = _device_of_rank(device)
    with joined_ranks(chosen) as ranks:
        try:
            with _silence(quiet=not ranks.is_first):
                yield ranks, chosen
        except BaseException as error:
            if ranks.size == 1:
                raise
            _report(error, ranks)
            os._exit(1)


def _report(error: BaseException, ranks: Ranks) -> None:
    """Say what ended this rank, unless another one does.

    torchrun ends all ranks as soon as one has ended. So those that have nothing to say, or nothing
    that the first one would not say too, let it go first.
    """
    speaks = error.speaks if isinstance(error, LostRankError) else ranks.is_first
    if not speaks:
        time.sleep(PATIENCE)
    if not isinstance(error, USER_ERRORS):
        traceback.print_exception(error)
    elif speaks:
        sys.stderr.write(error_line(error) + "\n")
    elif not isinstance(error, TrainingError):  # All ranks raise that one together.
        sys.stderr.write(f"{error_line(error)} (rank {ranks.rank} of {ranks.size})\n")
    sys.stdout.flush()
    sys.stderr.flush()


def resume_command(ranks: Ranks, run: Path) -> str:
    """What the user types to resume with a stopped run.

    >>> resume_command(Ranks(size=2), Path("runs/0001-s-fc"))
    'torchrun ... -m mdl train --resume runs/0001-s-fc'
    """
    program = "mdl train" if ranks.size == 1 else "torchrun ... -m mdl train"
    return f"{program} --resume {run}"


def _device_of_rank(device: Device) -> torch.device:
    chosen = choose_device(device)
    if chosen.type != "cuda" or not is_launched():
        return chosen
    index, num_cards = int(os.environ.get("LOCAL_RANK", "0")), torch.cuda.device_count()
    if index >= num_cards:
        raise ValueError(
            f"--device {device}: torchrun started more ranks than this machine has cards; use "
            f"--nproc-per-node {num_cards}"
        )
    return torch.device("cuda", index)


@contextmanager
def _silence(*, quiet: bool) -> Iterator[None]:
    with ExitStack() as stack:
        if quiet:
            nowhere = stack.enter_context(Path(os.devnull).open("w", encoding="utf-8"))
            stack.enter_context(redirect_stdout(nowhere))
            stack.enter_context(redirect_stderr(nowhere))
        yield
