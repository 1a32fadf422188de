"""`mdl compress` as a process: its files, their certificate, and bad input."""

import json
import shlex
import shutil
from pathlib import Path

import pytest
import torch
from PIL import Image

from analysis.bounds.bounds import binomial_tail
from analysis.codes.bit_file import load_codeword
from analysis.compress.compression import Compression, CurvePoint
from mdl.terminal.compression_progress import CompressionProgress
from training.checkpoint.checkpoint import load_checkpoint
from training.data.generators.glyphs import GLYPHS

QUICK = ("--epochs", "3", "--batch-size", "20", "--lr", "0.05", "--trials", "5", "--threads", "1")


@pytest.fixture(scope="module")
def compressed(mdl, trained, tmp_path_factory):
    """The folder of the compressed run, and what the command printed."""
    out = tmp_path_factory.mktemp("compressed") / "out"
    done = mdl("compress", str(trained), "-o", str(out), *QUICK, "--plot")
    assert done.returncode == 0, done.stderr
    return out, done


@pytest.mark.slow
def test_files_agree(compressed):
    out, _ = compressed
    assert {file.name for file in out.iterdir()} == {
        "network.mdl",
        "checkpoint.pt",
        "compression.json",
        "compression.png",
    }
    report = json.loads((out / "compression.json").read_text())
    codeword = load_codeword(out / "network.mdl")
    assert report["description_bits"] == codeword.num_bits
    assert report["num_samples"] == 280  # 300, of which 20 are held out
    assert report["bound"] == binomial_tail(report["num_errors"], 280, codeword.num_bits, 0.05)
    assert report["curve"][-1]["stage"] == "certified"
    assert report["starts"]
    assert {
        "code",
        "data",
        "delta",
        "ledger",
        "network",
        "num_test",
        "recipe",
        "seconds",
        "seed",
        "test_errors",
        "training",
        "versions",
    } <= set(report)
    checkpoint = load_checkpoint(out / "checkpoint.pt")
    state = codeword.message.state
    assert set(checkpoint.state) == set(state)
    assert all(torch.equal(checkpoint.state[name], tensor) for name, tensor in state.items())


def test_a_smaller_penalty_leaves_more_bits(mdl, tmp_path):
    digits = ("--data", "handwriting", "--image-size", "8", "--num-train", "300", "--lr", "0.1")
    lengths = []
    for penalty in ("100", "0.01"):
        out = tmp_path / penalty
        done = mdl(
            *("compress", "--recipe", "mnist-tight", *digits, "--epochs", "8", "--trials", "0"),
            *("--batch-size", "20", "--threads", "1", "--penalty", penalty, "-o", str(out)),
        )
        assert done.returncode == 0, done.stderr
        curve = json.loads((out / "compression.json").read_text())["curve"]
        lengths.append(next(each["description_bits"] for each in curve if each["epoch"] == 8))
        made_by = load_checkpoint(out / "checkpoint.pt").metrics["compress"]
        assert made_by["penalty"] == float(penalty)
    assert lengths[0] < 0.8 * lengths[1]


def test_what_another_process_wrote_meanwhile_stays(
    mdl, compressed, trained, tmp_path, monkeypatch
):
    """Two equal commands on one new folder: both find it new, and one is done first."""
    out = shutil.copytree(compressed[0], tmp_path / "out")
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    monkeypatch.setattr("mdl.cli.compress.check_place", lambda out: None)
    done = mdl("compress", trained, "--epochs", "1", "--levels", "1", "--threads", "1", "-o", out)
    assert done.returncode == 1
    assert "has been written by another process; give a new folder" in done.stderr
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before


def test_what_it_prints(compressed):
    _, done = compressed
    assert done.stdout.startswith("s-fc on glyphs: ")
    assert "of m = 280 training errors" in " ".join(done.stdout.split())
    assert "certified" in done.stdout
    assert "Test errors: " in done.stdout
    for word in ("start, epoch 0: training errors", "training left", "certified, epoch 3: "):
        assert word in done.stderr


def test_above_chance_it_is_said_once_and_the_next_commands_train_longer_or_anew(
    compressed, trained
):
    out, done = compressed
    assert done.stderr.count("The bound is above guessing (90.00%)") == 1
    assert "bound 100" not in done.stderr
    assert "training, epoch" not in done.stderr  # these would repeat it, within ten seconds
    words = done.stdout.split("Next:\n")[1].splitlines()
    assert words == [
        f"  mdl compress {trained} --epochs 9 --levels 1 --trials 5 --batch-size 20 --lr 0.05 "
        f"--threads 1 --out {out}-2",
        "  mdl compress --recipe mnist-tight --data glyphs --threads 1 --out tight",
    ]


