"""Reading metrics.jsonl, one line an epoch: data from a stranger, so every value is checked."""

import math
from collections.abc import Iterable, Mapping
from typing import Any

from mdl.experiments.store.run_result import EpochPoint
from training.run.run_folder import RunFolder

_LARGEST = 2**62


def read_points(folder: RunFolder) -> tuple[EpochPoint, ...]:
    """The epochs of a run, in order; a last line that a crash cut short is left out.

    Raises:
        ValueError: Names the file and what a line lacks.
    """
    try:
        lines = folder.read_metrics()
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{folder.metrics}: not a file of metrics ({error})") from error
    points = []
    for number, line in enumerate(lines, start=1):
        try:
            points.append(parse_point(line))
        except ValueError as error:
            raise ValueError(
                f"{folder.metrics}, line {number}: {error}; give a run folder that mdl train wrote"
            ) from error
    return in_order(points)


def in_order(points: Iterable[EpochPoint]) -> tuple[EpochPoint, ...]:
    """Points by epoch; of several of one epoch the last counts."""
    by_epoch = {point.epoch: point for point in points}
    return tuple(by_epoch[epoch] for epoch in sorted(by_epoch))


def parse_point(line: object) -> EpochPoint:
    """The point of one epoch.

    Args:
        line: As `training.run.progress.EpochMetrics` is written; further values are left alone.

    Raises:
        ValueError: A value is missing, or of another type, or outside its range.

    >>> parse_point({"epoch": 1, "train_loss": 2.5, "seconds": 3, "num_nonzeros": {"fc1": 7}})
    ... # doctest: +ELLIPSIS, +NORMALIZE_WHITESPACE
    Traceback (most recent call last):
    ValueError: train_accuracy must be a number from 0 to 1, not None
    """
    if not isinstance(line, dict):
        raise ValueError(f"must be an object, not {type(line).__name__}")
    epoch = _count(line, "epoch")
    if epoch < 1:
        raise ValueError("epoch must be >= 1, not 0")
    nonzeros = _mapping(line, "num_nonzeros")
    screened = _mapping(line, "screened")
    return EpochPoint(
        epoch=epoch,
        train_loss=_number(line.get("train_loss"), "train_loss", math.inf),
        seconds=_number(line.get("seconds"), "seconds", math.inf),
        train_accuracy=_number(line.get("train_accuracy"), "train_accuracy", 1),
        validation_accuracy=_optional_share(line, "validation_accuracy"),
        test_accuracy=_optional_share(line, "test_accuracy"),
        num_nonzeros={name: _count(nonzeros, name) for name in nonzeros},
        screened={name: _number(value, "screened", 1) for name, value in screened.items()},
    )


def _mapping(line: Mapping[str, Any], name: str) -> dict[str, Any]:
    found = line.get(name, {})
    if not isinstance(found, dict) or not all(isinstance(key, str) for key in found):
        raise ValueError(f"{name} must be an object of layers")
    return found


def _count(line: Mapping[str, Any], name: str) -> int:
    value = line.get(name)
    if type(value) is not int or not 0 <= value < _LARGEST:
        raise ValueError(f"{name} must be an integer >= 0, not {_shown(value)}")
    return value


def _number(value: object, name: str, largest: float) -> float:
    good = type(value) in (int, float) and 0 <= value <= min(largest, 1e300)  # type: ignore[operator]
    if not good:
        limit = "" if largest == math.inf else f" from 0 to {largest:g}"
        raise ValueError(f"{name} must be a number{limit}, not {_shown(value)}")
    return float(value)  # type: ignore[arg-type]


def _optional_share(line: Mapping[str, Any], name: str) -> float | None:
    value = line.get(name)
    return None if value is None else _number(value, name, 1)


def _shown(value: object) -> str:
    return repr(value) if value is None or type(value) in (int, float) else type(value).__name__
