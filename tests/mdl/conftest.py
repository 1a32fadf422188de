"""One tiny trained run that the tests of the commands look at, and the way to call a command."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def mdl(tmp_path_factory: pytest.TempPathFactory) -> Command:
    """Run `python -m mdl ...` in an empty folder, with an empty cache."""
    folder = tmp_path_factory.mktemp("work")
    environment = os.environ | {"MDL_CACHE": str(folder / "cache"), "OMP_NUM_THREADS": "1"}

    def call(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "mdl", *arguments],
            cwd=folder, env=environment, text=True, capture_output=True, timeout=120, check=False,
        )  # fmt: skip

    return call


@pytest.fixture(scope="session")
def trained(mdl: Command, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run folder of an s-fc with β-lasso on 8x8 glyphs."""
    run = tmp_path_factory.mktemp("trained") / "run"
    done = mdl(
        "train", "s-fc", "--image-size", "8", "--num-train", "300", "--num-test", "100",
        "--validation", "20", "--base-channels", "2", "--batch-size", "20", "--epochs", "4",
        "--l1-conv", "1e-3", "--precision", "fp32", "--device", "cpu", "--out", str(run),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return run
