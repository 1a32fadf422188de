"""The records of a zip archive of `torch.save`: where they lie, and whether each is what it was.

    records     a header with the name, the bytes as they are, a footer with their CRC-32 and size
    directory   an entry a record: name, CRC-32, size and place
    end         how many entries there are and where they begin, in 64 bits and then in 32

The archive says most things twice. Where it is as `torch.save` writes it, everything that is said
twice agrees, all the rest is the same in every record, and no byte lies between two pieces: so a
single bit that is changed is noticed, wherever it lies. No torch.
"""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.system.files import FileBytes

MAX_DIRECTORY_BYTES = 1 << 24
"""16 MiB, some 200,000 records: longest directory that is read."""

ZIP_START = b"PK\x03\x04"
_ENTRY = struct.Struct("<4s6H3L5H2L")
_HEADER = struct.Struct("<4s5H3L2H")
_FOOTERS = struct.Struct("<4s3L"), struct.Struct("<4sL2Q")
_END = struct.Struct("<4s4H2LH")
_END_64 = struct.Struct("<4sQ2H2L4Q")
_LOCATOR = struct.Struct("<4sLQL")
_MAX_32, _MAX_16 = (1 << 32) - 1, (1 << 16) - 1
_SIZES_FOLLOW, _ENCRYPTED = 1 << 3, 1 | 1 << 6 | 1 << 13  # flags of a record
_MADE_BY, _NEEDED = 0x031E, 45  # what torch's writer has in the end in 64 bits
_CHUNK = 1 << 20
_DAMAGED = "its archive is damaged"


@dataclass(frozen=True)
class Record:
    """One record of an archive.

    Attributes:
        name: Its name.
        start: Byte of the file where its contents begin.
        num_bytes: Their number.
        checksum: Their CRC-32, as the directory has it.
    """

    name: str
    start: int
    num_bytes: int
    checksum: int


@dataclass(frozen=True, eq=False)
class Records:
    """All records of a file, and the checksums of what has been read of them so far.

    Their bytes are read by position, as those of the file are.

    Attributes:
        source: The open file.
        by_name: The records, in the order of the directory.
        is_as_written: Whether every byte outside of their contents is as `torch.save` writes it.
    """

    source: FileBytes
    by_name: dict[str, Record]
    is_as_written: bool
    _seen: dict[int, tuple[int, int]] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)

    @property
    def path(self) -> Path:
        """Where the file lies."""
        return self.source.path

    def close(self) -> None:
        """Close the file."""
        self.source.close()

    @cached_property
    def has_checksums(self) -> bool:
        """Whether there are any: torch can be told to leave them out, and has zeros then."""
        return any(each.checksum for each in self.by_name.values())

    def read_into(self, start: int, piece: NDArray[Any]) -> None:
        """Fill an array with the bytes from `start` on, from any thread, and note their checksum.

        Raises:
            CheckpointError: The file cannot be read any more.
        """
        data, checksum = piece.reshape(-1).view(np.uint8), 0
        for at in range(0, len(data), _CHUNK):  # what has just been read lies in the cache
            part = data[at : at + _CHUNK]
            self.source.read_into(start + at, part)
            checksum = zlib.crc32(part.data, checksum)
        self._note(start, len(data), checksum)

    def note(self, start: int, piece: NDArray[Any]) -> None:
        """Note the checksum of bytes that were read from `source` at `start`, from any thread."""
        data = piece.reshape(-1).view(np.uint8)
        self._note(start, len(data), zlib.crc32(data.data))

    def _note(self, start: int, num_bytes: int, checksum: int) -> None:
        if num_bytes:
            with self._lock:
                self._seen[start] = num_bytes, checksum

    def read(self, record: Record) -> bytes:
        """The contents of a record, checked.

        Raises:
            CheckpointError: The file cannot be read any more.
            ValueError: They are not what they were when the file was written.
        """
        contents = np.empty(record.num_bytes, dtype=np.uint8)
        self.read_into(record.start, contents)
        self._check(record)
        return contents.tobytes()

    def check(self) -> None:
        """Compare the checksum of every record; what has been read already is not read again.

        Raises:
            CheckpointError: The file cannot be read any more.
            ValueError: A record is not what it was when the file was written.
        """
        for record in self.by_name.values():
            self._check(record)

    def _check(self, record: Record) -> None:
        if not self.has_checksums:
            return
        at, end, found = record.start, record.start + record.num_bytes, 0
        while at < end:
            with self._lock:
                num_bytes, checksum = self._seen.get(at, (0, 0))
            if not num_bytes or at + num_bytes > end:
                piece = np.empty(min(_CHUNK, end - at), dtype=np.uint8)
                self.read_into(at, piece)
                num_bytes, checksum = self._seen[at]
            found = join_checksums(found, checksum, num_bytes)
            at += num_bytes
        if found != record.checksum:
            raise ValueError(f"damaged: {record.name[-40:]!r} in it is not what was written")


