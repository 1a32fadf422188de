"""A codeword in a file: eight bytes that name the format, a checksum, then the codeword.

The frame guards the file against damage; the decoder does not need it, so it is no part of B. The
codeword delimits itself: a file with more behind it is refused.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from analysis.codes.arithmetic_coder import CodecError
from analysis.codes.message import NetworkMessage
from analysis.codes.network_code import Codeword, decode_network, encode_network
from training.errors import CheckpointError, OutOfMemoryError
from training.spec.architectures import NetworkSpec
from training.system.files import FileBytes, write_atomically
from training.system.memory import check_memory

MAGIC = b"mdl-bits"
CHECKSUM_BYTES = 16
MAX_FILE_BYTES = 1 << 34
"""16 GiB: most of a file of bits."""
_START = len(MAGIC) + CHECKSUM_BYTES


def compute_checksum(data: bytes) -> bytes:
    """The first 16 bytes of SHA-256."""
    return hashlib.sha256(data).digest()[:CHECKSUM_BYTES]


def is_bit_file(path: Path | str) -> bool:
    """Whether a file begins with the magic word."""
    try:
        with _open(path) as source:
            return source.read(0, len(MAGIC)) == MAGIC
    except CheckpointError:
        return False


def save_codeword(codeword: Codeword, path: Path | str) -> None:
    """Write a codeword to a file, atomically.

    Raises:
        OSError: The file cannot be written; an older one stays as it was.
    """

    def write(file: BinaryIO) -> None:
        file.write(MAGIC + compute_checksum(codeword.data) + codeword.data)

    write_atomically(path, write)


def load_codeword(
    path: Path | str, *, beside: Callable[[NetworkSpec], int] | None = None
) -> Codeword:
    """Read a file and decode it, trusting nothing in it.

    Args:
        path: The file.
        beside: As `analysis.codes.network_code.decode_network` has it.

    Raises:
        CheckpointError: The file cannot be read, is damaged, is no such file, or holds anything
            but one whole codeword; one line says which.
        OutOfMemoryError: Its network is too large for the memory available.
    """
    with _open(path) as source:
        frame = source.read(0, min(_START, source.num_bytes))
        if not frame.startswith(MAGIC):
            raise CheckpointError(f"{path}: not a file of bits; give one that mdl encode wrote")
        num_bytes = max(source.num_bytes - _START, 0)
        check_memory(2 * num_bytes, f"{path}: its content")  # the decoder takes a copy
        data = source.read(_START, num_bytes)
    if frame[len(MAGIC) :] != compute_checksum(data):
        raise CheckpointError(
            f"{path}: damaged: its checksum does not fit its bits; copy it again, or encode anew"
        )
    try:
        return decode_whole(data, beside=beside)
    except CodecError as error:
        raise CheckpointError(f"{path}: {error}") from error
    except OutOfMemoryError as error:
        raise OutOfMemoryError(f"{path}: {error}") from error


def _open(path: Path | str) -> FileBytes:
    return FileBytes(path, what="a file that mdl encode wrote", cap=MAX_FILE_BYTES)


def decoded_codeword(message: NetworkMessage, code: str = "auto") -> Codeword:
    """A message in bits, as the decoder gives it back: what bounds and certificates are about.

    Args:
        message: The network.
        code: As `analysis.codes.network_code.encode_network` has it.

    Raises:
        ValueError: An unknown code, or a structure that the network does not have.
    """
    return decode_whole(encode_network(message, code).data)


def decode_whole(data: bytes, *, beside: Callable[[NetworkSpec], int] | None = None) -> Codeword:
    """Decode bytes that hold one codeword, its last byte filled up with zeros, and nothing else.

    Takes and raises what `analysis.codes.network_code.decode_network` does.

    Raises:
        CodecError: No codeword begins them, or something follows it.
    """
    codeword = decode_network(data, beside=beside)
    if len(codeword.data) != len(data):
        raise CodecError(
            f"{len(data) - len(codeword.data)} bytes follow the codeword; it ends after "
            f"{codeword.num_bits} bits"
        )
    padding = -codeword.num_bits % 8
    if data and data[-1] & ((1 << padding) - 1):
        raise CodecError("the bits that fill up the last byte must be zeros")
    return codeword
