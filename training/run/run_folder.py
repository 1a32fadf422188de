"""A run folder: where one training run keeps its configuration, metrics and checkpoint."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from training.errors import ConfigError
from training.system.files import read_text, remove_leftovers, write_text_atomically
from training.system.locks import Lock, RunBusyError, lock_holder, run_lock

METRICS_VERSION = 2
MAX_METRICS_BYTES = 1 << 30
"""1 GiB: most of a file of metrics."""

_NUMBERED = re.compile(r"(\d+)-")
_UNFINISHED = re.compile(r"\.(config\.json|checkpoint\.pt)\.[0-9a-f]{12}\.tmp")


@dataclass(frozen=True)
class RunFolder:
    """Paths of one run: config.json, metrics.jsonl (a line an epoch) and checkpoint.pt.

    Attributes:
        path: The folder.
        held: The lock of who writes there; None for who reads, or is alone otherwise.
    """

    path: Path
    held: Lock | None = field(default=None, compare=False)

    @property
    def config(self) -> Path:
        """Full configuration, versions, seed and commit."""
        return self.path / "config.json"

    @property
    def metrics(self) -> Path:
        """One JSON object a line, one line an epoch."""
        return self.path / "metrics.jsonl"

    @property
    def checkpoint(self) -> Path:
        """The last good state of the network."""
        return self.path / "checkpoint.pt"

    @property
    def lock(self) -> Path:
        """There while a process works on the run."""
        return self.path / "run.lock"

    @contextmanager
    def hold(self) -> Iterator["RunFolder"]:
        """This folder, made if it is not there, for this process alone.

        Raises:
            RunBusyError: Another process works on the run.
            OSError: The folder cannot be written.
        """
        with run_lock(self.lock) as held:
            yield replace(self, held=held)

    def check(self) -> None:
        """See, before something is written, that the folder is still the one that is held.

        Raises:
            FileNotFoundError: It was removed, and may be another run's by now.
        """
        if self.held is not None:
            self.held.check()

    def write_config(self, values: dict[str, Any]) -> None:
        """Write config.json."""
        self.check()
        remove_leftovers(self.config)
        write_text_atomically(self.config, json.dumps(values, indent=2, sort_keys=True) + "\n")

    def append_metrics(self, values: dict[str, Any]) -> None:
        """Add one line to metrics.jsonl.

        Raises:
            OSError: It cannot be written; the line may be there in part, and counts as none.
        """
        self.check()
        line = values | {"version": METRICS_VERSION}
        try:
            with self.metrics.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line, sort_keys=True, allow_nan=False) + "\n")
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(self.metrics)) from error

    @property
    def was_begun(self) -> bool:
        """Whether config.json is there and that of a run, not of another program."""
        try:
            text = read_text(self.config, what="the config.json of a run", error=ValueError)
            values = json.loads(text)
        except (ValueError, RecursionError):
            return False
        return isinstance(values, dict) and values.keys() == {"config", "versions"}

    def read_metrics(self) -> list[dict[str, Any]]:
        """All complete lines of metrics.jsonl; a last line cut short by a crash is left out.

        Raises:
            ValueError: A line is of a version that this mdl does not read.
        """
        what = "the metrics of a run"
        text = read_text(self.metrics, what=what, cap=MAX_METRICS_BYTES, missing="")
        lines = []
        for line in text.splitlines():
            try:
                lines.append(_in_this_version(json.loads(line)))
            except json.JSONDecodeError:
                break
        return lines

    def keep_metrics_until(self, num_epochs: int) -> None:
        """Drop the lines of epochs after `num_epochs`, which a resumed run goes through again."""
        self.check()
        kept = [line for line in self.read_metrics() if line["epoch"] <= num_epochs]
        text = "".join(json.dumps(line, sort_keys=True) + "\n" for line in kept)
        write_text_atomically(self.metrics, text)


def _in_this_version(line: Any) -> Any:
    """A line of metrics; version 1, which had no number, said "certified" for "screened"."""
    if isinstance(line, dict) and "version" not in line:
        renamed = {"certified": "screened"}
        return {renamed.get(name, name): line[name] for name in line} | {"version": METRICS_VERSION}
    if isinstance(line, dict) and line["version"] != METRICS_VERSION:
        raise ValueError(f"version {line['version']!r}, and this mdl reads {METRICS_VERSION}")
    return line


def check_run_folder(out: Path) -> None:
    """See that a new run may go to `out`: a folder that is empty or not there yet.

    One where a run was ended before its first checkpoint counts as empty: nothing was lost there.

    Raises:
        RunBusyError: Another process works on a run there.
        ValueError: It holds files already, or is one.
    """
    if _is_free(out):
        return
    holder = lock_holder(RunFolder(out).lock) if out.is_dir() else None
    if holder is not None:
        raise RunBusyError(f"{RunFolder(out).lock}: {holder}")
    raise _in_use(out)


def _in_use(out: Path) -> ConfigError:
    return ConfigError.naming(
        "{out} {0} is not an empty folder; choose a new one, or resume it by {resume_from} {0}", out
    )


def _is_free(out: Path) -> bool:
    if not out.is_dir():
        return not out.exists()
    folder = RunFolder(out)
    names = {entry.name for entry in out.iterdir() if not _UNFINISHED.fullmatch(entry.name)}
    names.discard(folder.lock.name)
    return not names or (
        not names & {folder.checkpoint.name, folder.metrics.name} and folder.was_begun
    )


@contextmanager
def new_run_folder(
    name: str, *, out: Path | None = None, root: Path = Path("runs")
) -> Iterator[RunFolder]:
    """Make the folder of a new run, and hold it: `out` itself, or the next number under `root`.

    Args:
        name: What the run trains, such as "s-fc"; it follows the number.
        out: The folder to use; `check_run_folder` says which may be.
        root: Parent of numbered folders, `runs` in the working folder.

    Raises:
        RunBusyError: Another process works on a run in `out`.
        ValueError: `out` holds files already.
        OSError: The folder cannot be made or written.
    """
    if out is not None:
        check_run_folder(out)
    with RunFolder(_numbered(name, root) if out is None else out).hold() as folder:
        if not _is_free(folder.path):  # another run was quicker
            raise _in_use(folder.path)
        yield folder


def _numbered(name: str, root: Path) -> Path:
    """A new folder under `root`."""
    root.mkdir(parents=True, exist_ok=True)
    numbers = [int(found[1]) for entry in root.iterdir() if (found := _NUMBERED.match(entry.name))]
    number = max(numbers, default=0) + 1
    while True:
        path = root / f"{number:04d}-{name}"
        try:
            path.mkdir()
        except FileExistsError:
            number += 1
        else:
            return path