@pytest.mark.parametrize(
    ("epochs", "kept"), [("2", ""), pytest.param("40", "--epochs 120 ", marks=pytest.mark.slow)]
)
def test_a_recipe_that_failed_is_tried_with_its_own_epochs_or_more(
    mdl, folder_of_images, tmp_path, monkeypatch, *, epochs, kept
):
    monkeypatch.setattr(Compression, "bound", 0.95)
    recipe = ("--recipe", "mnist-tight", "--data", folder_of_images)
    settings = ("--trials", "2", "--threads", "1", "--seed", "3", "--delta", "0.1")
    done = mdl("compress", *recipe, "--epochs", epochs, *settings, "-o", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert done.stdout.split("Next:\n")[1].splitlines() == [
        f"  mdl compress --recipe mnist-tight --data {folder_of_images} {kept}--trials 2 "
        f"--delta 0.1 --seed 3 --threads 1 --out {tmp_path / 'out'}-2"
    ]


def test_points_below_chance_have_their_bound(capsys):
    progress = CompressionProgress(1000, num_classes=10)
    for bits, bound in ((9000, 1.0), (900, 0.95), (300, 0.5)):
        progress.on_point(
            CurvePoint(stage="refined", epoch=1, description_bits=bits, num_errors=200, bound=bound)
        )
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "refined, epoch 1: training errors 20.00%, 9,000 bits"
    assert lines[1].startswith("The bound is above guessing (90.00%)")
    assert lines[2:] == [
        "refined, epoch 1: training errors 20.00%, 900 bits",
        "refined, epoch 1: training errors 20.00%, 300 bits, bound 50.00%",
    ]


def test_how_long_the_trials_take_is_said(capsys, monkeypatch):
    progress, now = CompressionProgress(1000, num_classes=10), [100.0]
    monkeypatch.setattr("mdl.terminal.compression_progress.time.monotonic", lambda: now[0])
    for done in range(201, 221):
        progress.on_trial(done, 500)
        now[0] += 2.0
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "single changes tried: 202/500, at most 10 min left"
    assert len(lines) == 4


def test_the_suggested_commands_certify_and_verify_it(mdl, trained, tmp_path, monkeypatch):
    monkeypatch.setattr(Compression, "bound", 0.5)  # below chance
    out = tmp_path / "out"
    done = mdl("compress", trained, "-o", out, *QUICK)
    lines = done.stdout.splitlines()
    suggested = shlex.split(lines[lines.index("Next:") + 1])
    assert suggested[:2] == ["mdl", "certify"]
    folder = Path(suggested[-1])
    done = mdl(*suggested[1:])
    assert done.returncode == 0, done.stderr
    report = json.loads((out / "compression.json").read_text())
    certificate = json.loads((folder / "certificate.json").read_text())
    for name in ("num_errors", "num_samples", "description_bits", "delta"):
        assert certificate[name] == report[name]
    done = mdl("verify", str(folder), "--data", "glyphs", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["ok"] is True
    assert found["description_bits"] == report["description_bits"]


@pytest.fixture(scope="module")
def folder_of_images(tmp_path_factory) -> Path:
    """8x8 glyphs as PNG files: 120 to train on and 20 to test."""
    folder = tmp_path_factory.mktemp("images") / "glyphs8"
    for split, count in (("train", 12), ("test", 2)):
        pixels, labels = GLYPHS.draw(40 * count, image_size=8, seed=0, stream=split)
        for label in range(10):
            place = folder / split / str(label)
            place.mkdir(parents=True)
            for index, image in enumerate(pixels[labels == label][:count]):
                Image.fromarray(image.permute(1, 2, 0).numpy()).save(place / f"{index}.png")
    return folder


def test_recipe(mdl, folder_of_images, tmp_path):
    data, out = str(folder_of_images), tmp_path / "out"
    done = mdl(
        "compress",
        "--recipe",
        "mnist-tight",
        "--data",
        data,
        "-o",
        str(out),
        *QUICK,
        "--width",
        "1",
        "--levels",
        "2",
        "--seed",
        "3",
        "--json",
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["folder"] == str(out)
    assert (report["recipe"], report["seed"]) == ("mnist-tight", 3)
    assert report["network"]["name"] == "tiny-conv"
    assert report["network"]["base_channels"] == 1
    assert report["training"]["epochs"] == 3
    assert report["starts"] == []
    own = json.loads((out / "compression.json").read_text())
    assert own == {name: value for name, value in report.items() if name != "folder"}
    assert not (out / "compression.png").exists()
    bits, cert = str(out / "network.mdl"), str(tmp_path / "cert")
    assert mdl("certify", bits, "--data", data, "-o", cert).returncode == 0
    done = mdl("verify", cert, "--data", data, "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    for name in ("bound", "num_errors", "num_samples", "description_bits"):
        assert found[name] == report[name]


class StopAfterSome:
    """In place of a `StopRequest`: SIGTERM comes when it has been asked a few times."""

    signal_number = 15
    left = 0

    def __init__(self, words: str) -> None:
        type(self).words = words

    def __enter__(self):
        return self

    def __exit__(self, *error: object) -> None:
        pass

    @property
    def requested(self) -> bool:
        type(self).left -= 1
        return self.left < 0


@pytest.mark.parametrize("left", [9, 24])
def test_what_was_stopped_continues_by_the_command_that_is_named(
    mdl, folder_of_images, tmp_path, monkeypatch, left
):
    out, whole = tmp_path / "out", tmp_path / "whole"
    given = ("compress", "--recipe", "mnist-tight", "--data", folder_of_images, *QUICK)
    given += ("--width", "1", "--crop", "1", "--no-flip")
    assert mdl(*given, "-o", whole).returncode == 0
    with monkeypatch.context() as patch:
        patch.setattr(StopAfterSome, "left", left)
        patch.setattr("mdl.cli.compress.StopRequest", StopAfterSome)
        done = mdl(*given, "-o", out)
    assert done.returncode == 128 + 15
    assert done.stdout == ""
    again = done.stderr.splitlines()[-1].removeprefix("Stopped and saved. Continue with: ")
    assert again in StopAfterSome.words
    assert [file.name for file in out.iterdir()] == ["unfinished.npz"]

    done = mdl(*given, "--seed", "4", "-o", out)
    assert done.returncode == 2
    said = "holds a compression that was stopped, with seed 0 and not 4; give the command that"
    assert said in " ".join(done.stderr.split())

    done = mdl(*shlex.split(again)[1:])
    assert done.returncode == 0, done.stderr
    assert {file.name for file in out.iterdir()} == {file.name for file in whole.iterdir()}
    assert (out / "network.mdl").read_bytes() == (whole / "network.mdl").read_bytes()
    reports = [json.loads((each / "compression.json").read_text()) for each in (out, whole)]
    assert reports[0]["curve"] == reports[1]["curve"]
    assert reports[0]["training"]["augmentation"]["crop"] == 1
    done = mdl(*given, "-o", out)
    assert done.returncode == 1 and "is not empty" in done.stderr


def test_where_the_result_cannot_be_written_nothing_is_lost(
    mdl, folder_of_images, tmp_path, monkeypatch
):
    out = tmp_path / "out"
    given = ("compress", "--recipe", "mnist-tight", "--data", folder_of_images, *QUICK, "-o", out)

    def fill(*_: object) -> None:
        raise OSError(28, "No space left on device", "network.mdl")

    with monkeypatch.context() as patch:
        patch.setattr("mdl.cli.compress.save_codeword", fill)
        done = mdl(*given)
    assert done.returncode == 1
    assert "No space left on device" in done.stderr.splitlines()[-1]
    assert "make room, then mdl compress --recipe mnist-tight" in done.stderr.splitlines()[-1]
    done = mdl(*given)
    assert done.returncode == 0, done.stderr
    assert "training, epoch" not in done.stderr  # that was done
    assert (out / "network.mdl").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "give one of the two"),
        (("RUN", "--recipe", "mnist-tight"), "give one of the two"),
        (("--recipe", "mnist-loose", "--data", "glyphs"), "recipe must be one of mnist-tight"),
        (("--recipe", "mnist-tight"), "a recipe needs the data set"),
        (("--recipe", "mnist-tight", "--data", "./nowhere"), "nowhere"),
        (("nowhere.pt",), "nowhere.pt: no such file"),
        (("RUN", "--data", "./nowhere"), "nowhere"),
        (("RUN", "--width", "2"), "only a recipe takes it"),
        (("RUN", "--crop", "2"), "only a recipe takes it"),
        (("RUN", "--format", "e5m2"), "does not hold all levels"),
        (("RUN", "--lr", "0"), "must be > 0"),
        (("RUN", "--penalty", "-1"), "must be > 0"),
        (
            ("--recipe", "mnist-tight", "--data", "glyphs", "--levels", "1", "--levels", "2"),
            "one number of levels",
        ),
    ],
)
def test_mistake_is_one_line_and_leaves_nothing(mdl, trained, tmp_path, arguments, said):
    given = [each.replace("RUN", str(trained)) for each in arguments]
    done = mdl("compress", *given, "-o", str(tmp_path / "out"))
    assert done.returncode in (1, 2)
    assert done.stdout == ""
    assert said in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
    if done.returncode == 1:
        assert len(done.stderr.splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_folder_that_holds_something_is_left_alone(mdl, trained, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "mine.txt").write_text("mine")
    done = mdl("compress", str(trained), "-o", str(out), *QUICK)
    assert done.returncode == 1
    assert "is not empty" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert [file.name for file in out.iterdir()] == ["mine.txt"]
