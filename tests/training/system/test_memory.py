"""What the system says of this process's memory, and that it gets some back."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from training.errors import OutOfMemoryError
from training.system import memory
from training.system.memory import available_memory, check_memory

GB = 10**9


class Machine:
    """The files in which a made-up Linux tells of memory."""

    def __init__(self, folder: Path) -> None:
        self.proc, self.cgroups = folder / "proc", folder / "cgroup"
        self.write("proc/meminfo", f"MemTotal: 99 kB\nMemAvailable: {8 * GB // 1024} kB\n")

    def write(self, name: str, text: str) -> None:
        path = self.proc.parent / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    made = Machine(tmp_path)
    monkeypatch.setattr(memory, "_PROC", made.proc)
    monkeypatch.setattr(memory, "_CGROUPS", made.cgroups)
    monkeypatch.setattr(memory, "_limits_left", lambda: iter(()))
    return made


def test_free_memory_is_what_the_system_calls_available(machine: Machine) -> None:
    assert available_memory() == 8 * GB // 1024 * 1024
    machine.write("proc/self/cgroup", "0::/\n")  # in no group with a limit
    assert available_memory() == 8 * GB // 1024 * 1024


@pytest.mark.parametrize("root", ["cgroup", "cgroup/unified"])
def test_a_group_of_version_2_and_those_around_it(machine: Machine, root: str) -> None:
    machine.write("proc/self/cgroup", "0::/user/job\n")
    machine.write(f"{root}/user/job/memory.max", "max\n")
    machine.write(f"{root}/user/job/memory.current", f"{GB}\n")
    machine.write(f"{root}/user/memory.max", f"{5 * GB}\n")
    machine.write(f"{root}/user/memory.current", f"{3 * GB}\n")
    assert available_memory() == 2 * GB
    # Its cache of files is given up before anything is refused.
    machine.write(f"{root}/user/memory.stat", f"anon {2 * GB}\ninactive_file {GB}\n")
    assert available_memory() == 3 * GB
    machine.write(f"{root}/user/job/memory.max", f"{GB // 2}\n")
    assert available_memory() == 0


def test_a_group_of_version_1(machine: Machine) -> None:
    machine.write("proc/self/cgroup", "3:cpu,cpuacct:/a\n4:memory:/docker/a:b\n0::/\n")
    machine.write("cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n")
    machine.write("cgroup/memory/memory.usage_in_bytes", f"{7 * GB}\n")
    assert available_memory() == 8 * GB // 1024 * 1024
    machine.write("cgroup/memory/docker/a:b/memory.limit_in_bytes", f"{4 * GB}\n")
    machine.write("cgroup/memory/docker/a:b/memory.usage_in_bytes", f"{3 * GB}\n")
    machine.write("cgroup/memory/docker/a:b/memory.stat", f"cache 5\ntotal_inactive_file {GB}\n")
    assert available_memory() == 2 * GB


def test_the_line_has_both_sizes_and_the_way_out(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    check_memory(7 * GB, "a.mdl: its network")
    with pytest.raises(OutOfMemoryError) as caught:
        check_memory(22_400_000_000, "a.mdl: its network")
    assert str(caught.value) == (
        "a.mdl: its network needs about 22.4 GB of memory, and 8.0 GB is available; free some, "
        "raise the limit of this process, or use a larger machine"
    )
    monkeypatch.setattr(memory, "available_memory", lambda: None)
    check_memory(10**30, "anything, where the system tells nothing,")


def test_no_proc_means_all_memory_there_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_PROC", tmp_path)
    monkeypatch.setattr(memory, "_limits_left", lambda: iter(()))
    monkeypatch.setattr(memory.os, "sysconf", {"SC_PHYS_PAGES": 5, "SC_PAGE_SIZE": 10}.get)
    assert available_memory() == 50
    monkeypatch.setattr(memory.os, "sysconf", {"SC_PHYS_PAGES": -1, "SC_PAGE_SIZE": 10}.get)
    assert available_memory() is None


LIMITED = """
import resource
from training.system.memory import available_memory
which = resource.{limit}
free = available_memory()
used = {used}
resource.setrlimit(which, (used + 10**9, used + 10**9))
left = available_memory()
assert free > left, (free, left)
block = bytearray(left - 2**24)  # what is called available can be had, ...
try:
    bytearray(left + 2**24 - len(block))
except MemoryError:  # ... and what is not, cannot
    print(left)
"""
USED = 'int(open("/proc/self/statm").read().split()[{}]) * resource.getpagesize()'


@pytest.mark.process
@pytest.mark.parametrize(("limit", "field"), [("RLIMIT_AS", 0), ("RLIMIT_DATA", 5)])
def test_a_limit_of_the_process_itself(limit: str, field: int) -> None:
    script = LIMITED.format(limit=limit, used=USED.format(field))
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=600
    )
    assert 0.98 * GB < int(done.stdout) <= GB


SCRIPT = """
import json, sys, torch
from training.system.memory import give_back_memory, resident_memory
torch.ones(1).sum()
used = [resident_memory()]
blocks = [torch.ones(2**14) for _ in range(3000)]  # 64 KiB each: on the C library's heap
used.append(resident_memory())
last = blocks[-1]  # keeps the heap's end in use, so that it cannot shrink by itself
del blocks
give_back_memory()
used.append(resident_memory())
assert last.sum() == 2**14
json.dump(used, sys.stdout)
"""
FILLED = 3000 * 2**16


@pytest.mark.slow
@pytest.mark.process
def test_memory_goes_up_with_tensors_and_down_again() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True, timeout=600
    )
    before, filled, after = json.loads(done.stdout)
    assert filled - before > 0.9 * FILLED
    assert after - before < 0.2 * FILLED
