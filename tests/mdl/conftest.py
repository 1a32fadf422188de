"""One tiny trained run that the tests of the commands look at, and the way to call a command."""

import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import pytest

from mdl.experiments.engines import local_engine
from tests.mdl.calls import Command, TrialHere, call_here, call_process


@pytest.fixture(scope="session")
def mdl(tmp_path_factory: pytest.TempPathFactory) -> Command:
    """Call `mdl ...` in this process, in an empty folder."""
    return partial(call_here, folder=tmp_path_factory.mktemp("work"))


@pytest.fixture(scope="session")
def mdl_process(tmp_path_factory: pytest.TempPathFactory) -> Command:
    """Call `python -m mdl ...` in an empty folder."""
    return partial(call_process, folder=tmp_path_factory.mktemp("work"))


@pytest.fixture(scope="module")
def trials_here() -> Iterator[None]:
    """Trials of sweeps and reproductions run in this process, one after the other."""
    stand_in = SimpleNamespace(Popen=TrialHere, PIPE=subprocess.PIPE)
    with (
        mock.patch.object(local_engine, "subprocess", stand_in),
        mock.patch.object(local_engine, "_POLL_S", 0.0),
    ):
        yield


@pytest.fixture(scope="session")
def trained(mdl: Command, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run folder of an s-fc with β-lasso on 8x8 glyphs."""
    run = tmp_path_factory.mktemp("trained") / "run"
    done = mdl(
        "train",
        "s-fc",
        "--image-size",
        "8",
        "--num-train",
        "300",
        "--num-test",
        "100",
        "--validation",
        "20",
        "--base-channels",
        "2",
        "--batch-size",
        "20",
        "--epochs",
        "4",
        "--l1-conv",
        "1e-3",
        "--l1-fc",
        "5e-5",
        "--lr",
        "0.1",
        "--precision",
        "fp32",
        "--device",
        "cpu",
        "--out",
        str(run),
    )
    assert done.returncode == 0, done.stderr
    return run
