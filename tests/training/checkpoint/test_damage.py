"""Every bit of a checkpoint counts: one that is flipped, wherever it lies, is noticed."""

import random
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterable
from io import BytesIO
from pathlib import Path

import pytest
import torch

from tests.training.checkpoint.test_checkpoint import make_checkpoint
from training.checkpoint.checkpoint import load_checkpoint, save_checkpoint
from training.checkpoint.lazy import open_checkpoint
from training.errors import CheckpointError
from training.spec.architectures import NetworkSpec
from training.system.files import FileBytes
from training.tensor_files.torch_archive import read_torch_archive
from training.tensor_files.zip_records import join_checksums, read_records

CORPUS = Path(__file__).resolve().parents[2] / "data" / "checkpoints"


def read_archive(path: Path) -> None:
    """The archive alone, without what its values mean for a checkpoint."""
    with FileBytes(path) as source:
        contents = read_torch_archive(source, is_own=True)
        try:
            next(iter(contents["state"].values())).stored.source.check()
        except ValueError as error:
            raise CheckpointError(f"{path}: {error}") from error


def open_whole(path: Path) -> None:
    """The checkpoint, as commands open it."""
    with open_checkpoint(path) as checkpoint:
        checkpoint.check_bytes()


def notices(path: Path, read: Callable[[Path], None] = open_whole) -> bool:
    """Whether reading a file refuses it, in one line that names it."""
    try:
        read(path)
    except CheckpointError as error:
        assert str(path) in str(error)
        assert "\n" not in str(error)
        return True
    return False


def unnoticed(
    path: Path, bits: Iterable[int], read: Callable[[Path], None] = open_whole
) -> list[int]:
    whole, found = path.read_bytes(), []
    with path.open("r+b", buffering=0) as file:
        for bit in bits:
            place = bit >> 3
            file.seek(place)
            file.write(bytes([whole[place] ^ 1 << (bit & 7)]))
            if not notices(path, read):
                found.append(bit)
            file.seek(place)
            file.write(whole[place : place + 1])
    assert not notices(path, read)
    return found


def test_a_sample_of_the_bits_of_a_small_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "a.pt"
    path.write_bytes((CORPUS / "good_folded.pt").read_bytes())
    assert not unnoticed(path, random.Random(0).sample(range(8 * path.stat().st_size), 300))


@pytest.mark.slow
def test_all_bits_of_a_small_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "a.pt"
    path.write_bytes((CORPUS / "good_folded.pt").read_bytes())
    assert not unnoticed(path, range(8 * path.stat().st_size), read_archive)


@pytest.mark.parametrize("density", [0.05, 1.0])
def test_a_sample_of_the_bits_of_a_large_one(density: float, tmp_path: Path) -> None:
    spec = NetworkSpec(name="s-fc", image_size=16, num_classes=10, base_channels=8)
    path = tmp_path / "a.pt"
    save_checkpoint(make_checkpoint(density, spec), path)
    assert not unnoticed(path, random.Random(1).sample(range(8 * path.stat().st_size), 40))


def test_all_that_torch_saves_is_as_torch_writes_it(tmp_path: Path) -> None:
    torch.save(
        {"none": torch.zeros(0), "one": torch.ones(()), "many": torch.ones(9)}, tmp_path / "a"
    )
    with FileBytes(tmp_path / "a") as source:
        records = read_records(source)
        assert records.is_as_written
        records.check()


@pytest.mark.parametrize("sizes", [(0, 5), (5, 0), (1, 1), (1000, 7), (3, 100_000)])
def test_checksums_of_two_pieces_join(sizes: tuple[int, int]) -> None:
    first, second = (random.Random(size).randbytes(size) for size in sizes)
    joined = join_checksums(zlib.crc32(first), zlib.crc32(second), len(second))
    assert joined == zlib.crc32(first + second)


def test_pieces_in_any_order_are_joined(tmp_path: Path) -> None:
    torch.save({"a": torch.arange(1000)}, tmp_path / "a")
    with FileBytes(tmp_path / "a") as source:
        tensor = read_torch_archive(source)["a"]
        for first, count in ((600, 400), (100, 50), (300, 300)):
            tensor.read_piece(first, count)
        tensor.source.check()
    data = bytearray((tmp_path / "a").read_bytes())
    data[tensor.start + 8 * 120] ^= 1
    (tmp_path / "a").write_bytes(data)
    for pieces in ((), ((100, 50),), ((0, 100), (100, 900))):
        with FileBytes(tmp_path / "a") as source:
            tensor = read_torch_archive(source)["a"]
            for first, count in pieces:
                tensor.read_piece(first, count)
            with pytest.raises(ValueError, match="'a/data/0' in it is not what was written"):
                tensor.source.check()


