"""A process of mdl from its first line to its last: nothing written is lost, and it ends at once.

The interpreter takes more than a second of processor time to take down what torch and numba have
built up, which on a busy machine is minutes after "Stopped and saved". Nothing of that matters, so
a process of ours ends as soon as its threads have, all exit functions have run and all is written.
"""

import atexit
import errno
import io
import os
import select
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import NoReturn, TextIO

from mdl.terminal.errors import NO_FOLDER, error_line, has_working_folder

_GONE = (errno.EPIPE, errno.EIO, errno.EBADF, errno.ECONNRESET)
"""Whoever read has gone: head has its lines, or the terminal was closed. That is no failure."""


def run_as_process(program: Callable[[], None]) -> NoReturn:
    """Run a program as the whole of this process.

    A stream that is closed, or whose reader goes, takes what is written to it and forgets it; the
    program goes on. A stream that cannot be written for another reason, such as a full disk, is
    told in the end. What the encoding of a stream does not have is written as an escape.

    Args:
        program: Ends by returning or by SystemExit; any other exception shows its traceback.
    """
    streams = _open_streams()
    try:
        if not has_working_folder():  # oneMKL does not even load there
            sys.exit(f"error: {NO_FOLDER}")
        program()
        code = 0
    except SystemExit as exit_:
        code = exit_.code if isinstance(exit_.code, int) else int(exit_.code is not None)
        if isinstance(exit_.code, str):
            sys.stderr.write(exit_.code + "\n")
    except KeyboardInterrupt:
        code = 128 + signal.SIGINT
    except BaseException:
        sys.excepthook(*sys.exc_info())
        code = 1
    _end(code, streams)


def _end(code: int, streams: "list[_Stream]") -> NoReturn:
    """Wait for threads, run exit functions, write out the streams, and end."""
    with suppress(KeyboardInterrupt):  # who cannot wait
        threading._shutdown()  # type: ignore[attr-defined]  # as the interpreter does first
        atexit._run_exitfuncs()
    for stream in streams:  # stderr last
        with suppress(OSError, ValueError):
            stream.text.flush()
        if stream.failure is not None:
            failure = OSError(stream.failure.errno, stream.failure.strerror, stream.title)
            sys.stderr.write(error_line(failure) + "\n")
            code = code or 1
    os._exit(code)


class _Stream(io.FileIO):
    """Standard output or standard error, whatever becomes of it.

    Attributes:
        title: Its name, for people.
        text: What is written to, in the encoding of the stream whose place it takes.
        failure: Why something could not be written, once that is so.
    """

    def __init__(self, descriptor: int, title: str, like: TextIO | None) -> None:
        super().__init__(descriptor, "w", closefd=False)
        self.title = title
        self.failure: OSError | None = None
        self.text = io.TextIOWrapper(
            io.BufferedWriter(self),
            encoding=getattr(like, "encoding", "utf-8"),
            errors="backslashreplace",
            line_buffering=descriptor == 2 or self.isatty(),
            write_through=getattr(like, "write_through", False),  # python -u
        )

    def write(self, data: object) -> int:
        """Write all or part of it; after a failure, to nowhere."""
        try:
            while (written := super().write(data)) is None:  # type: ignore[arg-type]
                select.select([], [self], [])  # it must not block and is full
            return written
        except OSError as error:
            if error.errno not in _GONE:
                self.failure = error
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.fileno())
            os.close(nowhere)
            return super().write(data)  # type: ignore[arg-type]


def _open_streams() -> list[_Stream]:
    """Put streams that lose nothing in place of Python's own."""
    for descriptor in range(3):  # else the next file that is opened would be written by print
        try:
            os.fstat(descriptor)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
    streams = [_Stream(1, "standard output", sys.stdout), _Stream(2, "standard error", sys.stderr)]
    sys.stdout, sys.stderr = (stream.text for stream in streams)
    return streams
