"""What the system says of this process's memory, and that it gets some back."""

import json
import subprocess
import sys

import pytest

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
