import os
import subprocess
import sys
from pathlib import Path

import pytest

from mdl.experiments.store.run_lock import RunBusyError, is_locked, run_lock

HOLD = """
import sys
from pathlib import Path
from mdl.experiments.store.run_lock import run_lock
with run_lock(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def hold(path: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


@pytest.mark.process
def test_a_lock_is_held_by_one_process(tmp_path: Path) -> None:
    path = tmp_path / "runs" / "key.lock"
    assert not is_locked(path)
    process = hold(path)
    assert is_locked(path)
    with pytest.raises(RunBusyError, match=f"process {process.pid} works"), run_lock(path):
        pass
    process.communicate()
    assert not is_locked(path)
    assert not path.exists()
    with run_lock(path):
        assert path.read_text() == f"{os.getpid()}\n"


@pytest.mark.process
def test_the_lock_of_a_killed_process_is_free(tmp_path: Path) -> None:
    path = tmp_path / "key.lock"
    process = hold(path)
    process.kill()
    process.communicate()
    assert path.exists()
    assert not is_locked(path)
    with run_lock(path):
        assert is_locked(path)
    assert not path.exists()


def test_a_lock_is_freed_when_its_work_fails(tmp_path: Path) -> None:
    path = tmp_path / "key.lock"
    with pytest.raises(ZeroDivisionError), run_lock(path):
        raise ZeroDivisionError
    assert not path.exists()


@pytest.mark.process
def test_many_processes_take_turns(tmp_path: Path) -> None:
    """Each adds one to a number in a file, which loses counts unless they are alone."""
    program = """
import sys, time
from pathlib import Path
from mdl.experiments.store.run_lock import RunBusyError, run_lock
lock, number = Path(sys.argv[1]), Path(sys.argv[2])
for _ in range(20):
    while True:
        try:
            with run_lock(lock):
                value = int(number.read_text())
                time.sleep(0.0005)
                number.write_text(str(value + 1))
            break
        except RunBusyError:
            time.sleep(0.0002)
"""
    lock, number = tmp_path / "key.lock", tmp_path / "number"
    number.write_text("0")
    processes = [
        subprocess.Popen([sys.executable, "-c", program, str(lock), str(number)]) for _ in range(4)
    ]
    assert [process.wait(timeout=600) for process in processes] == [0] * 4
    assert number.read_text() == "80"
