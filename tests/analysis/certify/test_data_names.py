"""A certificate's data name is that of its images, or is said to be nobody's word but its own."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from analysis.certify import images as certified_images
from analysis.certify.folder import JSON_FILE, json_checksum
from analysis.certify.images import KNOWN_IMAGES, CertifiedData, load_images
from analysis.certify.verify import verify
from tests.analysis.certify.test_certificate import certify, make_codeword
from tests.training.data.test_loading import write_images
from training.data.loading import load_dataset
from training.spec.config import DataConfig


def rename(folder: Path, name: str) -> None:
    """As a forger does, with a new seal."""
    contents = json.loads((folder / JSON_FILE).read_text())
    contents["data"]["name"] = name
    contents["seal"] = json_checksum(contents)
    (folder / JSON_FILE).write_text(json.dumps(contents))


def test_glyphs_under_another_name_are_noticed(tmp_path: Path) -> None:
    certify(make_codeword(), tmp_path / "cert")
    made = verify(tmp_path / "cert").certificate
    assert made is not None
    assert made.data.title == "glyphs"
    rename(tmp_path / "cert", "MNIST")
    found = verify(tmp_path / "cert", data="glyphs")
    assert found.differences == (
        "data.name: the certificate says 'MNIST', recomputed it is 'glyphs'",
    )


def test_images_that_nobody_knows_have_a_name_that_is_not_verified(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_images(tmp_path / "pets")
    config = DataConfig(source=str(tmp_path / "pets"), image_size=8)
    record, _ = load_images(config)
    whole = load_dataset(config)
    assert record.title == f"{whole.name} (name not verified, images {whole.fingerprint[:12]})"
    assert CertifiedData.from_dict(record.to_dict()) == record
    assert "is_known" not in record.to_dict()
    # Once they are known, they have their name wherever they lie, and so have the first of them.
    monkeypatch.setitem(certified_images.KNOWN_IMAGES, whole.fingerprint, "Pets")
    for few in (config, replace(config, num_train=5, num_test=5)):
        assert load_images(few)[0].title == "Pets"


@pytest.mark.slow
@pytest.mark.parametrize(("folder", "name"), [("mnist", "MNIST"), ("cifar10", "CIFAR-10 (JPEG)")])
def test_the_sets_that_the_project_knows(folder: str, name: str, shared_data: Path) -> None:
    assert name in KNOWN_IMAGES.values()
    record, _ = load_images(DataConfig(source=str(shared_data / folder), num_train=500))
    assert (record.title, record.num_train) == (name, 500)
