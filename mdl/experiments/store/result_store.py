"""A folder of finished runs, and its results by configuration, of the same images each."""

import json
import os
import zipfile
import zlib
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, suppress
from functools import partial
from pathlib import Path, PurePath
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from analysis.codes.ledger import Entry
from mdl.experiments.store.checksums import (
    check_values,
    checked_json,
    pack_array,
    unpack_array,
    without_checksum,
)
from mdl.experiments.store.run_result import KEY_DIGITS, RunResult, run_key
from mdl.terminal import console
from training.errors import DataError
from training.run.run_folder import RunFolder
from training.spec.config import DataConfig, TrainConfig
from training.system.checks import load_json
from training.system.files import (
    FileBytes,
    read_bytes,
    remove_leftovers,
    write_atomically,
    write_text_atomically,
)
from training.system.locks import Lock, run_lock
from training.system.memory import check_memory

Filters = NDArray[np.float16]

_FILTERS = "filters"
"""Name of the one array of a file of filters."""
_OLD_RESULTS = "results/" + "[0-9a-f]" * KEY_DIGITS + ".json"
"""A file a result, as stores had them before `results.jsonl`."""
_RESULTS = "the results.jsonl of a store"
_MAX_RESULTS = 1 << 32
_MAX_FILE = 1 << 26  # of the store's other files; filters of a run take 3 MB
_MAX_REASON = 300
_BYTES_A_BYTE = 8  # of a line, once parsed
_DAMAGES = (
    DataError,
    ValueError,
    TypeError,
    KeyError,
    EOFError,
    OverflowError,
    RuntimeError,  # an archive that is encrypted, or packed in an unknown way
    zipfile.BadZipFile,
    zlib.error,
)


class StoreError(ValueError):
    """A file of the store that cannot be used: names the file, the rule and the way out."""


class _Lines(NamedTuple):
    """The file of results as it was read: what tells it from its next version, lines by key."""

    version: tuple[int, ...]
    by_key: dict[str, tuple[bytes, RunResult]]