def rewritten(change: str) -> bytes:
    """The good checkpoint as another program could have packed it."""
    file = BytesIO()
    method = zipfile.ZIP_DEFLATED if change == "compressed" else zipfile.ZIP_STORED
    with zipfile.ZipFile(CORPUS / "good.pt") as good, zipfile.ZipFile(file, "w", method) as packed:
        for name in good.namelist():
            packed.writestr(name, good.read(name))
        if change == "twice":
            with pytest.warns(UserWarning, match="Duplicate"):
                packed.writestr(good.namelist()[-1], b"")
        if change == "comment":
            packed.comment = b"hello"
    data = file.getvalue()
    if change == "encrypted":
        at = data.index(b"PK\x01\x02") + 8
        data = data[:at] + b"\x01" + data[at + 1 :]
    return {"behind": data + b"x", "before": b"x" + data}.get(change, data)


@pytest.mark.parametrize(
    "change", ["", "compressed", "twice", "comment", "encrypted", "behind", "before"]
)
def test_archives_that_torch_does_not_write_are_refused(change: str, tmp_path: Path) -> None:
    (tmp_path / "a.pt").write_bytes(rewritten(change))
    assert notices(tmp_path / "a.pt")


def wide_archive() -> bytes:
    """One record as torch writes those beyond 4 GiB: its place stands in a field of 64 bits."""
    name, data, sum_ = b"a/data.pkl", b"N.", zlib.crc32(b"N.")
    wide = b"\x01\x00\x08\x00" + bytes(8)  # it begins at 0
    fill = b"FB\x04\x00ZZZZ"
    flags = struct.pack("<5H", 0, 0x0808, 0, 0, 0)
    header = b"PK\x03\x04" + flags + struct.pack("<3L2H", 0, 0, 0, len(name), len(wide + fill))
    record = header + name + wide + fill + data + b"PK\x07\x08" + struct.pack("<L2Q", sum_, 2, 2)
    sizes = struct.pack("<3L5H2L", sum_, 2, 2, len(name), len(wide), 0, 0, 0, 0, 2**32 - 1)
    entry = b"PK\x01\x02" + b"\0\0" + flags + sizes + name + wide
    place = len(record)
    end = struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", 44, 0x31E, 45, 0, 0, 1, 1, len(entry), place)
    locator = struct.pack("<4sLQL", b"PK\x06\x07", 0, place + len(entry), 1)
    short = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 1, 1, len(entry), place, 0)
    return record + entry + end + locator + short


def test_every_bit_of_an_archive_with_numbers_of_64_bits(tmp_path: Path) -> None:
    path, data = tmp_path / "a.pt", wide_archive()
    path.write_bytes(data)
    with FileBytes(path) as source:
        assert read_torch_archive(source, is_own=True) is None
    # Of the only record nothing else says by what program it was made.
    made_by = data.index(b"PK\x01\x02") + 4
    for bit in range(8 * len(data)):
        changed_data = bytearray(data)
        changed_data[bit >> 3] ^= 1 << (bit & 7)
        path.write_bytes(changed_data)
        if bit >> 3 not in range(made_by, made_by + 2) and bit >> 3 not in range(*fixed(data)):
            with FileBytes(path) as source, pytest.raises(CheckpointError):
                read_torch_archive(source, is_own=True)


def fixed(data: bytes) -> tuple[int, int]:
    """The attributes of the only entry, which nothing else repeats."""
    entry = data.index(b"PK\x01\x02")
    return entry + 36, entry + 42


def with_end(data: bytes, **numbers: int) -> bytes:
    """The file with other numbers in its end in 64 bits."""
    place = data.rindex(b"PK\x06\x06")
    names = ("count", "all", "size", "offset")
    found = dict(zip(names, struct.unpack_from("<4Q", data, place + 24), strict=True)) | numbers
    return data[: place + 24] + struct.pack("<4Q", *found.values()) + data[place + 56 :]


@pytest.mark.parametrize(
    "numbers",
    [
        {"count": 2**63, "all": 2**63},
        {"size": 2**40},
        {"offset": 2**62},
        {"count": 0, "all": 0},
        {"size": 0},
    ],
    ids=str,
)
def test_a_directory_that_the_file_does_not_hold(numbers: dict[str, int], tmp_path: Path) -> None:
    (tmp_path / "a.pt").write_bytes(with_end((CORPUS / "good.pt").read_bytes(), **numbers))
    assert notices(tmp_path / "a.pt")


def test_a_file_without_checksums_is_read(tmp_path: Path) -> None:
    before = torch.serialization.get_crc32_options()
    torch.serialization.set_crc32_options(False)
    try:
        save_checkpoint(make_checkpoint(), tmp_path / "a.pt")
    finally:
        torch.serialization.set_crc32_options(before)
    assert load_checkpoint(tmp_path / "a.pt").network == make_checkpoint().network
