"""The whole path in one call: the same certificate from each form of a network."""

from dataclasses import replace
from pathlib import Path

import pytest

from analysis.certify.certify import certify
from analysis.certify.folder import BITS_FILE
from analysis.certify.verify import verify
from analysis.codes.bit_file import load_codeword
from training.checkpoint.checkpoint import Checkpoint, save_checkpoint
from training.checkpoint.record import DataRecord
from training.data.loading import load_dataset
from training.errors import CheckpointError, DataError
from training.networks.models import build_model
from training.spec.config import DataConfig
from training.spec.normalization import fixed_normalization

DATA = DataConfig(image_size=8, num_train=120, num_test=20, validation=20)


@pytest.fixture(scope="module")
def checkpoint() -> Checkpoint:
    model = build_model("s-conv", image_size=8, num_classes=10, base_channels=1)
    return Checkpoint(
        network=model.spec,
        state=model.state_dict(),
        data=DataRecord.of(DATA, load_dataset(DATA), num_samples=100, num_validation=20),
        normalization=fixed_normalization(3),
    )


def test_every_form_gives_the_same_certificate(checkpoint: Checkpoint, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    made = certify(
        checkpoint,
        bits=8,
        folder=tmp_path / "cert",
        progress=lambda done, total: told.append((done, total)),
    )
    assert told[-1] == (140, 140)
    assert made.errors.num_samples == 100
    assert made.held_out is not None
    assert made.held_out.num_samples == 20
    assert verify(tmp_path / "cert").certificate == made
    save_checkpoint(checkpoint, tmp_path / "checkpoint.pt")
    assert certify(tmp_path, number_format="e4m3fn") == made
    bits = tmp_path / "cert" / BITS_FILE
    assert certify(bits, data=DATA) == certify(load_codeword(bits), data=DATA) == made


def test_validation_images_may_be_counted(checkpoint: Checkpoint) -> None:
    made = certify(checkpoint, bits=8, count_validation=True)
    assert made.errors.num_samples == 120
    assert made.held_out is None


def test_what_is_refused(checkpoint: Checkpoint, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="does not say what data"):
        certify(replace(checkpoint, data=None))
    with pytest.raises(ValueError, match="data must be a place"):
        certify(checkpoint, data=DATA)
    record = checkpoint.known_data
    with pytest.raises(DataError, match="not the images that the checkpoint was made with"):
        certify(replace(checkpoint, data=replace(record, fingerprint="0" * 64)))
    with pytest.raises(CheckpointError, match="training saw 99 images"):
        certify(replace(checkpoint, data=replace(record, num_samples=99)))
    made = certify(checkpoint, bits=8, folder=tmp_path / "cert")
    assert made.data.name == "glyphs"
    with pytest.raises(ValueError, match="pass data"):
        certify(tmp_path / "cert" / BITS_FILE)
    with pytest.raises(FileExistsError, match="not empty"):
        certify(checkpoint, folder=tmp_path / "cert")
