"""Every command line that a command suggests runs, and so do those that these suggest.

Lines are followed as a user pastes them until they repeat. What would take minutes gets options
behind it that make it small.
"""

import re
import shlex
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.analysis.describe.test_external_network import make_network
from tests.mdl.calls import call_here
from tests.mdl.cli.commands.test_sweep import TINY

LOCAL = ("--device", "cpu", "--precision", "fp32")
SHORT = ("--epochs", "1", "--batch-size", "20")
SMALLER = {
    "compress": (*SHORT, "--trials", "1", "--threads", "1"),
    "train": (*SHORT, *LOCAL, "--base-channels", "1", "--data", "small"),
    "report": ("--no-bound",),
    "reproduce": ("--dry-run",),
    "bench": ("--quick", "--only", "optimizer", "--rounds", "2", "--weights", "20000"),
}
"""What makes the suggested commands small that would take minutes."""


def suggested(stdout: str) -> list[str]:
    """The commands behind the last "Next:" that can be run as they are.

    A file that takes an output is left out, and so is what names a FOLDER of the user's.
    """
    _, found, block = stdout.rpartition("Next:\n")
    lines = [line.partition(" > ")[0].strip() for line in block.splitlines()] if found else []
    assert all(line.startswith("mdl ") for line in lines), stdout
    return [line for line in lines if "FOLDER" not in line]


def follow(starts: Iterable[str], folder: Path) -> set[str]:
    """Run these lines as they are, then all that they lead to; the commands that ran."""
    waiting, seen = [(line, False) for line in starts], set()
    while waiting:
        line, is_suggested = waiting.pop(0)
        # A new name has a number behind it; a suggestion keeps the options that made it small.
        kind = " ".join(re.sub(r"--(epochs|threads|trials) \d+|-\d+\b", "", line).split())
        if kind in seen:
            continue
        seen.add(kind)
        _, name, *arguments = shlex.split(line)
        if is_suggested:
            arguments += SMALLER.get(name, ())
            arguments += ["--data", "small"] if "--recipe" in arguments else []
        done = call_here(name, *arguments, folder=folder)
        assert done.returncode == 0, f"{line}\n{done.stderr}"
        assert "error: " not in done.stderr, f"{line}\n{done.stderr}"
        # At once, as others may take the new names that these lines have.
        waiting = [(each, True) for each in suggested(done.stdout)] + waiting
    return {line.split()[1] for line in seen}


def draw_grey(folder: Path, *, num: int, side: int = 28) -> None:
    """Grey pictures of three kinds of stripes, in the folders of an image data set."""
    rng = np.random.default_rng(0)
    for split, count in (("train", num), ("test", num // 2)):
        for kind in range(3):
            place = folder / split / f"kind{kind}"
            place.mkdir(parents=True)
            for index in range(count):
                pixels = rng.integers(0, 60, (side, side)).astype(np.uint8)
                pixels[:: kind + 2] += np.uint8(120)
                Image.fromarray(pixels).save(place / f"{index}.png")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    draw_grey(tmp_path / "grey", num=20)
    draw_grey(tmp_path / "small", num=20, side=12)
    return tmp_path


def train_line(network: str, data: str, *options: object, out: str = "run") -> str:
    width = ("--hidden-units", "4") if network == "3-fc" else ("--base-channels", "1")
    given = (*width, *SHORT, *LOCAL, "--data", data, "--out", out)
    return shlex.join(map(str, ("mdl", "train", network, *given, *options)))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("network", "data"),
    [
        ("d-conv", "grey"),
        ("s-conv", "grey"),
        ("s-local", "grey"),
        ("d-local", "grey"),
        ("3-fc", "grey"),
        ("resnet18", "grey"),
        ("s-fc", "small"),
        ("d-fc", "small"),
    ],
)
def test_after_training_on_grey_images(network: str, data: str, place: Path) -> None:
    """A 3x3 kernel on one channel has fewer weights than filters are asked for elsewhere."""
    ran = follow([train_line(network, data)], place)
    assert ran >= {"train", "bound", "filters", "nonzeros", "compress"}


@pytest.mark.slow
def test_after_training_that_left_no_weight_in_the_first_layer(place: Path) -> None:
    ran = follow(
        [train_line("s-conv", "small", "--method", "beta-lasso", "--l1-conv", 1, "--l1-fc", 1e-5)],
        place,
    )
    assert "filters" not in ran


@pytest.mark.slow
@pytest.mark.parametrize("data", ["small", "glyphs"])
def test_after_each_command_about_a_run(data: str, place: Path) -> None:
    sizes = ("--image-size", "8", "--num-train", "120", "--num-test", "40")
    train = train_line("s-conv", data, *(sizes if data == "glyphs" else ()), out="my run")
    follow(
        [
            train,
            "mdl evaluate 'my run'",
            "mdl encode 'my run' --bits 8",
            "mdl codelength 'my run' --out labels.bits",
            "mdl embed 'my run' --as s-local",
            "mdl report 'my run' --bits 8",
            "mdl certify 'my run' --bits 8 --out certificate",
        ],
        place,
    )


@pytest.mark.slow
def test_after_each_command_about_no_run(place: Path) -> None:
    torch.save(make_network().state_dict(), place / "net.pt")
    errors = "--samples 60000 --train-errors 1200"
    large = ("--image-size", "32", "--num-train", "120", "--num-test", "40", "--base-channels", "2")
    large += ("--l1-conv", "1.5e-4", "--l1-fc", "5e-5", "--lr", "0.1")  # most weights are zero
    for sparse in ("never", "always"):
        line = train_line("s-fc", "glyphs", *large, "--sparse", sparse, out=sparse)
        done = call_here(*shlex.split(line)[1:], folder=place)
        assert done.returncode == 0, done.stderr
    follow(
        [
            f"mdl bound net.pt {errors}",
            "mdl bound net.pt --lengths-only",
            "mdl encode net.pt --format float32 --out other.mdl",
            f"mdl bound other.mdl {errors}",
            "mdl budget --target 0.2 --samples 1000",
            "mdl scaling --image-size 8",
            "mdl scaling --image-size 8 --full",
            "mdl scaling --plot figure.png",
            "mdl bench --quick --only optimizer --rounds 2 --weights 20000",
            "mdl sparse never always",
        ],
        place,
    )


@pytest.mark.slow
def test_after_training_on_mnist(place: Path, shared_data: Path) -> None:
    few = ("--num-train", "120", "--num-test", "40", "--validation", "20")
    follow([train_line("s-conv", str(shared_data / "mnist"), *few), "mdl evaluate run"], place)


@pytest.mark.slow
@pytest.mark.usefixtures("trials_here")
def test_after_a_sweep_and_a_table_of_the_paper(place: Path) -> None:
    sweep = ("mdl", *TINY, "--data", "glyphs", "--store", "my store")
    follow([shlex.join(sweep), "mdl reproduce table3 --store paper"], place)
