"""Questions that one rank may answer with yes, and that all ranks then act on at the same step."""

from collections.abc import Callable
from types import TracebackType

import torch
import torch.distributed as dist

from training.distributed.ranks import Ranks


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

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is None:
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
