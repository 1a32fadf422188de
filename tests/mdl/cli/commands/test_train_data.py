"""What `mdl train` says of its images first, and what a bound says of images that repeat."""

import json
import shutil
from pathlib import Path

import pytest

from tests.mdl.calls import Command
from tests.training.data.made_sets import class_label, picture, write_classes, write_pair

FINE, COARSE = [0, 1, 2, 3] * 5, [0, 0, 1, 1] * 5
SMALL = ("--base-channels", "1", "--batch-size", "4", "--epochs", "1", "--device", "cpu")
REPEATS = "4 of the 20 images repeat another one."


def words(text: str) -> str:
    return " ".join(text.split())


@pytest.fixture(scope="module")
def pets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty training images of two classes, four of them copies."""
    folder = tmp_path_factory.mktemp("pets")
    for split, start in (("Train", 0), ("Test", 500)):
        write_classes(folder / split, ["cat", "dog"], count=8, start=start)
    for name in ("cat", "dog"):
        for index in range(2):
            shutil.copy(
                folder / "Train" / name / f"{index}.png", folder / "Train" / name / f"c{index}.png"
            )
    return folder


@pytest.fixture(scope="module")
def run(pets: Path, mdl: Command, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "run"
    done = mdl("train", "s-conv", "--data", pets, *SMALL, "--out", folder)
    assert done.returncode == 0, done.stderr
    (folder / "stderr").write_text(done.stderr)
    return folder


def test_the_first_lines_say_what_was_understood(run: Path, pets: Path) -> None:
    assert (run / "stderr").read_text().splitlines()[:7] == [
        f"Loading {pets} ...",
        f"{pets.name}: 20 training and 16 test images, 3x8x8.",
        "Labels: names of folders, in their order; 2 classes: cat, dog.",
        "Training images by class: 10 of each.",
        "Splits: training from Train/, test from Test/.",
        "4 of 20 training images repeat another one: bounds take them as independent draws "
        "(i.i.d.).",
        (run / "stderr").read_text().splitlines()[6],
    ]


@pytest.mark.parametrize("full", [(), ("--full",)])
def test_a_bound_says_that_its_images_repeat(
    full: tuple[str, ...], run: Path, mdl: Command
) -> None:
    done = mdl("bound", run, *full)
    assert done.returncode == 0, done.stderr
    assert words(done.stdout).count(REPEATS) == 1


def test_a_certificate_says_it_and_its_check_too(run: Path, pets: Path, mdl: Command) -> None:
    cert = run / "cert"
    done = mdl("certify", run, "--out", cert)
    assert words(done.stdout).count(REPEATS) == 1, done.stderr
    assert "num_repeated" not in json.loads((cert / "certificate.json").read_text())
    for full in ((), ("--full",)):
        done = mdl("verify", cert, "--data", pets, *full)
        assert words(done.stdout).count(REPEATS) == 1, done.stderr
    found = json.loads(mdl("verify", cert, "--data", pets, "--json").stdout)
    assert (found["ok"], found["num_repeated"]) == (True, 4)


def test_a_compression_says_it(run: Path, mdl: Command, tmp_path: Path) -> None:
    quick = ("--epochs", "1", "--batch-size", "4", "--trials", "1", "--levels", "1")
    done = mdl("compress", run, *quick, "--out", tmp_path / "short")
    assert done.returncode == 0, done.stderr
    assert words(done.stdout).count(REPEATS) == 1


def test_without_repeats_nothing_is_said(trained: Path, mdl: Command) -> None:
    assert "repeat another" not in words(mdl("bound", trained).stdout)


@pytest.fixture(scope="module")
def hundred(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """CIFAR-100's columns, twenty images."""
    folder = tmp_path_factory.mktemp("tables") / "hundred"
    features = {"fine_label": class_label(*"abcd"), "coarse_label": class_label("x", "y")}
    return write_pair(
        folder, FINE, FINE, column="fine_label", features=features, coarse_label=COARSE
    )


def test_a_label_column_goes_with_the_run(hundred: Path, mdl: Command, tmp_path: Path) -> None:
    run, cert = tmp_path / "run", tmp_path / "cert"
    column = ("--label-column", "coarse_label")
    done = mdl("train", "s-conv", "--data", hundred, *column, *SMALL, "--out", run)
    assert "Labels: column 'coarse_label', names as the table has them; 2 classes: x, y." in (
        done.stderr
    )
    assert mdl("bound", run).returncode == 0
    done = mdl("certify", run, "--out", cert)
    assert f"mdl verify {cert} --data {hundred} --label-column coarse_label" in done.stdout
    assert mdl("verify", cert, "--data", hundred, *column).returncode == 0
    assert "not the images" in mdl("verify", cert, "--data", hundred).stderr
    bits = tmp_path / "net.mdl"
    assert mdl("encode", run, "-o", bits).returncode == 0
    assert mdl("bound", bits, "--data", hundred, *column).returncode == 0
    assert "has num_classes 4" in mdl("bound", bits, "--data", hundred).stderr
    done = mdl("certify", bits, "--data", hundred, *column, "--out", tmp_path / "again")
    assert f"--data {hundred} --label-column coarse_label" in done.stdout


def test_several_label_columns_name_the_option(mdl: Command, tmp_path: Path) -> None:
    write_pair(tmp_path, FINE, FINE, column="species", category=COARSE, label_id=COARSE)
    done = mdl("train", "s-conv", "--data", tmp_path, *SMALL, "--out", tmp_path / "run")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].endswith(
        "has several label columns (category, label_id); choose one with --label-column"
    )
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("command", ["bound", "compress"])
def test_a_checkpoint_has_its_own_label_column(
    command: str, trained: Path, mdl: Command, tmp_path: Path
) -> None:
    out = ("--out", tmp_path / "out") if command == "compress" else ()
    done = mdl(command, trained, "--label-column", "x", *out)
    assert done.returncode == 2
    assert "--label-column" in done.stderr


def test_a_run_on_a_sample_says_which_classes_it_lacks(mdl: Command, tmp_path: Path) -> None:
    labels = [0] * 8 + [1] * 8 + [2] * 8
    features = {"label": class_label("a", "b", "c")}
    write_pair(tmp_path, labels, labels, features=features)
    limits = ("--num-train", "12", "--num-test", "4")
    done = mdl("train", "s-conv", "--data", tmp_path, *limits, *SMALL, "--out", tmp_path / "run")
    assert "The first 12 training images hold 2 of 3 classes, none of c" in done.stderr
    assert "The first 4 test images hold 1 of 3 classes, none of b, c" in done.stderr


def test_black_images_end_the_run_before_it_begins(mdl: Command, tmp_path: Path) -> None:
    black = picture(1, mode="L").point(lambda _: 0)
    for split in ("train", "test"):
        for name in ("cat", "dog"):
            (tmp_path / split / name).mkdir(parents=True)
            black.save(tmp_path / split / name / "0.png")
    done = mdl("train", "s-conv", "--data", tmp_path, *SMALL, "--out", tmp_path / "run")
    assert done.returncode == 1
    assert "each of the 2 training images is constant" in done.stderr
