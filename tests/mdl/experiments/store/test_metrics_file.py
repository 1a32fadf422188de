"""metrics.jsonl is a stranger's: what is wrong in it is one clear line, never a crash."""

import json
from pathlib import Path
from typing import Any

import pytest

from mdl.experiments.store.metrics_file import parse_point, read_points
from training.run.run_folder import RunFolder

LINE: dict[str, Any] = {
    "epoch": 1,
    "train_loss": 2.25,
    "train_accuracy": 0.5,
    "validation_accuracy": None,
    "test_accuracy": 0.25,
    "seconds": 3.5,
    "num_nonzeros": {"fc1": 7},
    "screened": {"fc1": 0.5},
}


def write(folder: Path, *lines: str) -> RunFolder:
    (folder / "metrics.jsonl").write_text("\n".join(lines))
    return RunFolder(folder)


def test_lines_are_points_by_epoch(tmp_path: Path) -> None:
    folder = write(tmp_path, json.dumps(LINE | {"epoch": 2}), json.dumps(LINE), '{"epoch": 3, "tr')
    points = read_points(folder)
    assert [point.epoch for point in points] == [1, 2]
    assert points[0].num_nonzeros == {"fc1": 7}
    assert (points[0].validation_accuracy, points[0].test_accuracy) == (None, 0.25)


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"epoch": 0}, "epoch must be >= 1"),
        ({"epoch": "<b>"}, "epoch must be an integer"),
        ({"epoch": True}, "epoch must be an integer"),
        ({"train_loss": float("nan")}, "train_loss must be a number"),
        ({"train_loss": 10**400}, "train_loss must be a number"),
        ({"train_loss": None}, "train_loss must be a number"),
        ({"seconds": -1}, "seconds must be a number"),
        ({"test_accuracy": 1.5}, "test_accuracy must be a number from 0 to 1"),
        ({"num_nonzeros": [1]}, "num_nonzeros must be an object"),
        ({"num_nonzeros": {"fc1": -1}}, "fc1 must be an integer"),
        ({"screened": {"fc1": "1"}}, "screened must be a number"),
    ],
)
def test_a_wrong_value_is_named_with_its_line(
    change: dict[str, Any], rule: str, tmp_path: Path
) -> None:
    folder = write(tmp_path, json.dumps(LINE), json.dumps(LINE | change))
    with pytest.raises(ValueError, match=rule) as caught:
        read_points(folder)
    assert "metrics.jsonl, line 2" in str(caught.value)


@pytest.mark.parametrize("line", ["[1]", "true", "[" * 100_000, '{"a": ' + "9" * 5000 + "}"])
def test_a_line_of_another_kind_is_refused(line: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"metrics\.jsonl"):
        read_points(write(tmp_path, line))


def test_a_point_needs_no_optional_value() -> None:
    needed = {name: LINE[name] for name in ("epoch", "train_loss", "train_accuracy", "seconds")}
    assert parse_point(needed).num_nonzeros == {}
