"""Hold-out bounds and any classifier's certificate, on the command line."""

import json
from pathlib import Path

import numpy as np
import pytest

BITS = ("--bits", "8")


@pytest.fixture(scope="module")
def predictions(mdl, trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a run answers to its 100 test images."""
    file = tmp_path_factory.mktemp("predictions") / "theirs.npz"
    done = mdl("evaluate", trained, "--predictions", file)
    assert done.returncode == 0, done.stderr
    assert f"Predictions on the test images: {file}" in " ".join(done.stdout.split())
    return file


def test_evaluate_writes_predictions_to_npz_alone(mdl, trained: Path, tmp_path: Path) -> None:
    done = mdl("evaluate", trained, "--predictions", tmp_path / "theirs.csv")
    assert done.returncode == 2
    assert "--predictions: must end in .npz" in done.stderr
    assert not list(tmp_path.iterdir())


def test_evaluate_writes_what_it_counted(mdl, trained: Path, predictions: Path) -> None:
    from training.checkpoint.checkpoint import load_checkpoint
    from training.run.evaluate import evaluation_data

    checkpoint = load_checkpoint(trained)
    images = evaluation_data(checkpoint)
    with np.load(predictions) as stored:
        wrong = int((stored["prediction"] != images.test.labels.numpy()).sum())
        assert stored["index"].tolist() == list(range(100))
        assert str(stored["fingerprint"]) == images.fingerprint
    assert wrong == checkpoint.metrics["test_errors"]


def test_the_better_of_bits_and_test_images(mdl, trained: Path, tmp_path: Path) -> None:
    place = tmp_path / "cert"
    done = mdl("certify", trained, "-o", place, *BITS, "--held-out", "test")
    assert done.returncode == 0, done.stderr
    words = " ".join(done.stdout.split())
    for part in (
        "the better of the two",
        "had no part in training or choosing the network.",
        "0.025",
    ):
        assert part in words
    assert len(done.stdout.splitlines()) <= 24
    found = json.loads(mdl("verify", place, "--json").stdout)
    assert found["ok"] is True
    assert found["fresh"]["num_samples"] == 100
    assert found["bound"] == min(
        found["fresh"]["description_bound"], found["fresh"]["hold_out_bound"]
    )


@pytest.mark.parametrize("full", [False, True])
def test_a_target_certified_and_verified(
    full: bool, mdl, trained: Path, predictions: Path, tmp_path: Path
) -> None:
    place, options = tmp_path / "cert", ("--full",) if full else ()
    named = ("--target", predictions, "--surrogate", trained, "--held-out", "test")
    done = mdl("certify", *named, "-o", place, *BITS, *options)
    assert done.returncode == 0, done.stderr
    words = " ".join(done.stdout.split())
    assert "the target's true error" in words
    assert "put in the images' order by their index" in words
    assert "the predictions are one classifier's" in words
    assert full or len(done.stdout.splitlines()) <= 24
    done = mdl("verify", place, *options)
    assert done.returncode == 0, done.stderr
    assert "verified: " in done.stdout
    stated = json.loads((place / "certificate.json").read_text())
    assert stated["fresh"]["num_disagreements"] < 100
    data = bytearray((place / "predictions.bin").read_bytes())
    data[-1] ^= 1
    (place / "predictions.bin").write_bytes(data)
    done = mdl("verify", place)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1


def test_json_is_one_object(mdl, trained: Path, predictions: Path, tmp_path: Path) -> None:
    named = ("--target", predictions, "--surrogate", trained, "--held-out", "test", *BITS)
    done = mdl("certify", *named, "-o", tmp_path / "cert", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["version"] == 2
    assert found["bound"] >= found["fresh"]["surrogate_bound"]


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("RUN", "--target", "FILE"), 2, "a target and its surrogate go together"),
        (("RUN", "--surrogate", "RUN", "--target", "FILE"), 2, "leave out"),
        ((), 2, "give one, or --target PREDICTIONS --surrogate CHECKPOINT"),
        (("--target", "FILE", "--surrogate", "RUN"), 2, "--target and --images take --held-out"),
        (("RUN", "--images", "glyphs"), 2, "--target and --images take --held-out"),
        (("RUN", "--held-out", "training"), 2, "--held-out cannot be training"),
        (("--target", "FILE", "--surrogate", "RUN", "--held-out", "validation"), 1, "20 images"),
        (("--target", "RUN", "--surrogate", "RUN", "--held-out", "test"), 1, ".csv, .npz"),
    ],
)
def test_mistakes_get_one_line(
    arguments: tuple[str, ...],
    code: int,
    words: str,
    *,
    mdl,
    trained: Path,
    predictions: Path,
    tmp_path: Path,
) -> None:
    known = {"RUN": str(trained), "FILE": str(predictions)}
    given = [known.get(each, each) for each in arguments]
    done = mdl("certify", *given, "-o", tmp_path / "cert")
    assert done.returncode == code, done.stderr
    assert done.stdout == ""
    assert words in " ".join(done.stderr.split())
    assert not (tmp_path / "cert").exists()
