"""How tests run a script that needs Triton set up before it is loaded."""

import os
import subprocess
import sys
from collections.abc import Callable

import pytest

Script = Callable[..., str]


@pytest.fixture(scope="session")
def run_triton_script() -> Script:
    """Run Python code in a process of its own and give its stdout; skips without Triton."""
    pytest.importorskip("triton", reason="Triton is not installed")

    def run(script: str, **environment: str) -> str:
        done = subprocess.run(
            [sys.executable, "-c", script],
            env=os.environ | environment,
            text=True,
            capture_output=True,
            timeout=600,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run
