"""`--prior` of encode, decode, compress, certify and verify."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from analysis.certify.images import load_images
from analysis.certify.prior import kind_of, load_prior
from analysis.codes.bit_file import load_codeword
from analysis.quantize.formats import find_format
from training.checkpoint.checkpoint import load_checkpoint
from training.data.generators.glyphs import GLYPHS
from training.data.generators.handwriting import HANDWRITING
from training.run.evaluate import evaluation_data
from training.spec.config import DataConfig

QUICK = ("--epochs", "2", "--batch-size", "20", "--trials", "4", "--threads", "1")
DATA = ("--data", "handwriting", "--image-size", "8", "--num-train", "150")
RECIPE = ("compress", "--recipe", "mnist-tight", *DATA, *QUICK)
GLYPHS_RECIPE = ("compress", "--recipe", "mnist-tight", "--data", "glyphs", *QUICK)


def text(done) -> str:
    return " ".join(done.stdout.split())


@pytest.fixture(scope="module")
def work(mdl, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A prior of other digits, one of a part of these, and what starts at each."""
    place = tmp_path_factory.mktemp("priors")
    for name, options in (
        ("prior", ("--data-seed", "5")),
        ("part", ("--validation", "60")),
        ("short", ("--prior", str(place / "prior"))),
        ("rest", ("--prior", str(place / "part"))),
    ):
        done = mdl(*RECIPE, *options, "-o", str(place / name))
        assert done.returncode == 0, done.stderr
        (place / f"{name}.txt").write_text(done.stdout)
    return place


def test_compress_starts_at_the_prior(mdl, work: Path) -> None:
    report = json.loads((work / "short" / "compression.json").read_text())
    own = load_codeword(work / "prior" / "network.mdl")
    assert (report["curve"][0]["stage"], report["curve"][0]["description_bits"]) == ("start", 3)
    assert report["prior"] == {
        "kind": "independent",
        "sha256": own.sha256,
        "description_bits": own.num_bits,
    }
    assert report["num_samples"] == 150
    assert (work / "short" / "prior.mdl").read_bytes() == (
        work / "prior" / "network.mdl"
    ).read_bytes()
    codeword = load_codeword(work / "short" / "network.mdl")
    assert codeword.num_bits == report["description_bits"] < own.num_bits / 2
    said = " ".join((work / "short.txt").read_text().split())
    assert f"Relative to a prior (independent) of {own.num_bits:,} bits" in said
    assert f"--prior {work / 'prior'}" in said
    made_by = load_checkpoint(work / "short").metrics["compress"]
    assert (made_by["recipe"], made_by["prior_sha256"]) == ("mnist-tight", own.sha256)
    for name, is_told in (("short", True), ("prior", False)):
        done = mdl("bound", str(work / name))
        assert done.returncode == 0, done.stderr
        assert ("trained from a prior: mdl certify --prior counts" in text(done)) == is_told


def test_a_split_prior_leaves_its_images_to_be_counted(work: Path) -> None:
    report = json.loads((work / "rest" / "compression.json").read_text())
    assert (report["prior"]["kind"], report["num_samples"]) == ("split", 60)
    part = load_checkpoint(work / "part")
    assert (part.known_data.num_samples, part.known_data.num_validation) == (90, 60)
    assert load_checkpoint(work / "rest").known_data.num_samples == 150  # with the prior's


def test_images_of_a_split_prior_are_its_own(mdl, work: Path, tmp_path: Path) -> None:
    """Whatever is left out, the checkpoint says what it was made of; what differs is refused."""
    prior = ("--prior", str(work / "part"), "--data", "handwriting")
    command = ("compress", "--recipe", "mnist-tight", *prior, *QUICK)
    done = mdl(*command, "-o", str(tmp_path / "short"))
    assert done.returncode == 0, done.stderr
    assert len(evaluation_data(load_checkpoint(tmp_path / "short")).train) == 150
    for option in ("--num-train", "--data-seed"):
        done = mdl(*command, option, "70", "-o", str(tmp_path / "other"))
        assert done.returncode != 0
        assert f"leave out {option}: the split prior has its own" in done.stderr
        assert not (tmp_path / "other").exists()


