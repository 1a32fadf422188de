"""An allocation that fails, in whatever library, is one line with both sizes and the way out."""

import errno
import os
from collections.abc import Callable

import numpy as np
import pytest
import torch

from mdl.cli import app
from mdl.terminal.errors import MAX_MESSAGE, error_line, is_told
from training.errors import ConfigError, OutOfMemoryError
from training.system import memory
from training.system.memory import as_memory_error, available_memory

END = "free some, raise the limit of this process, or use a larger machine"
HUGE = 1 << 55


def fail_in_python() -> object:
    return bytearray(HUGE)


def fail_in_numpy() -> object:
    return np.empty(HUGE, dtype=np.uint8)


def fail_in_torch() -> object:
    return torch.empty(HUGE, dtype=torch.uint8)


def fail_in_pyarrow() -> object:
    return pytest.importorskip("pyarrow").allocate_buffer(HUGE)


def fail_in_the_system() -> object:
    raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))


def fail_on_cuda() -> object:
    raise torch.OutOfMemoryError(
        "CUDA out of memory. Tried to allocate 32768.00 TiB. GPU 0 has a total capacity of 139.80 "
        "GiB of which 2.00 GiB is free. Process 1 has 130.00 GiB memory in use."
    )


@pytest.mark.parametrize(
    ("fail", "told", "available"),
    [
        (fail_in_python, "more", "5.0 GB"),
        (fail_in_numpy, "36,028,797.0 GB more", "5.0 GB"),
        (fail_in_torch, "36,028,797.0 GB more", "5.0 GB"),
        (fail_in_pyarrow, "36,028,797.0 GB more", "5.0 GB"),
        (fail_in_the_system, "more", "5.0 GB"),
        (fail_on_cuda, "36,028,797.0 GB more", "2.1 GB"),
    ],
)
def test_every_failed_allocation_is_one_line(
    fail: Callable[[], object],
    told: str,
    available: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(memory, "available_memory", lambda: 5_000_000_000)
    line = f"error: out of memory: {told} was asked for, and {available} is available; {END}"
    with pytest.raises((MemoryError, OSError, RuntimeError)) as caught:
        fail()
    assert is_told(caught.value)
    assert error_line(caught.value) == line
    monkeypatch.setattr(app, "build_app", lambda: lambda **_: fail())
    with pytest.raises(SystemExit) as ended:
        app.run()
    assert ended.value.code == line
    assert capsys.readouterr().err == ""


def test_other_errors_are_what_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    for other in (RuntimeError("CUDA error: an illegal access"), OSError(2, "none"), KeyError(1)):
        assert as_memory_error(other) is None
    known = OutOfMemoryError("a.mdl: too large")
    assert as_memory_error(known) is None
    assert is_told(known)
    assert is_told(ConfigError("lr must be > 0"))
    assert not is_told(RuntimeError("an illegal access"))
    monkeypatch.setattr(app, "build_app", dict)  # that calls what is not callable
    with pytest.raises(TypeError):
        app.run()


def test_what_is_available_is_named_as_it_is() -> None:
    line = error_line(MemoryError())
    assert (available_memory() is not None) == ("is available" in line)


def test_a_long_line_keeps_its_ends() -> None:
    line = error_line(ValueError(f"a.json: {'x' * 5000}; copy it again"))
    assert len(line) < MAX_MESSAGE + 20
    assert line.startswith("error: a.json: xxx")
    assert line.endswith("xxx; copy it again")
    assert error_line(ValueError("y" * MAX_MESSAGE)) == f"error: {'y' * MAX_MESSAGE}"