def join_checksums(first: int, second: int, num_bytes: int) -> int:
    """The CRC-32 of two pieces in a row from that of each.

    Args:
        first: Of the first piece.
        second: Of the second piece.
        num_bytes: Length of the second piece.

    >>> join_checksums(zlib.crc32(b"so "), zlib.crc32(b"long"), 4) == zlib.crc32(b"so long")
    True
    """
    return _multiply(_shift(num_bytes), first) ^ second


# A checksum is a polynomial over two elements, its highest bit the constant term; a byte of zeros
# behind a piece multiplies it by x to the 8, modulo the polynomial of the code.
_POLYNOMIAL, _ONE = 0xEDB88320, 1 << 31


def _multiply(first: int, second: int) -> int:
    product = 0
    for place in range(31, -1, -1):
        if first >> place & 1:
            product ^= second
        second = second >> 1 ^ (_POLYNOMIAL if second & 1 else 0)
    return product


@lru_cache(maxsize=256)
def _shift(num_bytes: int) -> int:
    """The power of x by which so many zeros multiply."""
    power, square, count = _ONE, _ONE >> 8, num_bytes
    while count:
        if count & 1:
            power = _multiply(power, square)
        square, count = _multiply(square, square), count >> 1
    return power


def read_records(source: FileBytes) -> Records:
    """Find the records of an archive; of their contents nothing is read.

    Every record lies in the file whole, is stored as it is, and overlaps no other.

    Raises:
        CheckpointError: The file cannot be read any more.
        ValueError: It is no such archive.
    """
    entries, first, is_as_written = _read_directory(source)
    if not all(entry.is_stored for entry in entries):
        raise ValueError("a zip archive, but not one that torch.save wrote")
    entries.sort(key=lambda entry: entry.offset)
    by_name, at = {}, 0
    for entry in entries:
        record, begin, end, agrees = _find_record(source, entry, first)
        is_as_written &= agrees and begin == at and entry.others == entries[0].others
        if begin < at or record.name in by_name:
            raise ValueError("its archive has two records of one name or in one place")
        by_name[record.name], at = record, end
    return Records(source, by_name, is_as_written and at == first)


def record_names(source: FileBytes) -> list[str]:
    """The names in the directory of any zip archive; of its records nothing is looked at.

    Raises:
        CheckpointError: The file cannot be read any more.
        ValueError: It is no zip archive.
    """
    return [entry.name.decode(errors="replace") for entry in _read_directory(source)[0]]


@dataclass(frozen=True)
class _Entry:
    """What the directory says of a record; `others` is the same in all that one program wrote."""

    name: bytes
    offset: int
    num_bytes: int
    checksum: int
    is_stored: bool
    common: tuple[int, ...]
    others: tuple[Any, ...]
    extra: bytes


def _find_directory(source: FileBytes) -> tuple[int, int, int, bool]:
    """How many entries, where they begin and end, and whether the end is as torch writes it."""
    size = source.num_bytes
    start = max(size - _END.size - _MAX_16, 0)
    tail = source.read(start, size - start)
    at = tail.rfind(b"PK\x05\x06", 0, len(tail) - _END.size + 4)
    if at < 0:
        raise ValueError("cut short or damaged")
    _, disk, first_disk, here, count, num_bytes, offset, comment = _END.unpack_from(tail, at)
    if comment != len(tail) - at - _END.size or (disk, first_disk) != (0, 0):
        raise ValueError("cut short or damaged")
    end = start + at
    short, agrees = (here, count, num_bytes, offset), False
    if end >= _LOCATOR.size + _END_64.size:
        mark, disk, place, disks = _LOCATOR.unpack(source.read(end - _LOCATOR.size, _LOCATOR.size))
        if mark == b"PK\x06\x07":
            if (disk, disks) != (0, 1) or place != end - _LOCATOR.size - _END_64.size:
                raise ValueError("cut short or damaged")
            fields = _END_64.unpack(source.read(place, _END_64.size))
            mark, length, made_by, needed, disk, first_disk, here, count, num_bytes, offset = fields
            limits = (_MAX_16, _MAX_16, _MAX_32, _MAX_32)
            long = (here, count, num_bytes, offset)
            if mark != b"PK\x06\x06" or (disk, first_disk) != (0, 0):
                raise ValueError("cut short or damaged")
            agrees = short == tuple(map(min, long, limits)) and comment == 0
            agrees &= (length, made_by, needed) == (_END_64.size - 12, _MADE_BY, _NEEDED)
            end = place
    if here != count or offset + num_bytes != end or count * _ENTRY.size > num_bytes:
        raise ValueError("cut short or damaged")
    return count, offset, end, agrees


