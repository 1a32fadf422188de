"""Data sets that only the hub has, by their names: stand-ins of the same shape, certified."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.mdl.calls import call_here
from tests.training.data.made_sets import class_label, encode, write_table

SETS: dict[str, dict[str, Any]] = {
    "fashion_mnist": {"shape": (28, 28), "columns": {"label": 10}, "image": "image"},
    "cifar100": {
        "shape": (32, 32, 3),
        "columns": {"fine_label": 100, "coarse_label": 20},
        "image": "img",
    },
    "svhn": {"shape": (32, 32, 3), "columns": {"label": 10}, "image": "image"},
}
QUICK = ("--epochs", "2", "--batch-size", "50", "--trials", "3", "--threads", "1", "--width", "1")


def stand_in(folder: Path, name: str) -> None:
    """A folder as the hub lays it out, its images marked by their class."""
    about = SETS[name]
    splits = {"train": 200, "test": 100} | ({"extra": 100} if name == "svhn" else {})
    for place, (split, count) in enumerate(splits.items()):
        random = np.random.default_rng(place)
        labels = {
            column: [index % classes for index in range(count)]
            for column, classes in about["columns"].items()
        }
        first = next(iter(labels.values()))
        pictures = random.integers(0, 128, (count, *about["shape"]), dtype=np.uint8)
        pictures[np.arange(count), np.array(first) % 28] += 100
        images = [{"bytes": encode(Image.fromarray(each)), "path": None} for each in pictures]
        features = {
            column: class_label(*(f"{column} {index}" for index in range(classes)))
            for column, classes in about["columns"].items()
        }
        file = folder / name / f"{split}-00000-of-00001.parquet"
        write_table(file, {about["image"]: images, **labels}, features)


@pytest.mark.sample(1)
@pytest.mark.parametrize("name", SETS)
def test_a_network_is_made_certified_and_verified(tmp_path: Path, name: str) -> None:
    stand_in(tmp_path, name)

    def call(*arguments: object) -> str:
        done = call_here(*arguments, folder=tmp_path)
        assert done.returncode == 0, done.stderr
        return done.stdout

    given = ("--data", name)
    call("compress", "--recipe", "mnist-tight", *given, *QUICK, "--out", "tight")
    call("certify", "tight/network.mdl", *given, "--out", "certificate")
    found = json.loads(call("verify", "certificate", *given, "--json"))
    assert found["ok"] is True
    report = json.loads((tmp_path / "tight" / "compression.json").read_text())
    assert found["num_samples"] == 200
    assert report["network"]["num_classes"] == next(iter(SETS[name]["columns"].values()))
    assert report["network"]["in_channels"] == (1 if name == "fashion_mnist" else 3)
    assert report["network"]["image_size"] == SETS[name]["shape"][0]
