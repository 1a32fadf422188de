"""What is left to do when a rank dies: say which one, and end.

The others notice because gloo's connection to it ends with its process. They sign in at the store,
which `torchrun` itself keeps and which so outlives any rank; whoever has not signed after a few
seconds is gone.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch.distributed as dist
from torch.distributed.distributed_c10d import _get_default_store

from training.distributed.ranks import Ranks
from training.errors import TrainingError

PATIENCE = 3.0
"""Seconds for the others to sign in."""

_SIGNATURE = "mdl/still-here"


class LostRankError(TrainingError):
    """Other ranks are gone, so the run cannot continue.

    Attributes:
        speaks: Whether this is the first of the ranks left, which tells the user.
    """

    def __init__(self, message: str, *, speaks: bool) -> None:
        super().__init__(message)
        self.speaks = speaks


@contextmanager
def naming_lost_ranks(ranks: Ranks, way_out: str, *, patience: float = PATIENCE) -> Iterator[None]:
    """Turn the error of a broken connection into one that says who is gone.

    Args:
        ranks: All ranks of the run.
        way_out: What the user can do, to end the message with.
        patience: Seconds in which the ranks that are left must have noticed.

    Raises:
        LostRankError: Some rank ended, or did not answer within
            `training.distributed.ranks.TIMEOUT`.
    """
    try:
        yield
    except RuntimeError as error:
        if ranks.size == 1 or not _is_broken_connection(error):
            raise
        missing = _find_missing(ranks, patience)
        present = [rank for rank in range(ranks.size) if rank not in missing]
        raise LostRankError(
            f"{_name(missing)} of {ranks.size} {'is' if len(missing) == 1 else 'are'} gone; "
            f"{way_out}",
            speaks=ranks.rank == present[0],
        ) from error


def _is_broken_connection(error: RuntimeError) -> bool:
    return isinstance(error, dist.DistError) or "gloo" in str(error).lower()


def _find_missing(ranks: Ranks, patience: float) -> list[int]:
    others = [rank for rank in range(ranks.size) if rank != ranks.rank]
    try:
        store = _get_default_store()
        store.set(f"{_SIGNATURE}/{ranks.rank}", "")
        deadline = time.monotonic() + patience
        while others and time.monotonic() < deadline:
            others = [rank for rank in others if not store.check([f"{_SIGNATURE}/{rank}"])]
            time.sleep(0.05)
    except RuntimeError:  # The store went with the rank that kept it.
        pass
    return others


def _name(missing: list[int]) -> str:
    """Ranks in words.

    >>> _name([1]), _name([0, 2, 3]), _name([])
    ('rank 1', 'ranks 0, 2 and 3', 'another rank')
    """
    if not missing:
        return "another rank"
    if len(missing) == 1:
        return f"rank {missing[0]}"
    listed = ", ".join(str(rank) for rank in missing[:-1])
    return f"ranks {listed} and {missing[-1]}"