class ResultStore:
    """Results by configuration: `results.jsonl`, `filters/`, `ledgers/`, `runs/`, `failed/`.

    Every file is replaced whole, and `results.jsonl` under a lock, so several processes may read
    and write at once, on one machine or in a folder that several share. What is written twice under
    one key is the same run.

    Args:
        root: The folder; made when something is put into it.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._known = _Lines((), {})

    @property
    def path(self) -> Path:
        """The file of all results, a line each, sorted by key."""
        return self.root / "results.jsonl"

    def find(self, config: TrainConfig) -> RunResult | None:
        """The result of a run of this configuration; None if there is none yet.

        Raises:
            StoreError: A line of the file is damaged or of another version.
        """
        found = self._read().by_key.get(run_key(config))
        return None if found is None else found[1]

    def all(self) -> list[RunResult]:
        """Every result, sorted by key.

        Raises:
            StoreError: A line of the file is damaged or of another version.
        """
        by_key = self._read().by_key
        return [by_key[key][1] for key in sorted(by_key)]

    def put(self, result: RunResult, filters: Filters | None = None) -> None:
        """Keep a result, and filters of its first layer, (n, channels, s, s), if it has any.

        The filters go first: where there is a result, there is all of it.

        Raises:
            StoreError: A line of the file is damaged or of another version.
            OSError: The folder cannot be written to.
        """
        if filters is not None:
            path = self.filters_path(result.key)
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, partial(_write_filters, filters.astype(np.float16)))
        self._convert()
        with self._lock():
            self._write([result])

    def _read(self) -> _Lines:
        """All lines; of those known already none is parsed again."""
        self._convert()
        return self._read_file()

    def _read_file(self) -> _Lines:
        known = self._known
        try:  # to open it is what refreshes a network's cache
            source = FileBytes(self.path, what=_RESULTS, cap=_MAX_RESULTS, error=StoreError)
        except StoreError as error:
            if isinstance(error.__cause__, FileNotFoundError):
                return _Lines((), {})
            raise
        with source:
            status = os.fstat(source.file.fileno())
            version = (status.st_ino, status.st_mtime_ns, status.st_size)
            if version == known.version:
                return known
            check_memory(_BYTES_A_BYTE * source.num_bytes, f"{self.path}: its results")
            lines = source.read(0, source.num_bytes).split(b"\n")
        by_key: dict[str, tuple[bytes, RunResult]] = {}
        parsed = dict(known.by_key.values())
        for number, line in enumerate(lines, start=1):
            if not line:
                continue
            place = f"{os.fspath(self.path)}: line {number}"
            result = parsed.get(line) or _parse(line, place, "that line")
            if result.key in by_key:
                raise StoreError(f"{place} has key {result.key} as a line before; delete one")
            by_key[result.key] = line, result
        self._known = _Lines(version, by_key)
        return self._known

    def _lock(self) -> AbstractContextManager[Lock]:
        return run_lock(self.path.with_name(f"{self.path.name}.lock"), waits=True)

    def _write(self, results: Iterable[RunResult]) -> None:
        """Add to the file, or replace in it; the lock is held."""
        by_key = {key: line for key, (line, _) in self._read_file().by_key.items()}
        for each in results:
            by_key[each.key] = checked_json(each.to_dict()).encode()
        remove_leftovers(self.path)
        write_text_atomically(
            self.path, "".join(f"{by_key[key].decode()}\n" for key in sorted(by_key))
        )

    def _convert(self) -> None:
        """Move the results of an earlier version, a file each, into the one file."""
        if not any(self.root.glob(_OLD_RESULTS)):
            return
        with self._lock():
            old = sorted(self.root.glob(_OLD_RESULTS))
            if not old:  # another process has just moved them
                return
            self._write([_parse(_read(path, "a result"), os.fspath(path), "it") for path in old])
            for path in old:
                path.unlink()
            with suppress(OSError):  # other files lie there
                (self.root / "results").rmdir()
        console.stderr().print(
            f"note: {len(old)} results of {self.root} are now lines of {self.path.name}",
            markup=False,
        )

    def run_folder(self, config: TrainConfig) -> RunFolder:
        """Where the run itself lies, or will lie: configuration, metrics and checkpoint."""
        return RunFolder(self.root / "runs" / run_key(config))

    def filters(self, config: TrainConfig) -> Filters | None:
        """Filters of the first layer, (n, channels, s, s); None if none were kept.

        Raises:
            StoreError: The file is damaged.
        """
        path = self.filters_path(run_key(config))
        if not path.exists():
            return None
        packed = _read(path, "the filters of a run")
        try:
            found = unpack_array(packed, _FILTERS, max_bytes=_MAX_FILE).astype(np.float16)
        except _DAMAGES as error:
            raise _broken(path, error) from error
        if found.ndim != 4:
            raise _broken(path, f"filters have 4 axes, not {found.ndim}")
        return found

    def ledger(self, config: TrainConfig) -> list[Entry] | None:
        """Where the bits of a run's description go; None where that was not kept.

        Raises:
            StoreError: The file is damaged.
        """
        path = self.ledger_path(run_key(config))
        if not path.exists():
            return None
        text = _read(path, "the ledger of a run")
        try:
            entries = load_json(text.decode(), exact=True)
            if not isinstance(entries, list):  # as stores of before have them, with no checksum
                if set(without_checksum(entries)) != {"entries"}:
                    raise ValueError("not the ledger of a run")
                check_values(entries)
                entries = entries["entries"]
            if not isinstance(entries, list) or not all(isinstance(each, dict) for each in entries):
                raise ValueError("not a list of JSON objects")
            return [Entry.from_dict(each) for each in entries]
        except (ValueError, RecursionError) as error:
            raise _broken(path, error) from error

    def put_ledger(self, config: TrainConfig, entries: Sequence[Entry]) -> None:
        """Keep where the bits of a run's description go.

        Raises:
            OSError: The folder cannot be written to.
        """
        path = self.ledger_path(run_key(config))
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text_atomically(path, checked_json({"entries": [each.to_dict() for each in entries]}))

    def record_failure(self, config: TrainConfig, message: str) -> None:
        """Keep why a trial failed, until `forget_failure`, and how many tries have.

        Raises:
            OSError: The folder cannot be written to.
        """
        path = self.failure_path(run_key(config))
        values = {"config": config.to_dict(), "message": message, "num_tries": _num_tries(path) + 1}
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text_atomically(path, json.dumps(values, indent=1, sort_keys=True) + "\n")

    def forget_failure(self, config: TrainConfig) -> None:
        """Delete what `record_failure` has written, if anything: the trial has succeeded."""
        self.failure_path(run_key(config)).unlink(missing_ok=True)

    def failure(self, config: TrainConfig) -> str | None:
        """Why a trial failed last, in one line; None if it did not."""
        path = self.failure_path(run_key(config))
        text = _read(path, "what a failed trial left", missing=b"")
        return str(json.loads(text)["message"]) if text else None

    def filters_path(self, key: str) -> Path:
        """The file of a run's filters."""
        return self.root / "filters" / f"{key}.npz"

    def ledger_path(self, key: str) -> Path:
        """The file of a run's ledger of bits."""
        return self.root / "ledgers" / f"{key}.json"

    def failure_path(self, key: str) -> Path:
        """The file that says why a trial failed."""
        return self.root / "failed" / f"{key}.json"

    def lock_path(self, key: str) -> Path:
        """The file whose lock a process holds while it works on a run."""
        return RunFolder(self.root / "runs" / key).lock


