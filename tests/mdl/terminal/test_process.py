"""A process of ours from its first line to its last, whatever its streams and its folder are."""

import errno
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mdl.terminal.errors import error_line
from mdl.terminal.process import _Stream

ROOT = Path(__file__).resolve().parents[3]
BUDGET = "-m mdl budget --target 0.2 --samples 1000"
TEARDOWN = """
import atexit, sys, tempfile, threading, time
from mdl.terminal.process import run_as_process

class Slow:
    def __del__(self):  # as what torch and numba have built up, which the interpreter takes down
        print("taken down")

def program():
    global kept, folder
    kept, folder = Slow(), tempfile.TemporaryDirectory()
    atexit.register(print, "exit function")
    threading.Thread(target=lambda: (time.sleep(0.2), print("thread"))).start()
    print(folder.name)
    sys.exit(7)

run_as_process(program)
"""


def call(command: str, folder: Path = ROOT, **variables: str) -> subprocess.CompletedProcess[str]:
    """A command of the shell, in which `python` is this one."""
    return subprocess.run(
        ["sh", "-c", command.replace("python", sys.executable)],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT), "COLUMNS": "80"} | variables,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


def stream_to(path: str) -> tuple[_Stream, int]:
    descriptor = os.open(path, os.O_WRONLY)
    return _Stream(descriptor, "standard output", None), descriptor


def test_what_nobody_reads_is_forgotten() -> None:
    reads, writes = os.pipe()
    os.close(reads)
    stream = _Stream(writes, "standard output", None)
    for _ in range(3):
        print("λ" * 10_000, file=stream.text, flush=True)
    assert stream.failure is None
    os.close(writes)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_a_full_disk_is_kept_to_be_told() -> None:
    stream, descriptor = stream_to("/dev/full")
    for _ in range(3):
        print("answer", file=stream.text, flush=True)
    assert stream.failure is not None
    assert stream.failure.errno == errno.ENOSPC
    os.close(descriptor)


def test_a_stream_that_must_not_block_is_waited_for() -> None:
    reads, writes = os.pipe()
    os.set_blocking(writes, False)
    stream = _Stream(writes, "standard output", None)
    process = subprocess.Popen(
        [sys.executable, "-c", "import sys, time; time.sleep(0.3); sys.stdin.read()"], stdin=reads
    )
    os.close(reads)
    start = time.monotonic()
    stream.text.write("x" * 1_000_000)
    stream.text.flush()
    assert time.monotonic() > start
    assert stream.failure is None
    os.close(writes)
    assert process.wait() == 0


@pytest.mark.process
def test_threads_and_exit_functions_run_and_nothing_else(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", TEARDOWN], capture_output=True, text=True, check=False, cwd=ROOT
    )
    folder, *rest = done.stdout.splitlines()
    assert (done.returncode, rest, done.stderr) == (7, ["thread", "exit function"], "")
    assert not Path(folder).exists()


@pytest.mark.process
@pytest.mark.parametrize(
    ("command", "code", "out", "err"),
    [
        pytest.param("python BUDGET >&- 2>&- <&-", 0, "", "", id="closed"),
        pytest.param(
            "python BUDGET --target 2 >&- 2>&-",
            2,
            "",
            "",
            id="closed error",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            "python BUDGET > /dev/full",
            1,
            "",
            "error: standard output: No space left on device; make room, or choose another place\n",
            id="full",
        ),
        pytest.param("(python BUDGET; echo $? >&2) | true", 0, "", "0\n", id="no reader"),
        pytest.param(
            "mkdir gone; cd gone; rmdir ../gone; python BUDGET",
            1,
            "",
            "error: the working folder is gone: change to one that is there\n",
            id="no folder",
        ),
    ],
)
def test_streams_and_folders_that_are_gone(
    command: str, code: int, out: str, err: str, tmp_path: Path
) -> None:
    done = call(command.replace("BUDGET", BUDGET), tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (code, out, err)


@pytest.mark.process
@pytest.mark.parametrize(
    "variables",
    [
        {"PYTHONIOENCODING": "ascii"},
        pytest.param({"LC_ALL": "C"}, marks=pytest.mark.slow),
        pytest.param(
            {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}, marks=pytest.mark.slow
        ),
    ],
)
def test_what_an_encoding_lacks_is_escaped(variables: dict[str, str], tmp_path: Path) -> None:
    done = call(f"python {BUDGET}", tmp_path, **variables)
    assert (done.returncode, done.stderr) == (0, "")
    assert "at most 317 bits" in done.stdout
    assert ("\\u03b4" in done.stdout) != ("δ" in done.stdout)


def test_errors_of_the_system_name_the_file_and_the_way_out() -> None:
    for number, words in (
        (errno.ENOSPC, "make room"),
        (errno.EROFS, "a place that can be written"),
        (errno.ENOENT, "whether the path is right"),
    ):
        line = error_line(OSError(number, os.strerror(number), "runs/a\x1b[2J"))
        assert line.startswith(f"error: runs/a\\x1b[2J: {os.strerror(number)}; ")
        assert words in line
    assert error_line(OSError("ours")) == "error: ours"