def test_a_split_prior_of_more_images_serves_a_smaller_data_set(
    mdl, work: Path, tmp_path: Path
) -> None:
    data = HANDWRITING.draw(40, image_size=8, seed=9)
    images, labels = data[0][:, 0].numpy(), data[1].numpy()
    few = tmp_path / "few.npz"
    np.savez(few, x_train=images, y_train=labels, x_test=images[:9], y_test=labels[:9])
    prior = ("--prior", str(work / "part"), "--data", str(few))
    done = mdl("compress", "--recipe", "mnist-tight", *prior, *QUICK, "-o", str(tmp_path / "out"))
    assert done.returncode == 0, done.stderr
    assert "Relative to a prior (independent)" in text(done)


def test_compressing_again_does_not_make_a_prior_independent(
    mdl, work: Path, tmp_path: Path
) -> None:
    """What `short` began at may have seen any images, so what comes from `short` is trusted."""
    quick = ("--epochs", "1", "--levels", "1", "--batch-size", "50", "--threads", "1")
    done = mdl("compress", str(work / "short"), *quick, "-o", str(tmp_path / "again"))
    assert done.returncode == 0, done.stderr
    for made in (work / "short" / "checkpoint.pt", tmp_path / "again"):
        data = load_images(DataConfig(source="glyphs", image_size=8, num_train=20))[0]
        assert kind_of(load_prior(made, find_format(8)).origin, data) == "trusted"


def test_encoded_and_decoded(mdl, work: Path, tmp_path: Path) -> None:
    bits = tmp_path / "net.mdl"
    prior = ("--prior", str(work / "prior"))
    done = mdl("encode", str(work / "short"), "-o", str(bits), *prior)
    assert done.returncode == 0, done.stderr
    assert "(relative code)" in text(done)
    assert f"mdl decode {bits} --prior" in text(done)
    assert (
        load_codeword(work / "short" / "network.mdl").num_bits
        == load_codeword(bits, prior=load_codeword(work / "prior" / "network.mdl")).num_bits
    )
    done = mdl("decode", str(bits), "-o", str(tmp_path / "back.pt"), *prior)
    assert done.returncode == 0, done.stderr
    found, own = load_checkpoint(tmp_path / "back.pt"), load_checkpoint(work / "short")
    assert all((found.state[name] == own.state[name]).all() for name in own.state)
    done = mdl("decode", str(work / "short" / "network.mdl"), "-o", str(tmp_path / "beside.pt"))
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("network", "prior", "kind", "num"),
    [
        ("short", "prior", "independent", 150),
        ("rest", "part", "split", 60),
        ("short", "prior/network.mdl", "trusted", 150),
    ],
)
def test_certified_and_verified(
    mdl, work: Path, tmp_path: Path, *, network: str, prior: str, kind: str, num: int
) -> None:
    cert = tmp_path / "cert"
    bits = work / network / "network.mdl"
    options = ("--data", "handwriting", "--num-train", "150")
    done = mdl("certify", str(bits), *options, "--prior", str(work / prior), "-o", str(cert))
    assert done.returncode == 0, done.stderr
    says = json.loads((cert / "certificate.json").read_text())
    assert (says["prior"]["kind"], says["num_samples"]) == (kind, num)
    assert f"relative to a prior ({kind}" in text(done)
    assert says["prior"]["assumption"] in text(done)
    assert ("A plain hold-out of the prior itself" in text(done)) == (kind == "split")
    assert (f"of m = {num} held-out errors" in text(done)) == (kind == "split")
    for full in ((), ("--full",)):
        done = mdl("verify", str(cert), *full)
        assert done.returncode == 0, done.stderr
        assert f"relative to a prior ({kind}" in text(done)
    done = mdl("verify", str(cert), "--json")
    assert json.loads(done.stdout)["prior"] == says["prior"]