def _parse(text: bytes, place: str, it: str) -> RunResult:
    """A result from JSON.

    Raises:
        StoreError: It is damaged or of another version; names its place.
    """
    try:
        values = load_json(text.decode(), exact=True)
        result = RunResult.from_dict(without_checksum(values))
        key = run_key(result.config)
        if result.key != key:
            raise ValueError(f"its configuration has key {key}")
        check_values(values)
    except (ValueError, RecursionError) as error:
        raise _broken(place, error, it) from error
    return result


def _read(path: Path, what: str, *, missing: bytes | None = None) -> bytes:
    return read_bytes(path, what=what, cap=_MAX_FILE, error=StoreError, missing=missing)


def _write_filters(filters: Filters, file: BinaryIO) -> None:
    file.write(pack_array(filters, _FILTERS))


def _num_tries(path: Path) -> int:
    """Tries that have failed so far; 0 if there is no file, or not one of ours."""
    try:
        return int(json.loads(_read(path, "what a failed trial left"))["num_tries"])
    except (ValueError, KeyError, TypeError):
        return 0


def _broken(place: object, why: object, it: str = "it") -> StoreError:
    reason = " ".join(str(why).split())
    reason = reason if len(reason) <= _MAX_REASON else reason[:_MAX_REASON] + "..."
    return StoreError(
        f"{place} is damaged or of another version ({reason}); delete {it}, and it is made again: "
        "from its run where the store has that, else by training"
    )


class Results:
    """Results of a store, checked: the same images wherever the same images were asked for.

    Args:
        store: Where they come from; None for no results. A result that was found is kept, one that
            was not is looked for again.
    """

    def __init__(self, store: ResultStore | None = None) -> None:
        self._store = store
        self._by_config: dict[TrainConfig, RunResult] = {}
        self._first_of: dict[tuple[Any, ...], RunResult] = {}

    def get(self, config: TrainConfig) -> RunResult | None:
        """The result of a run, or None if there is none yet.

        Raises:
            ValueError: It was made with other images than an earlier result of the same data set.
        """
        if config in self._by_config:
            return self._by_config[config]
        result = self._store.find(config) if self._store is not None else None
        if result is None:
            return None
        first = self._first_of.setdefault(images_of(config.data), result)
        if first.fingerprint != result.fingerprint:
            raise ValueError(
                f"results {first.key} ({first.data_name}) and {result.key} ({result.data_name}) "
                "are of different images under the same name, so they cannot share a table; "
                "take the line of one of the two out of the store's results.jsonl"
            )
        self._by_config[config] = result
        return result

    def of(self, configs: Iterable[TrainConfig]) -> list[RunResult]:
        """The results that there are, in order."""
        return [result for result in map(self.get, configs) if result is not None]

    def sample_of(self, data: DataConfig) -> RunResult | None:
        """A result, of those asked for so far, whose fingerprint is that of these images."""
        return self._first_of.get(images_of(data))

    def missing(self, configs: Iterable[TrainConfig]) -> list[TrainConfig]:
        """The runs that have no result yet, in order, each once."""
        return [config for config in dict.fromkeys(configs) if self.get(config) is None]


def images_of(data: DataConfig) -> tuple[Any, ...]:
    """What decides the fingerprint, apart from where the images lie: equal for equal images."""
    seed = data.seed if data.is_generated else None
    name = PurePath(data.source).name
    limits = data.num_train, data.num_test
    return name, data.is_generated, data.image_size, *limits, seed, data.label_column
