"""Files of labels: the round trip, and one line for every kind of damage."""

from pathlib import Path

import numpy as np
import pytest

from analysis.codelength.label_code import encode_labels
from analysis.codelength.label_file import MAGIC, load_labels, save_labels
from analysis.codes.bit_file import compute_checksum
from training.errors import CheckpointError

RNG = np.random.default_rng(0)
LABELS = RNG.integers(0, 5, 300)
LOGITS = RNG.normal(size=(300, 5)) + 3 * np.eye(5)[LABELS]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    save_labels(encode_labels(LOGITS, LABELS), tmp_path / "labels.bits")
    return tmp_path / "labels.bits"


def framed(data: bytes) -> bytes:
    return MAGIC + compute_checksum(data) + data


def test_round_trip(path: Path) -> None:
    written = encode_labels(LOGITS, LABELS)
    assert path.read_bytes() == framed(written.data)
    assert load_labels(path, LOGITS).labels.tolist() == LABELS.tolist()


def test_damage_is_one_line(path: Path) -> None:
    good = path.read_bytes()
    for content, said in (
        (b"", "not a file of labels"),
        (b"mdl-bits" + good[8:], "not a file of labels"),
        (good[:-1], "checksum"),
        (good[:30] + bytes([good[30] ^ 1]) + good[31:], "checksum"),
        (framed(good[24:-3]), "cut short"),
        (framed(good[24:] + b"\0"), "do not end where"),
        (framed(good[24:-1] + bytes([good[-1] | 1])), "do not end where|damaged"),
    ):
        path.write_bytes(content)
        with pytest.raises(CheckpointError, match=said) as error:
            load_labels(path, LOGITS)
        assert str(error.value).startswith(f"{path}: ")
        assert "\n" not in str(error.value)


def test_labels_of_other_images_are_not_read_as_if_they_were_these(path: Path) -> None:
    with pytest.raises(CheckpointError, match="was it written with this network and these images"):
        load_labels(path, LOGITS[:200])
    with pytest.raises(CheckpointError, match="no such file"):
        load_labels(path.with_name("other"), LOGITS)
