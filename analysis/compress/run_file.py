"""The file of a compression that is under way: what it needs to continue as if it had not stopped.

One file of NumPy's, written whole: an array for each tensor, and the rest as JSON. It is removed
when the result has been written.
"""

import io
import json
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from torch import Tensor

from training.errors import CheckpointError, ConfigError
from training.run.progress import Stop, Unwatched
from training.system.files import read_bytes, remove_leftovers, write_atomically

_VERSION = 1
_PLAIN = "plain"
_MAX_BYTES = 1 << 36
_DAMAGE = (
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    RuntimeError,  # of torch, where shapes differ
    OSError,
    EOFError,
    zipfile.BadZipFile,
)
_SECONDS_BETWEEN = 120.0
_MOST_OF_THE_TIME = 50.0
"""Times as long as a write took at least pass before the next, so that saving takes 2% at most."""

State = dict[str, Any]
"""Numbers, text, lists of them and tensors, by name."""


class StoppedError(Exception):
    """Work was asked to stop before its end, and what there is of it has been saved."""


class RunFile:
    """Saves the state of a compression now and then, and when it is asked to stop.

    Args:
        path: The file; its folder is there, and this process alone works in it.
        settings: All that decides the result, as plain values: a file of others is refused.
        stop: Asked often whether to stop.
        tell: Called with a line to show where the file cannot be written.
    """

    def __init__(
        self,
        path: Path,
        settings: Mapping[str, Any],
        *,
        stop: Stop | None = None,
        tell: Callable[[str], None] = lambda line: None,
    ) -> None:
        self.path = path
        self._settings = json.loads(json.dumps({"version": _VERSION, **settings}))
        self._stop, self._tell = stop or Unwatched(), tell
        self._due = time.monotonic()
        if path.parent.is_dir():
            remove_leftovers(path)

    def read(self) -> State:
        """The state that was saved; empty if none was.

        Raises:
            CheckpointError: The file cannot be used.
            ConfigError: It is of other settings.
        """
        if not self.path.exists():
            return {}
        data = read_bytes(self.path, what="the state of a compression", cap=_MAX_BYTES)
        with self.refusing_damage():
            with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
                tensors = {name: torch.from_numpy(arrays[name]) for name in arrays.files}
            plain = json.loads(tensors.pop(_PLAIN).numpy().tobytes())
            settings = dict(plain.pop("settings"))
        for name in self._settings | settings:
            ours, theirs = self._settings.get(name), settings.get(name)
            if ours != theirs:
                raise ConfigError.naming(
                    "{out} {} holds a compression that was stopped, with {} {} and not {}; give "
                    "the command that began it, or another folder",
                    str(self.path.parent),
                    name,
                    json.dumps(theirs),
                    json.dumps(ours),
                )
        return {**plain, **tensors}

    @contextmanager
    def refusing_damage(self) -> Iterator[None]:
        """Around what takes up a state that was read.

        Raises:
            CheckpointError: It is not the state of such a compression.
        """
        try:
            yield
        except _DAMAGE as error:
            raise CheckpointError(
                f"{self.path}: not the state of a compression, or damaged; take another folder"
            ) from error

    def pause(self, collect: Callable[[], State]) -> None:
        """Save if that is due; asked between any two pieces of work.

        Args:
            collect: Gives the state.

        Raises:
            StoppedError: A stop was asked for; the state has been saved.
            OSError: A stop was asked for, and the state cannot be saved.
        """
        if self._stop.requested:
            self._write(collect())
            raise StoppedError
        if time.monotonic() >= self._due:
            self.save(collect())

    def save(self, state: State) -> None:
        """Save now; where that fails, say so, and keep what was saved before."""
        start = time.monotonic()
        try:
            self._write(state)
        except OSError as error:
            self._tell(f"{error}; what is done so far is not saved, and the work continues")
        now = time.monotonic()
        self._due = now + max(_SECONDS_BETWEEN, _MOST_OF_THE_TIME * (now - start))

    def remove(self) -> None:
        """The result is written: there is nothing to continue."""
        self.path.unlink(missing_ok=True)

    def _write(self, state: State) -> None:
        tensors = {name: value for name, value in state.items() if isinstance(value, Tensor)}
        arrays: dict[str, Any] = {name: each.cpu().numpy() for name, each in tensors.items()}
        plain = {name: value for name, value in state.items() if name not in tensors}
        text = json.dumps(plain | {"settings": self._settings})
        arrays[_PLAIN] = np.frombuffer(text.encode(), dtype=np.uint8)

        def write(file: BinaryIO) -> None:
            np.savez(file, **arrays)

        write_atomically(self.path, write)


def put_under(prefix: str, state: Mapping[str, Any]) -> State:
    """The same state with a prefix before its names.

    >>> put_under("a", {"b": 1})
    {'a/b': 1}
    """
    return {f"{prefix}/{name}": value for name, value in state.items()}


def take_from(prefix: str, state: Mapping[str, Any]) -> State:
    """The part of a state that `put_under` made; empty if there is none.

    >>> take_from("a", {"a/b": 1, "c": 2})
    {'b': 1}
    """
    start = f"{prefix}/"
    return {name.removeprefix(start): state[name] for name in state if name.startswith(start)}
