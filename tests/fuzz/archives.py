"""Files of torch with lies in them: in the zip archive, and in its pickle.

An archive is written here by hand, since what a library would write is not what hurts a reader.
"""

import io
import pickle
import pickletools
import random
import re
import struct
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch

from tests.fuzz.damage import NUMBERS, TEXTS, damage

_LOCAL, _CENTRAL, _END = b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06"


@dataclass(frozen=True, kw_only=True)
class Record:
    """A record of a zip archive; None means the truth.

    Attributes:
        name: Its name.
        data: What is stored.
        method: How it is said to be compressed.
        flags: General purpose bits.
        crc: Checksum that the tables state.
        size: Size that the tables state.
        local_size: Size that its own header states; None for `size`.
        offset: Where the directory says that it lies.
        extra: Extra field of the directory.
    """

    name: bytes
    data: bytes
    method: int = 0
    flags: int = 0
    crc: int | None = None
    size: int | None = None
    local_size: int | None = None
    offset: int | None = None
    extra: bytes = b""


def read_records(data: bytes) -> list[Record]:
    """The records of an archive that torch wrote."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return [
            Record(name=each.filename.encode(), data=archive.read(each))
            for each in archive.infolist()
        ]


def write_archive(
    records: list[Record], *, start: bytes = b"", comment: bytes = b"", count: int | None = None
) -> bytes:
    """An archive of records, lies and all.

    Args:
        records: In their order.
        start: What stands before the archive.
        comment: What stands behind it.
        count: How many records its end states; None for the truth.
    """
    body, directory = bytearray(start), bytearray()
    for record in records:
        place = len(body) if record.offset is None else record.offset
        crc = zlib.crc32(record.data) if record.crc is None else record.crc
        size = len(record.data) if record.size is None else record.size
        own = size if record.local_size is None else record.local_size
        shared = struct.pack("<HHHHH", 20, record.flags, record.method, 0, 0x21)
        body += _LOCAL + shared + struct.pack("<IIIHH", crc, own, own, len(record.name), 0)
        body += record.name + record.data
        directory += _CENTRAL + b"\x14\0" + shared
        lengths = (len(record.name), len(record.extra), 0, 0, 0, 0, place % 2**32)
        directory += struct.pack("<III", crc, size, size) + struct.pack("<HHHHHII", *lengths)
        directory += record.name + record.extra
    number = len(records) if count is None else count
    ends = struct.pack("<HHHHIIH", 0, 0, number, number, len(directory), len(body), len(comment))
    return bytes(body + directory + _END + ends + comment)


def pack(records: list[Record]) -> bytes:
    """An archive with these contents, written by torch itself: every byte as it should be."""
    file = io.BytesIO()
    writer = torch._C.PyTorchFileWriter(file)  # type: ignore[attr-defined]
    for record in records:
        name = record.name.decode().partition("/")[2]
        if name not in ("version", ".data/serialization_id"):  # it writes these itself
            writer.write_record(name, record.data, len(record.data))
    writer.write_end_of_file()
    return file.getvalue()


_FIELDS = {
    b"PK\x03\x04": (4, 6, 8, 10, 12, 14, 18, 22, 26, 28, 30),
    b"PK\x01\x02": (4, 6, 8, 10, 12, 14, 16, 20, 24, 28, 30, 32, 34, 36, 38, 42, 46),
    b"PK\x05\x06": (4, 6, 8, 10, 12, 16, 20),
    b"PK\x06\x06": (4, 12, 14, 16, 20, 24, 32, 40, 48),
    b"PK\x06\x07": (4, 8, 16),
    b"PK\x07\x08": (4, 8, 12),
}
"""Where the fields of a part of an archive begin, by its first bytes."""


def _change_part(data: bytes, draw: random.Random) -> bytes:
    """One field of one part of an archive is another, or that of another part."""
    mark = draw.choice(sorted(_FIELDS))
    places = [each.start() for each in re.finditer(re.escape(mark), data)]
    if not places:
        return damage(data, draw)
    starts = _FIELDS[mark]
    index = draw.randrange(len(starts) - 1)
    start, size = starts[index], starts[index + 1] - starts[index]
    place, other = draw.choice(places), draw.choice(places)
    old = data[place + start : place + start + size]
    near = (int.from_bytes(old, "little") + draw.choice((-1, 1, 64))) % (1 << 8 * size)
    value = draw.choice((near, near, draw.choice(NUMBERS) % (1 << 8 * size)))
    new = draw.choice((value.to_bytes(size, "little"), data[other + start : other + start + size]))
    return data[: place + start] + new + data[place + start + size :]


def change_archive(data: bytes, draw: random.Random) -> bytes:
    """A file of torch whose archive is another, or states what is not so."""
    if draw.random() < 0.4:
        return _change_part(data, draw)
    records = read_records(data)
    index = draw.randrange(len(records))
    record, other = records[index], draw.choice(records)
    number = draw.choice(NUMBERS) % 2**32
    lies: tuple[dict[str, Any], ...] = (
        {"crc": draw.choice((0, 1, number))},
        {"size": number},
        {"size": len(record.data) + draw.choice((-1, 1, 4)) if record.data else 1},
        {"local_size": number},
        {"offset": number},
        {"offset": 0},
        {"flags": 1 << draw.randrange(16)},
        {"method": draw.choice((1, 8, 9, 12, 14, 93, 99))},
        {"method": 8, "data": _deflate(record.data), "size": len(record.data)},
        {"name": other.name},
        {"name": draw.choice(TEXTS).encode(errors="surrogatepass") + record.name[-8:]},
        {"name": record.name.replace(b"archive", b"other")},
        {"name": record.name.replace(b"/", b"\\")},
        {"name": record.name + b"\0.txt"},
        {"data": other.data},
        {"data": damage(record.data, draw)},
        {"data": damage(record.data, draw), "crc": 0},
        {"extra": struct.pack("<HHQQ", 1, 16, number, 2**40)},
        {"extra": draw.randbytes(draw.randrange(40))},
    )
    lie = draw.choice(lies)
    options: dict[str, Any] = {}
    how = draw.randrange(14)
    if how < 9:
        changed = {name: value % 2**32 if name == "size" else value for name, value in lie.items()}
        records[index] = replace(record, **changed)
    elif how == 9:
        records.insert(index, replace(other, **lie) if "size" not in lie else other)
    elif how == 10:
        del records[index]
    elif how == 11:
        draw.shuffle(records)
    elif how == 12:
        options["start"] = draw.choice((b"x", bytes(1000), data, draw.randbytes(40)))
    else:
        options = draw.choice(({"count": number % 2**16}, {"comment": data[-400:]}))
    return write_archive(records, **options)


def _deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


def with_pickle(data: bytes, pickled: bytes) -> bytes:
    """A file of torch with another pickle and its true checksum."""
    return pack(
        [
            replace(each, data=pickled) if each.name.endswith(b"/data.pkl") else each
            for each in read_records(data)
        ]
    )


def change_pickle(data: bytes, draw: random.Random) -> bytes:
    """A file of torch whose pickle has other steps."""
    pickled = next(each.data for each in read_records(data) if each.name.endswith(b"/data.pkl"))
    return with_pickle(data, change_steps(pickled, draw))


def change_steps(pickled: bytes, draw: random.Random) -> bytes:
    """A pickle with other steps."""
    if draw.random() < 0.1:
        return draw.choice(pickle_bombs(draw.choice((20, 60, 2000)), draw.randrange(2, 12)))
    if draw.random() < 0.15:
        return damage(pickled, draw)
    found = list(pickletools.genops(pickled))
    ends = [place for _, _, place in found[1:]] + [len(pickled)]
    steps = [pickled[start:end] for (_, _, start), end in zip(found, ends, strict=True)]
    for _ in range(draw.choice((1, 1, 2, 4))):
        place = draw.randrange(len(steps))
        new = draw.choice((draw.choice(steps), _odd_step(draw), _near_step(steps[place], draw)))
        steps[place : place + draw.choice((0, 1, 1, 1))] = draw.choice(([new], [new], []))
        steps = steps or [b"."]
    return b"".join(steps)


def _near_step(step: bytes, draw: random.Random) -> bytes:
    """The same step about something else."""
    number = draw.choice(NUMBERS)
    if step[:1] in b"KMJ\x8a":
        return _number_step(number)
    if step[:1] == b"X":
        return _text_step(draw.choice((*TEXTS, "storage", "cpu", "cuda:0", "0", "1", "meta")))
    if step[:1] == b"c":
        return b"c" + draw.choice(_GLOBALS) + b"\n"
    return step[:1] + damage(step[1:], draw) if len(step) > 1 else draw.choice(_SINGLES)


def _number_step(number: int) -> bytes:
    text = pickle.encode_long(number)
    if len(text) < 256:
        return b"\x8a" + bytes([len(text)]) + text
    return b"\x8b" + struct.pack("<I", len(text)) + text


def _text_step(text: str) -> bytes:
    coded = text.encode(errors="surrogatepass")
    return b"X" + struct.pack("<I", len(coded)) + coded


_SINGLES = tuple(
    bytes([code])
    for code in b"(.0N\x88\x89)]}atuseol2bR\x81\x92\x93\x85\x86\x87Q\x8f\x90\x91\x94\x97\x98"
)
_GLOBALS = (
    *(b"os\nsystem", b"builtins\neval", b"builtins\nbytearray", b"torch\nSize", b"numpy\nndarray"),
    *(b"collections\nOrderedDict", b"torch._utils\n_rebuild_tensor_v2", b"torch\nFloatStorage"),
    *(
        b"torch._utils\n_rebuild_parameter",
        b"torch._utils\n_rebuild_sparse_tensor",
        b"torch\nTensor",
    ),
    *(b"torch._utils\n_rebuild_qtensor", b"torch._tensor\n_rebuild_from_type_v2", b"torch\ndevice"),
    *(b"torch._utils\n_rebuild_tensor_v3", b"torch\nfloat32", b"torch\nint64", b"torch\nqint8"),
    *(b"torch._utils\n_rebuild_meta_tensor_no_storage", b"torch.storage\nUntypedStorage", b"_\n_"),
    *(b"torch.serialization\n_get_layout", b"builtins\nset", b"builtins\ncomplex", b"torch\nzeros"),
    *(b"torch._utils\n_rebuild_wrapper_subclass", b"_codecs\nencode", b"collections\nCounter"),
    *(b"torch.nn.parameter\nParameter", b"torch._utils\n_rebuild_nested_tensor", b"torch\nload"),
)


def _odd_step(draw: random.Random) -> bytes:
    number = draw.choice(NUMBERS)
    small = struct.pack("<I", number % 2**32)
    large = struct.pack("<Q", number % 2**63)
    return draw.choice(
        (
            *_SINGLES,
            _number_step(number),
            _text_step(draw.choice(TEXTS)),
            b"c" + draw.choice(_GLOBALS) + b"\n",
            b"G" + struct.pack(">d", draw.choice((0.5, 1e308, float("nan"), float("inf")))),
            b"q" + draw.randbytes(1),
            b"r" + small,
            b"h" + draw.randbytes(1),
            b"j" + small,
            b"\x95" + large,
            b"\x96" + large + b"x",
            b"\x8e" + large + b"x",
            b"\x8d" + large + b"x",
            b"\x8b" + small + b"x",
            b"T" + small + b"x",
            b"B" + small + b"x",
            b"\x80" + draw.randbytes(1),
            b"I" + str(number % 10**30).encode() + b"\n",
            b"L" + str(number % 10**30).encode() + b"L\n",
            b"F" + draw.choice((b"nan", b"1e999", b"x", b"1_0")) + b"\n",
            b"S'x'\n",
            b"Vx\\u0041\n",
            b"p" + str(number % 10**30).encode() + b"\n",
            b"g" + str(number % 10**30).encode() + b"\n",
            b"i" + draw.choice(_GLOBALS) + b"\n",
            b"P0\n",
            b"\x82" + draw.randbytes(1),
        )
    )


def pickle_bombs(depth: int, width: int) -> tuple[bytes, ...]:
    """Small pickles that ask for much: width^depth shared values, gigabytes, deep nests."""

    def nest(empty: bytes, item: Callable[[int, bytes], bytes], fill: bytes) -> bytes:
        steps = [b"\x80\x02" + empty + b"q\x00"]
        for level in range(depth):
            below = b"j" + struct.pack("<I", level)
            items = b"".join(item(index, below) for index in range(width))
            steps.append(empty + b"r" + struct.pack("<I", level + 1) + b"(" + items + fill)
        return b"".join(steps)

    shared = nest(b"]", lambda index, below: below, b"e")
    keyed = nest(b"}", lambda index, below: _text_step(str(index)) + below, b"u")
    return (
        shared + b".",
        keyed + b".",
        b"\x80\x02" + _text_step("metrics") + shared + b"\x86.",
        b"\x80\x02cbuiltins\nbytearray\n\x8a\x05" + (3 << 32).to_bytes(5, "little") + b"\x85R.",
        b"\x80\x05\x96" + struct.pack("<Q", 12 << 30) + b".",
        b"\x80\x04\x95" + struct.pack("<Q", 2**62) + b".",
        b"\x80\x02" + b"]" * 60_000 + b"a" * 59_999 + b".",
        b"\x80\x02}" + b"(" * 30_000 + b"t" * 30_000 + b"K\x01s.",
        b"\x80\x02" + b"(" * 500_000,
        b"\x80\x02]" + b"r\xff\xff\xff\x7f" * 3 + b".",
        b"\x80\x02ctorch\nzeros\n\x8a\x05\0\0\0\0\x10\x85R.",
        b"\x80\x02]q\x00h\x00a.",
        b"\x80\x02}q\x00X\x05\0\0\0stateh\x00s.",
    )
