"""Certificates that count on fresh images: hold-out bounds, and targets by way of a surrogate."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import beta

from analysis.certify.certify import certify
from analysis.certify.errors import decide
from analysis.certify.folder import JSON_FILE, PREDICTIONS_FILE, json_checksum
from analysis.certify.predictions import load_predictions, save_predictions
from analysis.certify.verify import verify
from analysis.codes.checkpoint_message import message_network
from analysis.codes.network_code import Codeword
from tests.analysis.certify.test_certificate import make_codeword
from training.data.generators.glyphs import GLYPHS
from training.data.loading import load_dataset
from training.errors import CheckpointError, DataError
from training.spec.config import DataConfig

DATA = DataConfig(image_size=8, num_train=120, num_test=50, validation=20, seed=3)
DELTA = 0.1


@pytest.fixture(scope="module")
def codeword() -> Codeword:
    return make_codeword()


@pytest.fixture(scope="module")
def answers(codeword: Codeword) -> np.ndarray:
    """A target that does as the network does but for every fifth test image."""
    images = load_dataset(DATA).test.images
    message = codeword.message
    found = decide(message_network(message), images, message.known_inputs).classes.numpy()
    found[::5] = (found[::5] + 1) % 10
    return found


@pytest.fixture(scope="module")
def folder(
    codeword: Codeword, answers: np.ndarray, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    place = tmp_path_factory.mktemp("fresh") / "cert"
    certify(codeword, data=DATA, held_out="test", target=answers, folder=place, delta=DELTA)
    return place


def own_images(place: Path, *, seed: int = 0) -> Path:
    """Images of their own in an .npz file, and some more called training."""
    given = load_dataset(replace(DATA, seed=seed, num_train=40, num_test=30, validation=0))
    arrays = {}
    for name, part in (("train", given.train), ("test", given.test)):
        arrays[f"{name}_images"] = part.images.permute(0, 2, 3, 1).numpy()
        arrays[f"{name}_labels"] = part.labels.numpy() % 5
    np.savez(place, **arrays)
    return place


# --- hold-out ---


@pytest.mark.parametrize("split", ["test", "validation"])
def test_the_better_of_bits_and_held_out_images(
    codeword: Codeword, split: str, tmp_path: Path
) -> None:
    made = certify(codeword, data=DATA, held_out=split, folder=tmp_path / "cert", delta=DELTA)
    plain = certify(codeword, data=DATA, delta=DELTA)
    count = plain.test if split == "test" else plain.held_out
    assert made.fresh is not None and count is not None
    assert made.fresh.count == count
    e, m = count.num_errors, count.num_samples
    limit = beta.ppf(1 - DELTA / 2, e + 1, m - e)  # these bits prove nothing
    assert made.bound == pytest.approx(limit, rel=1e-9)
    assert verify(tmp_path / "cert").certificate == made
    stated = json.loads((tmp_path / "cert" / JSON_FILE).read_text())
    assert stated["version"] == 2
    assert stated["fresh"]["hold_out_bound"] == stated["bound"] == made.bound
    assert stated["fresh"]["delta_each"] == DELTA / 2


def test_without_fresh_images_nothing_is_new(codeword: Codeword) -> None:
    plain = certify(codeword, data=DATA).to_dict()
    assert plain["version"] == 1
    assert "fresh" not in plain


def test_images_of_their_own(codeword: Codeword, tmp_path: Path) -> None:
    own = own_images(tmp_path / "own.npz")
    with pytest.raises(DataError, match=r"other classes \(0, 1, 2.*predictions"):
        certify(codeword, data=DATA, held_out="test", images=str(own))
    target = np.arange(40) % 10
    made = certify(
        codeword,
        data=DATA,
        held_out="training",
        images=str(own),
        target=target,
        folder=tmp_path / "cert",
    )
    assert made.fresh is not None and made.fresh.data is not None
    assert made.fresh.count.num_samples == 40
    assert verify(tmp_path / "cert", images=str(own)).certificate == made
    (line,) = verify(tmp_path / "cert").differences
    assert "own" in line
    other = own_images(tmp_path / "other.npz", seed=1)
    (line,) = verify(tmp_path / "cert", images=str(other)).differences
    assert "fresh.data.fingerprint" in line


# --- a target ---


def test_disagreements_by_another_route(
    codeword: Codeword, answers: np.ndarray, folder: Path
) -> None:
    found = verify(folder)
    assert found.ok, found.differences
    made = found.certificate
    assert made is not None and made.fresh is not None
    images = load_dataset(DATA).test.images
    message = codeword.message
    given = decide(message_network(message), images, message.known_inputs)
    clear = given.margins.numpy() > 1e-9  # of a tie the surrogate has no class
    differences = int(((given.classes.numpy() != answers) | ~clear).sum())
    assert made.fresh.count.num_errors == differences >= 10
    d, n = differences, 50
    parts = made.fresh.parts(made.errors, made.description_bits, DELTA)
    assert parts[1] == pytest.approx(beta.ppf(1 - DELTA / 2, d + 1, n - d), rel=1e-9)
    assert made.bound == min(1.0, np.nextafter(sum(parts), np.inf))
    assert str(made).startswith("A target by way of s-conv on glyphs: ")
    stored = load_predictions(folder / PREDICTIONS_FILE, 50, 10)
    assert torch.equal(stored, torch.from_numpy(answers))


def test_names_do_as_well_as_numbers(codeword: Codeword, answers: np.ndarray, folder: Path) -> None:
    named = [GLYPHS.class_names[each] for each in answers]
    made = certify(codeword, data=DATA, held_out="test", target=named, delta=DELTA)
    assert made == verify(folder).certificate


def test_what_is_changed_is_found(folder: Path, answers: np.ndarray, tmp_path: Path) -> None:
    place = tmp_path / "cert"
    shutil.copytree(folder, place)
    other = answers.copy()
    other[0] = (other[0] + 1) % 10
    save_predictions(torch.from_numpy(other), 10, place / PREDICTIONS_FILE)
    assert any("predictions_sha256" in line for line in verify(place).differences)
    (place / PREDICTIONS_FILE).unlink()
    assert any("no such file" in line for line in verify(place).differences)
    shutil.copy(folder / PREDICTIONS_FILE, place)
    assert verify(place).ok


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"split": "training"}, "cannot be training"),
        ({"split": "validation"}, "give a|take"),  # another number of predictions
        ({"split": 3}, "must be text"),
        ({"split": "all"}, "must be one of"),
        ({"data": 7}, "must be of type dict"),
        ({"predictions_sha256": None}, "num_disagreements"),
        ({"num_disagreements": 0}, "num_disagreements"),
        ({"disagreement_bound": 0.01}, "disagreement_bound"),
        ({"delta_each": 0.1}, "delta_each"),
        ({"assumption": "none"}, "assumption"),
    ],
)
def test_a_forger_with_a_seal_of_his_own(
    changes: dict[str, object], words: str, folder: Path, tmp_path: Path
) -> None:
    place = tmp_path / "cert"
    shutil.copytree(folder, place)
    contents = json.loads((place / JSON_FILE).read_text())
    contents["fresh"] |= changes
    contents["seal"] = json_checksum(contents)
    (place / JSON_FILE).write_text(json.dumps(contents))
    found = verify(place)
    assert not found.ok
    assert any(part in line for line in found.differences for part in words.split("|"))


def test_a_certificate_without_its_fresh_images_is_another(folder: Path, tmp_path: Path) -> None:
    place = tmp_path / "cert"
    shutil.copytree(folder, place)
    contents = json.loads((place / JSON_FILE).read_text())
    for fresh in (None, "x"):
        contents["fresh"] = fresh
        contents["seal"] = json_checksum(contents)
        (place / JSON_FILE).write_text(json.dumps(contents))
        assert not verify(place).ok


# --- what is refused ---


def test_images_that_are_not_fresh(codeword: Codeword, tmp_path: Path) -> None:
    for split in ("training", "both"):
        with pytest.raises(ValueError, match="held_out"):
            certify(codeword, data=DATA, held_out=split)
    with pytest.raises(DataError, match="no validation images"):
        certify(codeword, data=replace(DATA, validation=0), held_out="validation")
    whole = replace(DATA, validation=0)
    with pytest.raises(DataError, match="among the 120 that may have trained"):
        certify(codeword, data=whole, held_out="training", images=whole, target=np.zeros(120, int))
    with pytest.raises(ValueError, match="target and images take held_out"):
        certify(codeword, data=DATA, target=np.zeros(50, int))
    small = own_images(tmp_path / "own.npz")
    with pytest.raises(DataError, match=r"50 predictions, and .* has 30 images"):
        certify(codeword, data=DATA, held_out="test", images=str(small), target=np.zeros(50, int))


def test_shared_images_are_told(codeword: Codeword) -> None:
    more = replace(DATA, validation=0, num_train=200)
    made = certify(codeword, data=DATA, held_out="training", images=more, target=np.zeros(200, int))
    assert made.fresh is not None
    assert made.fresh.remarks[0].startswith("100 of the 200 training images are among the samples")


def test_damaged_predictions(folder: Path, tmp_path: Path) -> None:
    data, path = (folder / PREDICTIONS_FILE).read_bytes(), tmp_path / PREDICTIONS_FILE
    for bit in range(8 * len(data)):
        changed = bytearray(data)
        changed[bit >> 3] ^= 1 << (bit & 7)
        path.write_bytes(changed)
        with pytest.raises(CheckpointError, match=PREDICTIONS_FILE):
            load_predictions(path, 50, 10)
    for wrong in (data[:-1], data + b"\0", b"", data[:20]):
        path.write_bytes(wrong)
        with pytest.raises(CheckpointError, match=PREDICTIONS_FILE):
            load_predictions(path, 50, 10)
