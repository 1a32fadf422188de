"""Every bit of a certificate, of its codeword and of a stored result is guarded."""

import random
from pathlib import Path

import pytest

from analysis.certify.folder import BITS_FILE, CHECKSUM, JSON_FILE, json_checksum, read_certificate
from analysis.codes.bit_file import load_codeword
from training.errors import CheckpointError

FOLDER = Path(__file__).resolve().parents[3] / "results" / "certificates" / "mnist"


def flipped(data: bytes, bit: int) -> bytes:
    changed = bytearray(data)
    changed[bit >> 3] ^= 1 << (bit & 7)
    return bytes(changed)


def is_sound(folder: Path) -> bool:
    """Whether the JSON can be read, names what it did, and its seal fits."""
    try:
        contents = read_certificate(folder)
    except CheckpointError as error:
        assert JSON_FILE in str(error)
        assert "\n" not in str(error)
        return False
    return contents.get(CHECKSUM) == json_checksum(contents)


@pytest.mark.parametrize("share", [0.02, pytest.param(1.0, marks=pytest.mark.slow)])
def test_every_bit_of_the_numbers(share: float, tmp_path: Path) -> None:
    data, path = (FOLDER / JSON_FILE).read_bytes(), tmp_path / JSON_FILE
    every = range(8 * len(data))
    for bit in random.Random(0).sample(every, int(share * len(every))):
        path.write_bytes(flipped(data, bit))
        assert not is_sound(tmp_path), (bit, data[bit >> 3 :][:20])
    path.write_bytes(data)
    assert is_sound(tmp_path)


@pytest.mark.parametrize(
    ("old", "new"), [("0.05", "0.050"), ("0.05", "5e-2"), ("0.05", "0.05000000000000000001")]
)
def test_numbers_written_in_another_way(old: str, new: str, tmp_path: Path) -> None:
    text = (FOLDER / JSON_FILE).read_text()
    assert f'"delta": {old}' in text
    (tmp_path / JSON_FILE).write_text(text.replace(f'"delta": {old}', f'"delta": {new}'))
    with pytest.raises(CheckpointError, match="which Python writes in another way"):
        read_certificate(tmp_path)


def test_every_bit_of_the_codeword(tmp_path: Path) -> None:
    data, path = (FOLDER / BITS_FILE).read_bytes(), tmp_path / BITS_FILE
    bits = range(8 * len(data))
    for bit in [*bits[:200], *random.Random(0).sample(bits[200:], 300), *bits[-8:]]:
        path.write_bytes(flipped(data, bit))
        with pytest.raises(CheckpointError, match=r"not a file of bits|its checksum does not fit"):
            load_codeword(path)
