"""The processes that train one network together, as `torchrun` starts them: one rank each.

A batch is always the whole one, over all ranks. Every rank draws the same random numbers for it
and works on its own rows, so that results do not depend on the number of ranks but for the order
of floating-point sums.

Numbers about a run travel over gloo on the CPU, tensors on CUDA over NCCL. A gloo connection ends
with its process, so a rank that dies is noticed at once; see `training.distributed.lost_ranks`.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import torch
import torch.distributed as dist

from training.errors import TrainingError

TIMEOUT = timedelta(minutes=30)
"""How long a rank waits for another one that neither answers nor ends."""

_VARIABLES = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")

T = TypeVar("T")


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
        """This rank's rows of a batch that begins at `start`: in order, as many a rank within one.

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