@pytest.mark.slow
def test_a_prior_of_leaves_for_images_in_a_folder(mdl, tmp_path: Path) -> None:
    """It is independent of them: its folder says that it was trained on leaves, from a seed."""
    folder = tmp_path / "images"
    for split, count in (("train", 60), ("test", 10)):
        for number, image in enumerate(GLYPHS.draw(count, image_size=8, stream=split)[0]):
            place = folder / split / "ab"[number % 2]
            place.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image.permute(1, 2, 0).numpy()).save(place / f"{number}.png")
    prior, short, cert = (str(tmp_path / name) for name in ("prior", "short", "cert"))
    recipe = ("compress", "--recipe", "mnist-tight", *QUICK)
    leaves = ("--data", "leaves", "--image-size", "8", "--num-train", "100")
    own = ("--data", str(folder), "--prior", prior)
    for arguments in (
        (*recipe, *leaves, "-o", prior),
        (*recipe, *own, "-o", short),
        ("certify", f"{short}/network.mdl", *own, "-o", cert),
        ("verify", cert, "--data", str(folder)),
    ):
        done = mdl(*arguments)
        assert done.returncode == 0, (arguments, done.stderr)
    assert "relative to a prior (independent" in text(done)
    says = json.loads((Path(cert) / "certificate.json").read_text())["prior"]
    assert (says["kind"], says["origin"]["data"], says["origin"]["seed"]) == (
        "independent",
        "leaves",
        0,
    )


def test_a_checkpoint_with_a_prior(mdl, work: Path, tmp_path: Path) -> None:
    done = mdl(
        *("certify", str(work / "short"), "--prior", str(work / "prior")),
        *("-o", str(tmp_path / "cert"), "--held-out", "test"),
    )
    assert done.returncode == 0, done.stderr
    says = json.loads((tmp_path / "cert" / "certificate.json").read_text())
    assert (says["version"], says["code"]) == (3, "relative")
    own = json.loads((work / "short" / "compression.json").read_text())["description_bits"]
    assert says["description_bits"] == own  # in the prior's set of numbers, not in bfloat16
    assert says["fresh"]["split"] == "test"
    assert mdl("verify", str(tmp_path / "cert")).returncode == 0


def test_mistakes_get_one_line(mdl, work: Path, trained: Path, tmp_path: Path) -> None:
    out = ("-o", str(tmp_path / "out"))
    bits, own = str(work / "short" / "network.mdl"), ("--prior", str(work / "prior"))
    alone = tmp_path / "alone.mdl"
    alone.write_bytes(Path(bits).read_bytes())
    for code, words, arguments in (
        (2, "give it as --prior", ("certify", bits, "--data", "handwriting", *out)),
        (1, "no prior.mdl lies beside it", ("decode", str(alone), *out)),
        (1, "say nothing without it", ("bound", bits, "--data", "handwriting")),
        (1, "say nothing without it", ("codelength", bits, "--data", "handwriting")),
        (1, "another prior", ("decode", bits, "--prior", str(work / "part"), *out)),
        (1, "bits of its own", ("decode", bits, "--prior", bits, *out)),
        (1, "does not fit the network", ("encode", str(trained), *own, *out)),
        (1, "bits of its own", (*RECIPE, "--prior", str(work / "short"), *out)),
        (1, "images that are counted", (*RECIPE, *own, "--data-seed", "5", *out)),
        (1, "the prior takes 1x8x8", (*RECIPE, "--data", "glyphs", *own, *out)),
        (1, "not in levels", (*GLYPHS_RECIPE, "--prior", str(trained), *out)),
        (2, "takes the settings of a --recipe", ("compress", str(trained), *own, *out)),
        (2, "the prior has its own", (*RECIPE, "--width", "2", *own, *out)),
        (2, "with a prior it is auto", ("encode", str(trained), "--code", "plain", *own, *out)),
    ):
        done = mdl(*arguments)
        assert done.returncode == code, (arguments, done.stderr)
        assert words in " ".join(done.stderr.split()), (words, done.stderr)
        assert done.stdout == "", arguments
        assert not (tmp_path / "out").exists()
