"""A process that a signal stops: politely, at a second signal, and when its work hangs."""

import signal
import subprocess
import sys
import threading
import time

import pytest

from training.system.signals import STOP_SIGNALS, StopRequest

HANGS_S = 120
PROGRAM = """
import ctypes, signal, sys, threading, time
from training.system.signals import StopRequest

signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell's `&` leaves ignored

def hang():  # in compiled code that no signal ends: a lock that this thread holds already
    libc = ctypes.CDLL(None)
    lock = ctypes.create_string_buffer(64)
    libc.pthread_mutex_lock(lock)
    libc.pthread_mutex_lock(lock)

with StopRequest("The last words.", patience_s=0.5) as stop:
    print("begun", flush=True)
    {body}
print("ended", stop.signal_number, flush=True)
"""
POLITE = "while not stop.requested: time.sleep(0.01)"
HANGING = "hang()"
DEAF = "while True: time.sleep(0.01)"
SAVING = "while not stop.requested: time.sleep(0.01)\n    time.sleep(2)"
SAVING_LONG = """while not stop.requested: time.sleep(0.01)
    threading.Timer(0.5, print, ("saving",), {"flush": True}).start()
    hang()
"""


def start(body: str) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM.format(body=body)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout and process.stdout.readline() == "begun\n"
    return process


pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")


BY_TERM = signal.SIGTERM
BY_INT = pytest.param(signal.SIGINT, marks=pytest.mark.slow)


@pytest.mark.process
@pytest.mark.parametrize("number", [BY_INT, BY_TERM])
@pytest.mark.parametrize("body", [POLITE, pytest.param(SAVING, marks=pytest.mark.slow)])
def test_work_that_asks_ends_by_itself(body, number):
    process = start(body)
    process.send_signal(number)
    out, err = process.communicate(timeout=HANGS_S)
    assert (process.returncode, out, err) == (0, f"ended {number.value}\n", "")


@pytest.mark.process
@pytest.mark.parametrize("number", [BY_INT, BY_TERM])
@pytest.mark.parametrize("body", [HANGING, pytest.param(DEAF, marks=pytest.mark.slow)])
def test_work_that_hangs_is_ended(body, number):
    process = start(body)
    process.send_signal(number)
    out, err = process.communicate(timeout=HANGS_S)
    assert (process.returncode, out) == (128 + number, "")
    assert err == (
        f"\nEnded without saving: no step has ended since {number.name} came. The last words.\n"
    )


@pytest.mark.slow
@pytest.mark.process
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_second_signal_ends_work_that_hangs_behind_the_first(number):
    process = start(SAVING_LONG)
    process.send_signal(signal.SIGTERM)
    assert process.stdout and process.stdout.readline() == "saving\n"
    process.send_signal(number)
    _, err = process.communicate(timeout=HANGS_S)
    # SIGTERM ends it on the spot; SIGINT is Python's, which the lock keeps from it.
    assert process.returncode == (-number if number == signal.SIGTERM else 128 + number)
    assert ("a second signal came. The last words." in err) == (number == signal.SIGINT)


def test_a_slow_step_is_waited_for():
    with StopRequest(patience_s=0.05) as stop:
        time.sleep(0.5)
        assert not stop.requested
        signal.raise_signal(signal.SIGTERM)
        time.sleep(0.5)  # longer than the patience, not than two steps
        assert stop.requested
        assert stop.signal_number == signal.SIGTERM


def test_a_lost_terminal_asks_to_stop_unless_it_is_to_be_ignored():
    for before, expected in ((signal.SIG_DFL, signal.SIGHUP), (signal.SIG_IGN, None)):
        previous = signal.signal(signal.SIGHUP, before)
        try:
            with StopRequest() as stop:
                signal.raise_signal(signal.SIGHUP)
                assert stop.requested == (expected is not None)
                assert stop.signal_number == expected
            assert signal.getsignal(signal.SIGHUP) == before
        finally:
            signal.signal(signal.SIGHUP, previous)


def test_all_is_as_before_when_it_is_left():
    before = [signal.getsignal(number) for number in STOP_SIGNALS]
    threads = threading.active_count()
    with StopRequest() as stop:
        assert signal.getsignal(signal.SIGTERM) != before[1]
        assert not stop.requested
    assert [signal.getsignal(number) for number in STOP_SIGNALS] == before
    assert threading.active_count() == threads
    assert signal.set_wakeup_fd(-1) == -1


def test_other_signals_are_nobody_s_business():
    if not hasattr(signal, "SIGUSR1"):
        pytest.skip("no such signal")
    previous = signal.signal(signal.SIGUSR1, lambda number, frame: None)
    try:
        with StopRequest(patience_s=0.05) as stop:
            signal.raise_signal(signal.SIGUSR1)
            time.sleep(0.3)
            assert not stop.requested
    finally:
        signal.signal(signal.SIGUSR1, previous)
