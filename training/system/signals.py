"""Ctrl-C, SIGTERM and a lost terminal as a polite request to stop after the current step."""

import os
import select
import signal
import socket
import sys
import threading
import time
from contextlib import suppress
from types import FrameType
from typing import Any

PATIENCE_S = 10.0
"""Seconds that work may continue after a signal without asking whether to stop."""
_SLOW_STEPS = 2  # And as long as this many of its last steps, where those take longer.
_POLL_S = 0.1
_GRACE_S = 2.0  # To end the ordinary way after a second signal.
STOP_SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)
_LOST_TERMINAL = getattr(signal, "SIGHUP", None)
_END_OF_WATCH = 0


class StopRequest:
    """While entered, SIGINT, SIGTERM and SIGHUP set `signal_number` and do not end the process.

    A second signal of any kind ends it at once, the ordinary way. SIGHUP, which comes when a
    terminal goes, is left alone where the process was told to ignore it (nohup).

    A compiled loop that never ends keeps Python from seeing any signal. So a thread watches: work
    that does not ask within `patience_s` of a signal (or twice the time of its last step, if that
    is longer) has hung, and the process is ended with 128 and the signal's number.

    Only the main thread can enter it.

    Args:
        last_words: Written to stderr when the thread ends the process: what is saved.
        patience_s: Seconds, > 0.
    """

    def __init__(self, last_words: str = "", *, patience_s: float = PATIENCE_S) -> None:
        self.signal_number: int | None = None
        self._last_words, self._patience_s = last_words, patience_s
        self._previous: dict[int, Any] = {}
        self._asked_at = time.monotonic()
        self._step_s = 0.0
        self._was_heard = False

    @property
    def requested(self) -> bool:
        """Whether a signal has come; to be asked after every step."""
        now = time.monotonic()
        self._step_s, self._asked_at = now - self._asked_at, now
        self._was_heard = self.signal_number is not None
        return self._was_heard

    def __enter__(self) -> "StopRequest":
        self._asked_at = time.monotonic()
        self._hears, self._tells = socket.socketpair()
        self._tells.setblocking(False)
        # The signal itself writes its number there, whatever the main thread is busy with.
        self._previous_fd = signal.set_wakeup_fd(self._tells.fileno(), warn_on_full_buffer=False)
        self._watcher = threading.Thread(target=self._watch, name="signals", daemon=True)
        self._watcher.start()
        for number in STOP_SIGNALS:
            if number != _LOST_TERMINAL or signal.getsignal(number) != signal.SIG_IGN:
                self._previous[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *error: object) -> None:
        for number, previous in self._previous.items():
            signal.signal(number, previous)
        signal.set_wakeup_fd(self._previous_fd)
        self._tells.send(bytes([_END_OF_WATCH]))
        self._watcher.join()
        self._hears.close()
        self._tells.close()

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self.signal_number = number
        for each, previous in self._previous.items():
            signal.signal(each, previous)

    def _watch(self) -> None:
        """The thread: end the process if the work has not heard of a signal, or at a second one."""
        first = self._next_event()
        if first == _END_OF_WATCH or first is None:
            return
        deadline = time.monotonic() + max(self._patience_s, _SLOW_STEPS * self._step_s)
        while not self._was_heard:
            second = self._next_event(_POLL_S)
            if second is not None:
                break
            if time.monotonic() > deadline and not self._was_heard:
                self._end(first, f"no step has ended since {signal.Signals(first).name} came")
        else:
            second = self._next_event()
        if second != _END_OF_WATCH and self._next_event(_GRACE_S) != _END_OF_WATCH:
            self._end(second or first, "a second signal came")

    def _next_event(self, timeout: float | None = None) -> int | None:
        """The number of the next signal, `_END_OF_WATCH`, or None after that many seconds."""
        while select.select([self._hears], [], [], timeout)[0]:
            event = self._hears.recv(1)[0]
            if event in (_END_OF_WATCH, *STOP_SIGNALS):
                return event
        return None

    def _end(self, number: int, reason: str) -> None:
        """End the process here and now; nothing that waits for the main thread would return."""
        text = f"\nEnded without saving: {reason}. {self._last_words}".rstrip() + "\n"
        with suppress(OSError, ValueError):  # closed, or its reader is gone
            os.write(sys.stderr.fileno(), text.encode(errors="replace"))
        os._exit(128 + number)
