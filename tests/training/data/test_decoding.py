"""What images may be, what is said of them, and what a stranger's image may not do."""

import io
import subprocess
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.training.data.made_sets import encode, load, picture, remarks
from training.data import decoding
from training.data.image_set import Dataset
from training.errors import DataError, OutOfMemoryError
from training.system import memory


def load_images(images: list[bytes | Image.Image], tmp_path: Path, **settings: object) -> Dataset:
    """These images as one of two classes, beside ordinary ones."""
    for split in ("train", "test"):
        for name in ("cat", "dog"):
            (tmp_path / "set" / split / name).mkdir(parents=True)
            picture(len(name + split)).save(tmp_path / "set" / split / name / "0.png")
    for number, image in enumerate(images):
        content = image if isinstance(image, bytes) else encode(image)
        (tmp_path / "set" / "train" / "cat" / f"x{number}.png").write_bytes(content)
    return load(tmp_path / "set", tmp_path / "cache", **settings)


def deep(high: int) -> Image.Image:
    pixels = np.random.default_rng(high).integers(0, high, (8, 8), dtype=np.uint16)
    pixels[0, 0] = high - 1
    return Image.fromarray(pixels)


def clear(colour: int) -> Image.Image:
    """A shape that only transparency shows: one colour everywhere."""
    pixels = np.full((8, 8, 4), colour, dtype=np.uint8)
    pixels[..., 3] = np.random.default_rng(0).integers(0, 256, (8, 8))
    return Image.fromarray(pixels)


def frames() -> bytes:
    stream = io.BytesIO()
    parts = [picture(value, mode="P") for value in (1, 2)]
    parts[0].save(stream, "GIF", save_all=True, append_images=parts[1:])
    return stream.getvalue()


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (clear(3), "1 with transparency, which is dropped"),
        (picture(1, mode="LA"), "1 with transparency, which is dropped"),
        (picture(1, mode="P"), "1 with a palette, read as RGB"),
        (deep(60_000), "1 of 16 bits, of which the upper 8 are kept"),
        (encode(picture(1, mode="CMYK"), "JPEG"), "1 in another colour space, converted to RGB"),
        (encode(picture(1, mode="CMYK"), "TIFF"), "1 in another colour space, converted to RGB"),
        (frames(), "1 of several frames, of which the first is read"),
    ],
)
def test_what_is_converted_is_said(image: bytes | Image.Image, words: str, tmp_path: Path) -> None:
    assert words in remarks(load_images([image], tmp_path))
    again = load(tmp_path / "set", tmp_path / "cache")  # from the cache
    assert words in remarks(again)


def test_16_bits_keep_their_upper_8(tmp_path: Path) -> None:
    image = deep(60_000)
    dataset = load_images([image], tmp_path)
    wanted = (np.asarray(image) >> 8).astype(np.uint8)
    found = [each.numpy() for each in dataset.train.images if (each[0] == each[1]).all()]
    assert any((each[0] == wanted).all() for each in found)
    assert "16-bit pixel" not in remarks(dataset)


@pytest.mark.parametrize(("high", "levels"), [(1024, 4), (4096, 16), (200, 1)])
def test_16_bits_that_are_hardly_used_are_said(high: int, levels: int, tmp_path: Path) -> None:
    assert f"{high - 1:,} of 65,535: {levels} of 256 grey levels are left" in remarks(
        load_images([deep(high)], tmp_path)
    )


def test_training_on_black_is_refused(tmp_path: Path) -> None:
    for split in ("train", "test"):
        for name in ("cat", "dog"):
            (tmp_path / split / name).mkdir(parents=True)
            deep(250).save(tmp_path / split / name / "0.png")
    with pytest.raises(DataError, match=r"each of the 2 training images is constant.*16-bit pixel"):
        load(tmp_path, tmp_path / "cache")


def test_grey_images_among_coloured_ones_are_said(tmp_path: Path) -> None:
    found = remarks(load_images([picture(5, mode="L"), picture(6, mode="L")], tmp_path))
    assert "2 of 6 images are grey; they are made RGB as the others are." in found


def test_images_of_several_sizes_are_told_with_theirs(tmp_path: Path) -> None:
    images: list[bytes | Image.Image] = [picture(1, size=20, width=30), picture(2, size=5)]
    found = remarks(load_images(images, tmp_path, image_size=6))
    assert "Images of 5x5 to 30x20 pixels: the centre square of each is resized to 6x6." in found


def test_no_outside_program_reads_an_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object, **_: object) -> None:
        raise AssertionError(arguments)

    for name in ("run", "call", "check_call", "check_output", "Popen"):
        monkeypatch.setattr(subprocess, name, refuse)
    postscript = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\nshowpage\n%%EOF\n"
    with pytest.raises(DataError, match=r"x0.png is not a readable image \(cannot identify"):
        load_images([postscript], tmp_path)


def test_only_named_formats_are_opened(tmp_path: Path) -> None:
    for name in ("ICO", "TGA", "PCX", "SGI", "DDS"):
        with pytest.raises(DataError, match="not a readable image"):
            load_images([encode(picture(1, size=16), name)], tmp_path / name)


def bomb(side: int) -> bytes:
    """A black grey PNG, a thousandth of what it unpacks to."""

    def chunk(name: bytes, data: bytes) -> bytes:
        checksum = zlib.crc32(name + data).to_bytes(4, "big")
        return len(data).to_bytes(4, "big") + name + data + checksum

    size = side.to_bytes(4, "big")
    head = chunk(b"IHDR", size + size + b"\x08\0\0\0\0")
    data = chunk(b"IDAT", zlib.compress(bytes((side + 1) * min(side, 2000)), 9))
    return b"\x89PNG\r\n\x1a\n" + head + data + chunk(b"IEND", b"")


def test_one_image_is_bounded(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"x0.png is not a readable image \(9000x9000 pixels are"):
        load_images([bomb(9000)], tmp_path, image_size=8)


def test_all_images_together_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is small enough; all of them are a thousand times their files."""
    monkeypatch.setattr(decoding, "_FREE_BYTES", 10_000_000)
    with pytest.raises(DataError, match=r"image files of .* unpack to more than"):
        load_images([bomb(1500)] * 10, tmp_path, image_size=8)
    monkeypatch.undo()
    assert len(load(tmp_path / "set", tmp_path / "cache", image_size=8).train) == 12


def test_images_that_memory_does_not_hold_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "available_memory", lambda: 100_000)
    with pytest.raises(OutOfMemoryError, match=r"holding 3 images of 800x800 needs about 11.5 MB"):
        load_images([picture(4)], tmp_path, image_size=800)


def test_a_pointer_of_git_lfs_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="pointer of Git LFS, not the file itself"):
        load_images([b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n"], tmp_path)
