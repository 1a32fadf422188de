"""A run folder: where one training run keeps its configuration, metrics and checkpoint."""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from training.errors import ConfigError
from training.system.files import read_text, write_text_atomically

METRICS_VERSION = 2
MAX_METRICS_BYTES = 1 << 30
"""1 GiB: most of a file of metrics."""

_NUMBERED = re.compile(r"(\d+)-")


@dataclass(frozen=True)
class RunFolder:
    """Paths of one run: config.json, metrics.jsonl (a line an epoch) and checkpoint.pt."""

    path: Path

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

    def write_config(self, values: dict[str, Any]) -> None:
        """Write config.json."""
        write_text_atomically(self.config, json.dumps(values, indent=2, sort_keys=True) + "\n")

    def append_metrics(self, values: dict[str, Any]) -> None:
        """Add one line to metrics.jsonl."""
        with self.metrics.open("a", encoding="utf-8") as file:
            line = values | {"version": METRICS_VERSION}
            file.write(json.dumps(line, sort_keys=True, allow_nan=False) + "\n")

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

    Raises:
        ValueError: It holds files already, or is one.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ConfigError.naming(
            "{out} {0} is not an empty folder; choose a new one, or resume it by {resume_from} {0}",
            out,
        )


def create_run_folder(
    name: str, *, out: Path | None = None, root: Path = Path("runs")
) -> RunFolder:
    """Make the folder of a new run: `out` itself, or the next number under `root`.

    Args:
        name: What the run trains, such as "s-fc"; it follows the number.
        out: The folder to use; it must be empty or not there yet.
        root: Parent of numbered folders, `runs` in the working folder.

    Raises:
        ValueError: `out` holds files already.
    """
    if out is not None:
        check_run_folder(out)
        out.mkdir(parents=True, exist_ok=True)
        return RunFolder(out)
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
            return RunFolder(path)
