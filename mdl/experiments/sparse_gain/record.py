"""What a finished run of `mdl train` says about its time, memory and sparse layers, checked."""

import itertools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from analysis.bounds.bounds import ErrorCount
from mdl.experiments.store.metrics_file import parse_point, read_points
from mdl.experiments.store.run_result import EpochPoint
from training.checkpoint.checkpoint import load_checkpoint
from training.run.run_folder import RunFolder
from training.spec.config import TrainConfig
from training.system.files import read_text

_MACHINE = ("cpu", "instructions", "gpu")
"""What must be the same for times to compare."""


@dataclass(frozen=True, kw_only=True)
class EpochRecord:
    """One epoch of a run.

    Attributes:
        point: Its metrics.
        sparse_layers: Layers that were sparse when it ended.
        weight_bytes: Bytes of the layers' weights, copies and supports, > 0.
        memory_bytes: Memory of the process; None where the system did not tell.
    """

    point: EpochPoint
    sparse_layers: tuple[str, ...]
    weight_bytes: int
    memory_bytes: int | None


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """A finished run.

    Attributes:
        path: Its folder, as the user named it.
        config: What was trained.
        versions: What trained it, as config.json has it.
        num_weights: By layer, in the order of the network.
        num_nonzeros: Likewise, of the final weights.
        test: Errors of the final network.
        epochs: From 1 to the last, none left out.
    """

    path: Path
    config: TrainConfig
    versions: dict[str, Any]
    num_weights: dict[str, int]
    num_nonzeros: dict[str, int]
    test: ErrorCount
    epochs: tuple[EpochRecord, ...]

    @property
    def epoch_seconds(self) -> tuple[float, ...]:
        """Training time of each epoch."""
        ends = [0.0, *(epoch.point.seconds for epoch in self.epochs)]
        return tuple(end - start for start, end in itertools.pairwise(ends))


def read_pair(dense: Path, sparse: Path) -> tuple[RunRecord, RunRecord]:
    """Read two runs that differ in nothing but whether layers could become sparse.

    Args:
        dense: A run of `mdl train --sparse never`.
        sparse: One of `--sparse auto` or `always`.

    Raises:
        ValueError: They are not such a pair; the message names the run and the rule.
        CheckpointError: A checkpoint cannot be used.
    """
    if dense.resolve() == sparse.resolve():
        raise ValueError(f"{sparse} is given twice; give a dense run, then a sparse one")
    first, second = read_record(dense), read_record(sparse)
    _check_kinds(first, second)
    _check_alike(first, second)
    return first, second


def read_record(path: Path) -> RunRecord:
    """Read one finished run.

    Raises:
        ValueError: There is none, or it is not finished, or its files are not of this version.
        CheckpointError: Its checkpoint cannot be used.
    """
    folder = RunFolder(path)
    if not (path.is_dir() and folder.checkpoint.exists() and folder.config.exists()):
        raise ValueError(f"{path}: not a run folder; give one that mdl train wrote")
    config, versions = _read_config(folder)
    epochs = _read_epochs(folder)
    checkpoint = load_checkpoint(folder.checkpoint)
    metrics = checkpoint.metrics
    if checkpoint.training is not None or "test_errors" not in metrics:
        raise ValueError(
            f"{path}: the run is not finished; resume it with mdl train --resume {path}"
        )
    numbers = [epoch.point.epoch for epoch in epochs]
    if not numbers or numbers != list(range(1, config.epochs + 1)):
        raise ValueError(
            f"{folder.metrics}: must hold every epoch of the run; train it again from the start"
        )
    return RunRecord(
        path=path,
        config=config,
        versions=versions,
        num_weights={layer.name: layer.num_weights for layer in checkpoint.network.layers},
        num_nonzeros=dict(checkpoint.num_nonzeros),
        test=ErrorCount(num_errors=metrics["test_errors"], num_samples=metrics["num_test"]),
        epochs=epochs,
    )


def parse_epoch(line: Mapping[str, Any]) -> EpochRecord:
    """One line of metrics.jsonl.

    Raises:
        ValueError: A value is missing, or of another type, or outside its range.
    """
    layers, memory = line.get("sparse_layers"), line.get("memory_bytes")
    if not isinstance(layers, list) or not all(isinstance(name, str) for name in layers):
        raise ValueError("sparse_layers must be a list of layers")
    if not _is_count(line.get("weight_bytes")):
        raise ValueError("weight_bytes must be an integer > 0")
    if memory is not None and not _is_count(memory):
        raise ValueError("memory_bytes must be an integer > 0, or null")
    return EpochRecord(
        point=parse_point(line),
        sparse_layers=tuple(layers),
        weight_bytes=line["weight_bytes"],
        memory_bytes=memory,
    )


def _is_count(value: object) -> bool:
    return type(value) is int and value > 0


def _read_epochs(folder: RunFolder) -> tuple[EpochRecord, ...]:
    """The epochs in order; of several lines of one epoch the last counts."""
    read_points(folder)  # its messages name the file and the line
    by_epoch = {}
    for number, line in enumerate(folder.read_metrics(), start=1):
        try:
            epoch = parse_epoch(line)
        except ValueError as error:
            raise ValueError(
                f"{folder.metrics}, line {number}: {error}; train the run again with this version"
            ) from error
        by_epoch[epoch.point.epoch] = epoch
    epochs = tuple(by_epoch[number] for number in sorted(by_epoch))
    seconds = [epoch.point.seconds for epoch in epochs]
    if seconds != sorted(seconds):
        raise ValueError(f"{folder.metrics}: seconds must grow from epoch to epoch")
    return epochs


def _read_config(folder: RunFolder) -> tuple[TrainConfig, dict[str, Any]]:
    text = read_text(folder.config, what="the config.json of a run", error=ValueError)
    try:
        values = json.loads(text)
        config, versions = TrainConfig.from_dict(dict(values["config"])), dict(values["versions"])
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise ValueError(
            f"{folder.config}: not the settings of a run of mdl train ({error})"
        ) from error
    return config, versions


def _check_kinds(dense: RunRecord, sparse: RunRecord) -> None:
    if any(epoch.point.screened or epoch.sparse_layers for epoch in dense.epochs):
        raise ValueError(
            f"{dense.path}: layers of this run could become sparse; give first a run of "
            "mdl train --sparse never"
        )
    if not any(epoch.point.screened for epoch in sparse.epochs):
        raise ValueError(
            f"{sparse.path}: no layer of this run could become sparse; give second a run of "
            "mdl train --sparse auto or always, by beta-lasso with a layer of 2^20 weights or more"
        )


def _check_alike(dense: RunRecord, sparse: RunRecord) -> None:
    """See that the settings are the same, and that the times are of the same processor."""
    ours, theirs = _flat(dense.config.to_dict()), _flat(sparse.config.to_dict())
    names = sorted(
        name for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name)
    )
    if names:
        raise ValueError(
            f"{dense.path} and {sparse.path} differ in {', '.join(names)}; train one of them again "
            "with the other's settings"
        )
    for name in _MACHINE:
        first, second = dense.versions.get(name), sparse.versions.get(name)
        if first != second:
            raise ValueError(
                f"{dense.path} and {sparse.path} were trained on two machines, with {name} "
                f"{first} and {second}, so their times do not compare; train both on one machine"
            )


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings by dotted name."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat
