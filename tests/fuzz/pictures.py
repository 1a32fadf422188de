"""Images and tables of images, with lies in them."""

import io
import json
import random
import struct
import zlib
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from tests.fuzz.damage import NUMBERS, TEXTS, change_tree, damage, write_number

_PNG = b"\x89PNG\r\n\x1a\n"
_SIZE = 6


def good_images() -> dict[str, bytes]:
    """An image of each format and mode by file name."""
    grey = Image.fromarray(np.arange(_SIZE * _SIZE, dtype=np.uint8).reshape(_SIZE, _SIZE) * 7)
    colour = Image.merge("RGB", (grey, grey.rotate(90), grey.rotate(180)))
    deep = Image.fromarray(np.arange(_SIZE * _SIZE, dtype=np.uint16).reshape(_SIZE, _SIZE) * 1800)
    exif = Image.Exif()
    exif[0x0112] = 6
    saved: dict[str, tuple[Image.Image, str, dict[str, Any]]] = {
        "grey.png": (grey, "PNG", {}),
        "colour.png": (colour, "PNG", {"exif": exif}),
        "deep.png": (deep, "PNG", {}),
        "palette.png": (colour.quantize(8), "PNG", {"transparency": 0}),
        "bits.png": (grey.convert("1"), "PNG", {}),
        "alpha.png": (colour.convert("RGBA"), "PNG", {}),
        "colour.jpg": (colour, "JPEG", {"exif": exif}),
        "fine.jpg": (colour, "JPEG", {"progressive": True}),
        "print.jpg": (colour.convert("CMYK"), "JPEG", {}),
        "moving.gif": (colour, "GIF", {"save_all": True, "append_images": [grey]}),
        "colour.bmp": (colour, "BMP", {}),
        "colour.webp": (colour, "WEBP", {"lossless": True}),
        "colour.ppm": (colour, "PPM", {}),
        "grey.pgm": (grey, "PPM", {}),
        "colour.tif": (colour, "TIFF", {"compression": "tiff_lzw"}),
        "colour.jp2": (colour, "JPEG2000", {}),
    }
    images = {}
    for name, (image, form, options) in saved.items():
        file = io.BytesIO()
        image.save(file, form, **options)
        images[name] = file.getvalue()
    return images


STRANGERS = {
    "script.png": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 6 6\nshowpage\n",
    "drawing.png": b'<svg xmlns="http://www.w3.org/2000/svg" width="6" height="6"/>',
    "wide.ppm": b"P6 1000000000 1000000000 255\n",
    "negative.pgm": b"P5 -6 -6 255\n" + bytes(36),
    "text.pgm": b"P2 6 6 255\n" + b"1 " * 36,
    "floats.ppm": b"PF 6 6 -1.0\n" + bytes(6 * 6 * 12),
    "bitmap.png": b"#define x_width 6\n#define x_height 6\nstatic char x_bits[] = {0x00};\n",
    "icon.bmp": b"\0\0\1\0\1\0\6\6\0\0\1\0\x20\0\0\0\0\0\x16\0\0\0" + bytes(40),
    "document.jpg": b"%PDF-1.4\n%%EOF\n",
    "list.tif": b"II*\0\x08\0\0\0\x01\0\x00\x01\x04\0\xff\xff\xff\xff\0\0\0\0\x08\0\0\0",
    "empty.png": b"",
}
"""What stands under the name of an image, and is none that data sets are made of."""


def change_image(data: bytes, draw: random.Random) -> bytes:
    """An image with another field, with true checksums where it is a PNG."""
    if draw.random() < 0.08:
        return draw.choice(sorted(STRANGERS.values()))
    if not data.startswith(_PNG) or draw.random() < 0.2:
        return draw.choice((damage, write_number, write_number))(data, draw)
    chunks = list(_read_chunks(data))
    place = draw.randrange(len(chunks))
    kind, content = chunks[place]
    huge = zlib.compress(bytes(draw.choice((10**4, 10**7))))
    size = struct.pack(">I", draw.choice(NUMBERS) % 2**31)
    header = chunks[0][1]
    changes = (
        [(kind, write_number(content, draw) if content else b"")],
        [(kind, damage(content, draw))],
        [(draw.choice((b"IDAT", b"PLTE", b"tRNS", b"acTL", b"fcTL", b"eXIf", b"xxxx")), content)],
        [(kind, content)] * 2,
        [],
        [(kind, content), (b"zTXt", b"x\0\0" + huge)],
        [(kind, content), (b"iCCP", b"x\0\0" + huge)],
        [(kind, content), (b"iTXt", b"x\0\1\0\0\0" + huge)],
        [(kind, content), (b"IDAT", huge)],
        [(kind, content), (b"eXIf", b"MM\0*" + draw.randbytes(40))],
    )
    chunks[place : place + 1] = draw.choice(changes)
    if draw.random() < 0.25:
        ways = (size + header[4:], header[:4] + size + header[8:], size * 2 + header[8:])
        chunks[0] = (b"IHDR", draw.choice(ways))
    return _PNG + b"".join(
        struct.pack(">I", len(content))
        + kind
        + content
        + struct.pack(">I", zlib.crc32(kind + content))
        for kind, content in chunks
    )


def _read_chunks(data: bytes) -> list[tuple[bytes, bytes]]:
    chunks, place = [], len(_PNG)
    while place + 12 <= len(data):
        (length,) = struct.unpack(">I", data[place : place + 4])
        chunks.append((data[place + 4 : place + 8], data[place + 8 : place + 8 + length]))
        place += 12 + length
    return chunks


def write_table(columns: dict[str, Any], features: Any = None, **options: Any) -> bytes:
    """A parquet file; `features` is what `datasets` would say of its columns."""
    table = pa.table(columns)
    if features is not None:
        said = (
            features
            if isinstance(features, bytes)
            else json.dumps({"info": {"features": features}})
        )
        table = table.replace_schema_metadata({"huggingface": said})
    file = io.BytesIO()
    pq.write_table(table, file, **options)
    return file.getvalue()


def good_columns() -> dict[str, Any]:
    """Two images and labels, as a parquet file has them."""
    images = good_images()
    rows = [
        {"bytes": images["grey.png"], "path": None},
        {"bytes": images["bits.png"], "path": "b.png"},
    ]
    return {"image": rows, "label": [0, 1]}


FEATURES = {"image": {"_type": "Image"}, "label": {"_type": "ClassLabel", "names": ["zero", "one"]}}


def odd_table(draw: random.Random) -> bytes:
    """A parquet file, good as such, whose columns, values or words about them are not."""
    columns = good_columns()
    features: Any = draw.choice((None, FEATURES, change_tree(FEATURES, draw), b"{", b"\xff"))
    image = columns["image"][0]["bytes"]
    name = draw.choice(sorted(columns))
    lists: dict[str, tuple[Any, ...]] = {
        "image": (
            [{"bytes": change_image(image, draw), "path": None}] * 2,
            [{"bytes": None, "path": draw.choice(TEXTS).encode(errors="replace").decode()}] * 2,
            [{"bytes": None, "path": None}] * 2,
            [None, None],
            [image, image],
            [1, 2],
            ["x", "y"],
            [[image], [image]],
            [{"bytes": "text", "path": 3}] * 2,
            [{"path": "x"}] * 2,
            [{"bytes": [1, 2], "path": "x"}] * 2,
        ),
        "label": (
            [0, None],
            [0.5, 1.5],
            ["zero", "one"],
            ["x" * 5000, "\n"],
            [True, False],
            [[0], [1]],
            [{"a": 0}, {"a": 1}],
            [-1, -1],
            [0, 2**62],
            pa.array([0, 2**64 - 1], pa.uint64()),
            pa.array([0, 1], pa.decimal128(10, 2)),
            pa.array([0, 1], pa.timestamp("ns")),
            pa.array([0, 1]).dictionary_encode(),
            pa.array(["a", "b"]).dictionary_encode(),
            pa.nulls(2),
            [b"\xff", b"\xfe"],
        ),
    }
    how = draw.randrange(6)
    if how == 0:
        del columns[name]
    elif how == 1:
        columns[draw.choice(("x", "img", "fine_label", ""))] = columns[name]
    elif how == 2:
        columns = {key: pa.array(values).slice(0, 0) for key, values in columns.items()}
    else:
        columns[name] = draw.choice(lists[name])
    compression = draw.choice(("snappy", "none", "gzip", "zstd", "lz4"))
    return write_table(columns, features, compression=compression)


def change_table(data: bytes, draw: random.Random) -> bytes:
    """A parquet file with odd columns, or odd numbers in its footer."""
    if draw.random() < 0.5:
        return odd_table(draw)
    (length,) = struct.unpack("<I", data[-8:-4])
    start = max(0, len(data) - 8 - length)
    footer = draw.choice((damage, write_number))(data[start:-8], draw)
    stated = len(footer) if draw.random() < 0.9 else draw.choice(NUMBERS) % 2**32
    return data[:start] + footer + struct.pack("<I", stated) + data[-4:]
