"""Processes that judge files under limits of memory and time, and are replaced when they die.

They are forks of this process, which has imported all and computed with one thread, so that a file
costs milliseconds. The limits are the system's own: a process that exceeds its time is ended by a
signal, also in the middle of compiled code, and leaves a traceback.
"""

import faulthandler
import multiprocessing
import os
import resource
import signal
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import IO

import torch

from tests.fuzz.cases import Case
from tests.fuzz.judge import Outcome, judge
from training.system.memory import page_size

MEMORY_BYTES = 1 << 31
"""Address space that a process may take beyond what it begins with."""
CPU_S, WALL_S = 5.0, 60.0
"""Seconds that a file may take: of the processor, and of the clock (for what waits for ever)."""
_FILES = 1000  # that one process judges; then it makes room for a fresh one
_OWN_FRAMES = '  File "' + __file__
_FORKS = multiprocessing.get_context("fork")


def memory_limit() -> int:
    """Bytes of address space that this process has and may take."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    return pages * page_size() + MEMORY_BYTES


def judge_all(
    numbers: Iterable[int],
    make: Callable[[int], Case],
    folder: Path,
    meanings: Mapping[str, str],
    *,
    num_processes: int,
) -> Iterator[Outcome]:
    """Make and judge files in processes; outcomes come as they are known.

    Args:
        numbers: Of the files.
        make: Gives the file of a number; called in the processes.
        folder: An empty folder for their work.
        meanings: Of the good files.
        num_processes: How many at once.
    """
    left = iter(numbers)
    workers = [_Worker(folder / str(index), make, meanings) for index in range(num_processes)]
    try:
        busy = [worker for worker in workers if worker.give(next(left, None))]
        while busy:
            ready = wait([worker.connection for worker in busy])
            for worker in [each for each in busy if each.connection in ready]:
                yield worker.take()
                if not worker.give(next(left, None)):
                    busy.remove(worker)
    finally:
        for worker in workers:
            worker.end()


class _Worker:
    """One process after another, that do one thing at a time."""

    def __init__(
        self, folder: Path, make: Callable[[int], Case], meanings: Mapping[str, str]
    ) -> None:
        folder.mkdir(parents=True)
        self._folder, self._make, self._meanings = folder, make, meanings
        self._number = 0
        self._start()

    def _start(self) -> None:
        self.connection, other = _FORKS.Pipe()
        self._done = 0
        with (self._folder / "trace").open("wb") as trace:
            arguments = (other, self._folder, trace, self._make, self._meanings)
            self._process = _FORKS.Process(target=_work, args=arguments, daemon=True)
            self._process.start()
        other.close()

    def give(self, number: int | None) -> bool:
        """Have a file judged; False if there is none."""
        if number is None:
            return False
        if self._done == _FILES:
            self.end()
            self._start()
        self._number = number
        self.connection.send(number)
        return True

    def take(self) -> Outcome:
        """What became of it."""
        self._done += 1
        try:
            outcome: Outcome = self.connection.recv()
        except EOFError:
            return self._bury()
        return replace(outcome, index=self._number)

    def _bury(self) -> Outcome:
        """The process is dead: say of what, and start another one."""
        self._process.join()
        code = self._process.exitcode or 0
        trace = (self._folder / "trace").read_text(encoding="utf-8", errors="replace")
        hung = -code in (signal.SIGPROF, signal.SIGALRM)
        cause = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        self.connection.close()
        self._start()
        case = self._make(self._number)
        return Outcome(
            case=Case(
                kind=case.kind, files={}, origin=case.origin, seed=case.seed, number=case.number
            ),
            verdict="hang" if hung else "crash",
            said=f"{cause}\n{trace.partition(_OWN_FRAMES)[0][:2000]}",
            seconds=CPU_S if hung else 0.0,
            index=self._number,
        )

    def end(self) -> None:
        """End the process."""
        with suppress(OSError):
            self.connection.send(None)
        self.connection.close()
        self._process.join(CPU_S)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()


def _work(
    connection: Connection,
    folder: Path,
    trace: IO[bytes],
    make: Callable[[int], Case],
    meanings: Mapping[str, str],
) -> None:
    """The process: a number in, an outcome out, until nobody asks any more."""
    torch.set_num_threads(1)
    faulthandler.enable(trace)
    for number in (signal.SIGPROF, signal.SIGALRM):
        faulthandler.register(number, trace, chain=True)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    most = memory_limit()
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    parent = os.getppid()
    while True:
        while not connection.poll(1.0):
            if os.getppid() != parent:  # it died, and nobody asks any more
                return
        number = connection.recv()
        if number is None:
            return
        case = make(number)
        signal.setitimer(signal.ITIMER_PROF, CPU_S)
        signal.setitimer(signal.ITIMER_REAL, WALL_S)
        outcome = judge(case, folder, meanings)
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)
        connection.send(outcome)
