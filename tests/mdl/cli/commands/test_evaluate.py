import json
from pathlib import Path

import pytest
from scipy.stats import beta

from training.checkpoint.checkpoint import load_checkpoint, restore_network
from training.data.generators.leaves import LEAVES
from training.data.image_set import ImageSet
from training.run.evaluate import count_errors


def test_errors_are_those_of_training_with_exact_intervals(mdl, trained: Path) -> None:
    done = mdl("evaluate", str(trained), "--fresh", "1200", "--json")
    assert done.returncode == 0, done.stderr
    splits = json.loads(done.stdout)["splits"]
    metrics = load_checkpoint(trained).metrics
    for split in ("train", "validation", "test"):
        assert splits[split]["num_errors"] == metrics[f"{split}_errors"]
    assert splits["fresh"]["num_samples"] == 1200
    row = splits["test"]
    errors, total = row["num_errors"], row["num_samples"]
    assert row["low"] == pytest.approx(beta.ppf(0.025, errors, total - errors + 1))
    assert row["high"] == pytest.approx(beta.ppf(0.975, errors + 1, total - errors))


def test_fresh_leaves_are_drawn_from_their_own_stream(mdl, tmp_path: Path) -> None:
    made = mdl(
        *("train", "s-conv", "--data", "leaves", "--image-size", "8", "--num-train", "100"),
        *("--num-test", "20", "--base-channels", "1", "--batch-size", "20", "--epochs", "1"),
        *("--device", "cpu", "--out", str(tmp_path / "run")),
    )
    assert made.returncode == 0, made.stderr
    done = mdl("evaluate", str(tmp_path / "run"), "--fresh", "300", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    checkpoint = load_checkpoint(tmp_path / "run")
    images = ImageSet(*LEAVES.draw(300, image_size=8, stream="fresh"))
    errors = count_errors(restore_network(checkpoint), images, checkpoint.inputs)
    assert (found["data"], found["splits"]["fresh"]["num_errors"]) == ("leaves", errors)


def test_the_table_is_readable(mdl, trained: Path) -> None:
    done = mdl("evaluate", str(trained))
    assert done.returncode == 0
    assert "95% interval" in done.stdout
    assert "Errors counted in float32; by mdl certify in exact integers" in done.stdout
    assert "mdl bound" in done.stdout
