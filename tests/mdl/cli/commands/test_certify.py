"""`mdl certify` and `mdl verify` as processes."""

import json
import shutil
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def cert(mdl, trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("certified") / "cert"
    done = mdl("certify", str(trained), "-o", str(folder), "--bits", "8")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"{folder}: ")
    assert f"mdl verify {folder}" in done.stdout
    return folder


def test_certified_then_verified(mdl, cert: Path) -> None:
    done = mdl("verify", str(cert))
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("verified: ")
    assert done.stderr == ""
    stated = json.loads((cert / "certificate.json").read_text())
    done = mdl("verify", str(cert), "--data", "glyphs", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["ok"] is True
    assert found["num_samples"] == 280
    for name in ("bound", "num_errors", "num_samples", "description_bits", "delta"):
        assert found[name] == stated[name]


def test_the_same_from_a_file_of_bits(mdl, cert: Path, trained: Path, tmp_path: Path) -> None:
    bits = tmp_path / "network.mdl"
    done = mdl("encode", str(trained), "-o", str(bits), "--bits", "8")
    assert done.returncode == 0, done.stderr
    done = mdl(
        "certify",
        str(bits),
        "-o",
        str(tmp_path / "cert"),
        "--data",
        "glyphs",
        "--num-train",
        "300",
        "--num-test",
        "100",
        "--validation",
        "20",
        "--json",
    )
    assert done.returncode == 0, done.stderr
    ours = json.loads((tmp_path / "cert" / "certificate.json").read_text())
    theirs = json.loads((cert / "certificate.json").read_text())
    if ours["code"] == theirs["code"]:  # two codes may tie
        assert ours == theirs
    assert json.loads(done.stdout)["bound"] == ours["bound"]


def test_tampering_is_found_loudly(mdl, cert: Path, tmp_path: Path) -> None:
    place = tmp_path / "cert"
    shutil.copytree(cert, place)
    data = bytearray((place / "network.mdl").read_bytes())
    data[len(data) // 2] ^= 4
    (place / "network.mdl").write_bytes(data)
    done = mdl("verify", str(place), "--json")
    assert done.returncode == 1
    found = json.loads(done.stdout)
    assert found["ok"] is False
    assert found["bound"] is None
    assert done.stderr.startswith("error: ")
    assert len(done.stderr.splitlines()) == len(found["differences"]) == 1

    shutil.copy(cert / "network.mdl", place)
    text = (cert / "certificate.json").read_text()
    number = json.loads(text)["num_errors"]
    (place / "certificate.json").write_text(
        text.replace(f'"num_errors": {number}', f'"num_errors": {number - 1}')
    )
    done = mdl("verify", str(place))
    assert done.returncode == 1
    assert done.stdout == ""
    lines = done.stderr.splitlines()
    assert len(lines) >= 2  # the number, and the checksum
    assert all(line.startswith("error: ") for line in lines)
    assert any("num_errors" in line for line in lines)


def test_mistakes_get_one_line(mdl, cert: Path, trained: Path, tmp_path: Path) -> None:
    from tests.training.data.test_loading import write_images

    write_images(tmp_path / "pets")
    for arguments in (
        ("verify", str(cert), "--data", str(tmp_path / "pets")),
        ("certify", str(trained), "-o", str(cert)),
        ("certify", str(trained), "-o", str(tmp_path / "c"), "--data", str(tmp_path / "pets")),
        ("certify", str(cert / "network.mdl"), "-o", str(tmp_path / "c")),
    ):
        done = mdl(*arguments)
        assert done.returncode == 1, arguments
        assert done.stdout == "", arguments
        assert done.stderr.startswith("error: "), arguments
        assert len(done.stderr.splitlines()) == 1, arguments
    assert not (tmp_path / "c").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--delta", "0"), "δ must lie in (0, 1)"),
        (("--bits", "12"), "bits must be one of"),
        (("--num-train", "10"), "is a checkpoint"),
    ],
)
def test_usage(options: tuple[str, ...], words: str, mdl, trained: Path, tmp_path: Path) -> None:
    done = mdl("certify", str(trained), "-o", str(tmp_path / "cert"), *options)
    assert done.returncode == 2
    assert words in " ".join(done.stderr.split())