def _read_directory(source: FileBytes) -> tuple[list[_Entry], int, bool]:
    """The entries, where the first one begins, and whether the end is as torch writes it."""
    num_entries, first, last, agrees = _find_directory(source)
    if last - first > MAX_DIRECTORY_BYTES:
        raise ValueError(f"its directory has more than {MAX_DIRECTORY_BYTES >> 20} MiB")
    return list(_parse_directory(source.read(first, last - first), num_entries)), first, agrees


def _parse_directory(data: bytes, num_entries: int) -> Iterator[_Entry]:
    at = 0
    for _ in range(num_entries):
        if at + _ENTRY.size > len(data):
            raise ValueError(_DAMAGED)
        (
            mark,
            made_by,
            *common,
            checksum,
            packed,
            size,
            name_size,
            extra_size,
            comment_size,
            disk,
            (internal),
            external,
            offset,
        ) = _ENTRY.unpack_from(data, at)
        name_end = at + _ENTRY.size + name_size
        extra = data[name_end : name_end + extra_size]
        if mark != b"PK\x01\x02" or len(extra) != extra_size:
            raise ValueError(_DAMAGED)
        wide = _wide_numbers(extra)
        needed = [number == _MAX_32 for number in (size, packed, offset)]
        if sum(needed) > len(wide):
            raise ValueError(_DAMAGED)
        size, packed, offset = (
            wide.pop(0) if is_wide else number
            for is_wide, number in zip(needed, (size, packed, offset), strict=True)
        )
        is_stored = common[2] == 0 and packed == size and not common[1] & _ENCRYPTED and not disk
        others = (made_by, common[0], *common[3:], comment_size, internal, external)
        name = data[at + _ENTRY.size : name_end]
        yield _Entry(name, offset, size, checksum, is_stored, tuple(common), others, extra)
        at = name_end + extra_size + comment_size
    if at != len(data):
        raise ValueError(_DAMAGED)


def _find_record(source: FileBytes, entry: _Entry, limit: int) -> tuple[Record, int, int, bool]:
    """The record, where all of it begins and ends, and whether it says what its entry says."""
    begin, name_at = entry.offset, entry.offset + _HEADER.size
    if name_at + len(entry.name) > limit:
        raise ValueError("a tensor reaches beyond the end of the file")
    mark, *common, checksum, packed, size, name_size, extra_size = _HEADER.unpack(
        source.read(begin, _HEADER.size)
    )
    start = name_at + name_size + extra_size
    end = start + entry.num_bytes
    if mark != ZIP_START or name_size != len(entry.name):
        raise ValueError(_DAMAGED)
    if end > limit:
        raise ValueError("a tensor reaches beyond the end of the file")
    rest = source.read(name_at, name_size + extra_size)
    if rest[:name_size] != entry.name:
        raise ValueError(_DAMAGED)
    agrees = tuple(common) == entry.common and _is_padding(rest[name_size:], entry)
    if common[1] & _SIZES_FOLLOW:
        agrees &= (checksum, packed, size) == (0, 0, 0)
        footer = _FOOTERS[1 if _wide_numbers(entry.extra) else 0]
        expected = footer.pack(b"PK\x07\x08", entry.checksum, entry.num_bytes, entry.num_bytes)
        footer_at, end = end, min(end + footer.size, limit)
        agrees &= source.read(footer_at, end - footer_at) == expected
    else:
        stored = min(entry.num_bytes, _MAX_32)
        agrees &= (checksum, packed, size) == (entry.checksum, stored, stored)
    try:
        name = entry.name.decode()
    except UnicodeDecodeError as error:
        raise ValueError(_DAMAGED) from error
    return Record(name, start, entry.num_bytes, entry.checksum), begin, end, agrees


def _is_padding(extra: bytes, entry: _Entry) -> bool:
    """Whether a header has behind its name the wide numbers of its entry and letters Z."""
    numbers = _wide_numbers(extra)
    wide = 4 + 8 * len(numbers) if numbers else 0
    padding = extra[wide:]
    num_letters = max(len(padding) - 4, 0)
    is_filled = padding == b"FB" + struct.pack("<H", num_letters) + b"Z" * num_letters
    # The header is written before the packed size is known, which may be 0 in it.
    pairs = zip(numbers, _wide_numbers(entry.extra), strict=False)
    agrees = len(entry.extra) == wide and all(one in (other, 0) for one, other in pairs)
    return is_filled and agrees


def _wide_numbers(extra: bytes) -> list[int]:
    """The numbers of 64 bits at the start of the fields behind a name."""
    size = int.from_bytes(extra[2:4], "little")
    if extra[:2] != b"\x01\x00" or size % 8 or 4 + size > len(extra):
        return []
    return [int.from_bytes(extra[at : at + 8], "little") for at in range(4, 4 + size, 8)]
