"""`mdl sparse` as a process, on two tiny runs, and the pairs that it refuses."""

import json
import shutil
from pathlib import Path

import pytest

from mdl.experiments.sparse_gain.record import read_pair, read_record
from tests.mdl.calls import Command


@pytest.fixture(scope="module")
def pair(mdl: Command, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Run folders of s-fc, whose first layer is large enough and becomes sparse."""
    folder = tmp_path_factory.mktemp("pair")
    for name, sparse in (("dense", "never"), ("sparse", "always")):
        done = mdl(
            "train",
            "s-fc",
            "--base-channels",
            "2",
            "--num-train",
            "512",
            "--num-test",
            "64",
            "--epochs",
            "2",
            "--batch-size",
            "64",
            "--l1-conv",
            "3.4e-4",
            "--l1-fc",
            "5e-5",
            "--lr",
            "0.1",
            "--precision",
            "fp32",
            "--device",
            "cpu",
            "--sparse",
            sparse,
            "--out",
            str(folder / name),
        )
        assert done.returncode == 0, done.stderr
    return folder / "dense", folder / "sparse"


def test_tables_and_pictures(pair, mdl: Command, tmp_path: Path) -> None:
    out = tmp_path / "gain.png"
    done = mdl("sparse", *map(str, pair), "-o", str(out))
    assert done.returncode == 0, done.stderr
    for text in (
        "dense / sparse",
        "before the first sparse layer (epoch 2)",
        "Sparse layers alone:",
        "4,000 epochs: about",
        "A projection, not a measurement",
        f"Picture: {out}",
        "Next:",
    ):
        assert text in " ".join(done.stdout.split()), text
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {f"gain{each}{kind}" for each in ("", "-screened") for kind in (".png", ".pdf")}


def test_json_is_alone_on_stdout_and_says_what_the_metrics_say(pair, mdl: Command) -> None:
    done = mdl("sparse", *map(str, pair), "--epochs", "2", "--json")
    assert done.returncode == 0, done.stderr
    values = json.loads(done.stdout)
    last = [json.loads((run / "metrics.jsonl").read_text().splitlines()[-1]) for run in pair]
    whole = values["phases"]["whole"]
    assert [whole["dense_seconds"], whole["sparse_seconds"]] == pytest.approx(
        [each["seconds"] for each in last]
    )
    assert values["projection"]["dense_seconds"] == pytest.approx(last[0]["seconds"])
    assert values["weight_bytes_ratio"] == last[0]["weight_bytes"] / last[1]["weight_bytes"] > 2
    assert values["layers"][0]["handover"] == 2 and values["layers"][0]["num_sparse_epochs"] == 1
    assert 4 < values["sparse_layer_bytes_per_nonzero"] < 13
    assert values["all_dense_share"] == 0.5


@pytest.mark.sample(3)
@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("DENSE", "DENSE"), 1, "is given twice"),
        (("SPARSE", "DENSE"), 1, "give first a run of mdl train --sparse never"),
        (("DENSE", "nothing"), 1, "nothing: not a run folder"),
        (("DENSE", "SPARSE", "--epochs", "1"), 2, "--epochs 1 must be at least the runs' 2"),
        (("DENSE", "SPARSE", "-o", "gain.svg"), 2, "must end in .png or .pdf"),
        (("DENSE", "SPARSE", "-o", "no/such/gain.png"), 2, "there is no folder no/such"),
        (("DENSE",), 2, "Missing argument 'SPARSE_RUN'"),
    ],
)
def test_mistakes_are_one_clear_line(arguments, code, words, pair, mdl: Command) -> None:
    names = dict(zip(("DENSE", "SPARSE"), map(str, pair), strict=True))
    done = mdl("sparse", *(names.get(each, each) for each in arguments))
    assert done.returncode == code
    assert words in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr and done.stdout == ""


def changed(run: Path, to: Path, name: str, change) -> Path:
    """A copy of a run with one of its files changed."""
    shutil.copytree(run, to)
    (to / name).write_text(change((to / name).read_text()))
    return to


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        ("config.json", lambda text: text.replace('"lr": 0.1', '"lr": 0.2'), "differ in lr;"),
        (
            "config.json",
            lambda text: text.replace('"num_test": 64', '"num_test": 65'),
            r"differ in data\.num_test;",
        ),
        ("config.json", lambda text: text.replace('"cpu": "', '"cpu": "other '), "with cpu "),
        ("config.json", lambda text: text[:40], r"config\.json: not the settings of a run"),
        ("metrics.jsonl", lambda text: text.splitlines()[0] + "\n", "must hold every epoch"),
        (
            "metrics.jsonl",
            lambda text: text.replace("weight_bytes", "bytes"),
            r"metrics\.jsonl, line 1: weight_bytes must be .*; train the run again",
        ),
        (
            "metrics.jsonl",
            lambda text: text.replace('"screened": {"conv1"', '"screened": {}, "x": {"conv1"'),
            "no layer of this run could become sparse",
        ),
    ],
)
def test_pairs_that_do_not_compare_are_refused(name, change, words, pair, tmp_path) -> None:
    dense, sparse = pair
    with pytest.raises(ValueError, match=words):
        read_pair(dense, changed(sparse, tmp_path / "other", name, change))


def test_a_run_that_goes_on_is_refused(monkeypatch, pair) -> None:
    from mdl.experiments.sparse_gain import record as sparse_record
    from training.checkpoint.checkpoint import load_checkpoint

    def going(path):
        checkpoint = load_checkpoint(path)
        del checkpoint.metrics["test_errors"]
        return checkpoint

    monkeypatch.setattr(sparse_record, "load_checkpoint", going)
    with pytest.raises(ValueError, match="is not finished; resume it with mdl train --resume"):
        read_record(pair[0])
