"""The processes that train one network together, as `torchrun` starts them: one rank each.

A batch is always the whole one, over all ranks. Every rank draws the same random numbers for it
and works on its own rows, so that results do not depend on the number of ranks but for the order
of floating-point sums.

Numbers about a run travel over gloo on the CPU, tensors on CUDA over NCCL. A gloo connection ends
with its process, so a rank that dies is noticed at once. The others then sign in at the store,
which `torchrun` itself keeps and which so outlives any rank; whoever has not signed after a few
seconds is gone.
"""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import torch
import torch.distributed as dist
from torch.distributed.distributed_c10d import _get_default_store

from training.errors import TrainingError

TIMEOUT = timedelta(minutes=30)
"""How long a rank waits for another one that neither answers nor ends."""
_VARIABLES = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
T = TypeVar("T")
PATIENCE = 3.0
"""Seconds for the others to sign in."""
_SIGNATURE = "mdl/still-here"


@dataclass(frozen=True, kw_only=True)
class BatchPart:
    """The rows of a batch of `num_images` that one rank works on."""

    rows: slice
    num_images: int

    def __len__(self) -> int:
        return len(range(self.num_images)[self.rows])


class FirstRankError(TrainingError):
    """Rank 0 could not begin, and has said why."""


@dataclass(frozen=True, kw_only=True)
class Ranks:
    """Which of how many processes this one is. A single process has no process group.

    Attributes:
        rank: From 0; rank 0 alone reads and writes files.
        size: Number of ranks.

    Raises:
        ValueError: A rank outside [0, size).
    """

    rank: int = 0
    size: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.rank < self.size:
            raise ValueError(f"rank must lie in [0, {self.size}), not {self.rank}")

    @property
    def is_first(self) -> bool:
        """Whether this is rank 0."""
        return self.rank == 0

    def rows(self, num_images: int, *, start: int = 0) -> slice:
        """This rank's rows of a batch that begins at `start`: in order, equally many within one.

        >>> [Ranks(rank=rank, size=3).rows(8) for rank in range(3)]
        [slice(0, 2, None), slice(2, 5, None), slice(5, 8, None)]
        """
        first, end = (num_images * index // self.size for index in (self.rank, self.rank + 1))
        return slice(start + first, start + end)

    def part(self, num_images: int) -> BatchPart:
        """This rank's part of a batch of that many images."""
        return BatchPart(rows=self.rows(num_images), num_images=num_images)

    def sum(self, value: int) -> int:
        """Sum of one integer over all ranks, each of which must ask."""
        return value if self.size == 1 else int(self._sum(torch.tensor(value)))

    def sum_real(self, value: float) -> float:
        """Sum of one real number over all ranks, each of which must ask."""
        if self.size == 1:
            return value
        return float(self._sum(torch.tensor(value, dtype=torch.float64)))

    def all_hold(self, holds: bool) -> bool:
        """Whether something holds on every rank; each must ask."""
        return self.sum(int(holds)) == self.size

    def from_first(self, make: Callable[[], T]) -> T:
        """What `make` gives on rank 0, the only one that calls it, copied to every rank.

        Raises:
            FirstRankError: `make` failed; rank 0 itself raises its own error.
        """
        if self.size == 1:
            return make()
        if not self.is_first:
            received: list[T | None] = [None, None]
            dist.broadcast_object_list(received, src=0, device=torch.device("cpu"))
            failed, value = received
            if failed:
                raise FirstRankError("rank 0 could not begin; its own error says why")
            return value  # type: ignore[return-value]
        try:
            made = make()
        except Exception:
            dist.broadcast_object_list([True, None], src=0, device=torch.device("cpu"))
            raise
        dist.broadcast_object_list([False, made], src=0, device=torch.device("cpu"))
        return made

    def _sum(self, value: torch.Tensor) -> torch.Tensor:
        dist.all_reduce(value)
        return value


ALONE = Ranks()


def is_launched() -> bool:
    """Whether `torchrun`, or a launcher with the same variables, started several processes."""
    return all(name in os.environ for name in _VARIABLES) and int(os.environ["WORLD_SIZE"]) > 1


@contextmanager
def joined_ranks(device: torch.device) -> Iterator[Ranks]:
    """Join the ranks that `torchrun` started, and leave them in the end; else be alone.

    After an exception the group is left as it is: to take it down, other ranks would be needed.

    Args:
        device: Where this rank computes, such as cuda:1.

    Raises:
        TrainingError: The ranks did not find each other.
    """
    if not is_launched():
        yield ALONE
        return
    backend = "gloo"
    if device.type == "cuda":
        torch.cuda.set_device(device)
        backend = "cpu:gloo,cuda:nccl"
    try:
        dist.init_process_group(backend, timeout=TIMEOUT)
    except (RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise TrainingError(
            f"rank {os.environ['RANK']} of {os.environ['WORLD_SIZE']} did not find the others at "
            f"{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}: {reason}"
        ) from error
    yield Ranks(rank=dist.get_rank(), size=dist.get_world_size())
    dist.destroy_process_group()


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


class Vote:
    """Whether any rank says yes; a context manager. One rank alone just asks itself.

    `ask` opens a ballot on the CPU and returns the outcome of the one before, which has had the
    time of a step to arrive: nothing waits for the device. `ask_now` waits. Every rank must ask
    equally often and in the same way. A ballot also fails at once when a rank has died, while the
    device would wait for it.

    Args:
        question: What this rank says.
        ranks: All ranks.
    """

    def __init__(self, question: Callable[[], bool], ranks: Ranks) -> None:
        self._question, self._ranks = question, ranks
        self._open: tuple[torch.Tensor, dist.Work] | None = None

    def __enter__(self) -> "Vote":
        return self

    def __exit__(self, error_type: type[BaseException] | None, *rest: object) -> None:
        if error_type is None:
            self._count()

    def ask(self) -> bool:
        """The outcome of the ballot before this one; False for the first.

        Raises:
            RuntimeError: A rank is gone.
        """
        if self._ranks.size == 1:
            return self._question()
        outcome = self._count()
        ballot = torch.tensor(int(self._question()))
        self._open = ballot, dist.all_reduce(ballot, async_op=True)
        return outcome

    def ask_now(self) -> bool:
        """The outcome of the ballot before or of this one.

        Raises:
            RuntimeError: A rank is gone.
        """
        before = self.ask()
        return self._count() or before

    def _count(self) -> bool:
        if self._open is None:
            return False
        ballot, work = self._open
        work.wait()
        self._open = None
        return bool(ballot)
