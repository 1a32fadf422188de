"""Two ways to call `mdl`: in this process, as most tests do, and as a process of its own.

Both give what a process would: exit code, stdout, stderr. In this process an error that the command
does not turn into a line of its own comes out as it is and fails the test, as does any warning.
"""

import io
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import chdir, contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import BinaryIO
from unittest import mock

import torch

from mdl.cli.app import run

Done = subprocess.CompletedProcess[str]
Command = Callable[..., Done]
# fmt: off
SMALL = (
    "--image-size", "8", "--num-train", "256", "--num-test", "64", "--base-channels", "1",
    "--batch-size", "32", "--device", "cpu", "--precision", "fp32",
)
# fmt: on
"""A training of a moment, for `mdl train NETWORK`; what is given again behind it counts."""
HANGS_S = 600  # guards against a command that never ends; no command takes near as long


def environment() -> dict[str, str]:
    """The variables of a command that has one thread and 80 columns, and the cache of this run."""
    return os.environ | {"OMP_NUM_THREADS": "1", "COLUMNS": "80"}


def call_here(*arguments: object, folder: Path) -> Done:
    """Call `mdl ARGUMENTS` in this process, as if it had been started in that folder."""
    with chdir(folder), mock.patch.dict(os.environ, environment()):
        return run_here(run, "mdl", *arguments)


def run_here(program: Callable[[], None], name: str, *arguments: object) -> Done:
    """Run a program's main function here, with what it writes caught and its exit turned to a code.

    It computes with one thread, as the processes of these tests do, and draws random numbers that
    nobody else draws.
    """
    given = list(map(str, arguments))
    out, err = io.StringIO(), io.StringIO()
    with (
        mock.patch.object(sys, "argv", [name, *given]),
        _one_thread(),
        torch.random.fork_rng(devices=[]),
        redirect_stdout(out),
        redirect_stderr(err),
    ):
        code = _exit_code(program)
    return subprocess.CompletedProcess(given, code, out.getvalue(), err.getvalue())


def start_process(
    *arguments: object, folder: Path, module: str = "mdl", own_session: bool = False
) -> subprocess.Popen[str]:
    """Start `python -m mdl ARGUMENTS` in that folder; whoever starts it ends it."""
    return subprocess.Popen(
        [sys.executable, "-m", module, *map(str, arguments)],
        cwd=folder,
        env=environment(),
        text=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=own_session,
    )


def call_process(*arguments: object, folder: Path, module: str = "mdl") -> Done:
    """Call `python -m mdl ARGUMENTS` in that folder."""
    with start_process(*arguments, folder=folder, module=module) as process:
        try:
            out, err = process.communicate(timeout=HANGS_S)
        except BaseException:
            process.kill()
            raise
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


class TrialHere:
    """Stands in for the process of a trial: runs it here, and has ended once it is made.

    What `mdl.experiments.engines.local_engine` does with a process is what this can do.
    """

    stdin = None

    def __init__(self, command: list[str], *, stdout: BinaryIO, **_: object) -> None:
        from mdl.experiments.engines import trial

        assert command[:3] == [sys.executable, "-m", trial.__name__]
        arguments = [each for each in command[3:] if each != "--tied"]  # to a parent's pipe
        done = run_here(trial.main, "trial", *arguments)
        stdout.write((done.stdout + done.stderr).encode())
        self.returncode, self.pid = done.returncode, os.getpid()

    def poll(self) -> int:
        return self.returncode

    def wait(self) -> int:
        return self.returncode


def _exit_code(program: Callable[[], None]) -> int:
    """What Python would end with; an error message goes to stderr as Python puts it there."""
    try:
        program()
    except SystemExit as exit_:
        if exit_.code is None or isinstance(exit_.code, int):
            return exit_.code or 0
        sys.stderr.write(f"{exit_.code}\n")
        return 1
    return 0


@contextmanager
def _one_thread() -> Iterator[None]:
    num_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(num_threads)
