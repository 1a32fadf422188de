import errno
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from training.system import locks
from training.system.locks import RunBusyError, lock_holder, run_lock

HOLD = """
import sys
from pathlib import Path
from training.system.locks import run_lock
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
    assert not lock_holder(path)
    process = hold(path)
    assert lock_holder(path)
    with pytest.raises(RunBusyError, match=f"process {process.pid} works"), run_lock(path):
        pass
    process.communicate()
    assert not lock_holder(path)
    assert not path.exists()
    with run_lock(path):
        assert path.read_text() == f"{os.getpid()} {socket.gethostname()}\n"


@pytest.mark.process
def test_the_lock_of_a_killed_process_is_free(tmp_path: Path) -> None:
    path = tmp_path / "key.lock"
    process = hold(path)
    process.kill()
    process.communicate()
    assert path.exists()
    assert not lock_holder(path)
    with run_lock(path):
        assert lock_holder(path)
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
from training.system.locks import RunBusyError, run_lock
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


def test_a_file_system_without_locks_has_the_file_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_locks(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(locks.fcntl, "flock", no_locks)
    path, here = tmp_path / "run.lock", socket.gethostname()
    with run_lock(path):
        assert path.read_text().startswith(f"{os.getpid()} ")
    path.write_text(f"{os.getppid()} {here}\n")
    with pytest.raises(RunBusyError, match=f"process {os.getppid()} works on it"), run_lock(path):
        pass
    path.write_text(f"{2**22 + 1} {here}\n")  # no process has that number
    with run_lock(path):
        pass
    path.write_text("12 node7\n")
    with (
        pytest.raises(
            RunBusyError, match=r"12 on node7 began .* does not tell .* last written \d+ s ago"
        ),
        run_lock(path),
    ):
        pass
    assert path.read_text() == "12 node7\n"
    monkeypatch.setattr(locks, "GIVE_UP_S", 0.0)
    with pytest.raises(RunBusyError, match="12 on node7"), run_lock(path, waits=True):
        pass


@pytest.mark.parametrize(
    ("mount", "is_known"),
    [
        ("server:/home HERE nfs4 rw,vers=4.2,local_lock=none,addr=10.0.0.1 0 0", True),
        ("server:/home HERE nfs rw,vers=3,nolock,local_lock=all 0 0", False),
        ("mds@tcp:/fs HERE lustre rw,localflock 0 0", False),
        ("me@node:/home HERE fuse.sshfs rw 0 0", False),
        ("/dev/sda1 HERE ext4 rw 0 0", True),
        ("tmpfs /elsewhere nfs nolock 0 0", True),
    ],
)
def test_what_another_machine_left_on_a_network_drive(
    mount: str, is_known: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where locks reach other machines, one that can be taken is free; where not, none can know."""
    folder = tmp_path / "a folder"
    folder.mkdir()
    mounts = tmp_path / "mounts"
    mounts.write_text(
        f"none / ext4 rw 0 0\n{mount}\n".replace("HERE", str(folder).replace(" ", "\\040"))
    )
    monkeypatch.setattr(locks, "_MOUNTS", mounts)
    path = folder / "run.lock"
    path.write_text("12 node7\n")
    assert (lock_holder(path) is None) == is_known
    if is_known:
        with run_lock(path):
            pass
    else:
        with pytest.raises(RunBusyError, match="if it has ended, delete this file"), run_lock(path):
            pass


def test_a_damaged_lock_file_is_nobody_s(tmp_path: Path) -> None:
    path = tmp_path / "run.lock"
    path.write_bytes(b"\xff\x00 -3" * 100)
    assert lock_holder(path) is None
    with run_lock(path):
        assert "unknown" not in (lock_holder(path) or "unknown")
