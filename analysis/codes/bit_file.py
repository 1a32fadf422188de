"""A codeword in a file: eight bytes that name the format, a checksum, then the codeword.

The frame guards the file against damage; the decoder does not need it, so it is no part of B. The
codeword delimits itself: a file with more behind it is refused.

Bits that are relative to a prior have a frame of their own, which names the prior by its hash, 32
bytes before the codeword and under the checksum too. The prior belongs to the language that was
fixed before the data, so naming it takes no bits of B. It lies beside the file as `prior.mdl`.
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
RELATIVE_MAGIC = b"mdl-rela"
PRIOR_FILE = "prior.mdl"
CHECKSUM_BYTES = 16
MAX_FILE_BYTES = 1 << 34
"""16 GiB: most of a file of bits."""
_START = len(MAGIC) + CHECKSUM_BYTES
_HASH_BYTES = 32


def compute_checksum(data: bytes) -> bytes:
    """The first 16 bytes of SHA-256."""
    return hashlib.sha256(data).digest()[:CHECKSUM_BYTES]


def is_bit_file(path: Path | str) -> bool:
    """Whether a file begins with a magic word."""
    try:
        with _open(path) as source:
            return source.read(0, len(MAGIC)) in (MAGIC, RELATIVE_MAGIC)
    except CheckpointError:
        return False


def save_codeword(codeword: Codeword, path: Path | str) -> None:
    """Write a codeword to a file, atomically.

    Raises:
        OSError: The file cannot be written; an older one stays as it was.
    """
    magic, content = MAGIC, codeword.data
    if codeword.prior_sha256 is not None:
        magic, content = RELATIVE_MAGIC, bytes.fromhex(codeword.prior_sha256) + content

    def write(file: BinaryIO) -> None:
        file.write(magic + compute_checksum(content) + content)

    write_atomically(path, write)


def load_codeword(
    path: Path | str,
    *,
    prior: Codeword | None = None,
    beside: Callable[[NetworkSpec], int] | None = None,
) -> Codeword:
    """Read a file and decode it, trusting nothing in it.

    Args:
        path: The file.
        prior: What its bits are relative to, if they are; None takes `prior.mdl` beside the file.
        beside: As `analysis.codes.network_code.decode_network` has it.

    Raises:
        CheckpointError: The file cannot be read, is damaged, is no such file, or holds anything
            but one whole codeword; one line says which.
        OutOfMemoryError: Its network is too large for the memory available.
    """
    with _open(path) as source:
        frame = source.read(0, min(_START, source.num_bytes))
        is_relative = frame.startswith(RELATIVE_MAGIC)
        if not is_relative and not frame.startswith(MAGIC):
            raise CheckpointError(f"{path}: not a file of bits; give one that mdl encode wrote")
        num_bytes = max(source.num_bytes - _START, 0)
        check_memory(2 * num_bytes, f"{path}: its content")  # the decoder takes a copy
        data = source.read(_START, num_bytes)
    if frame[len(MAGIC) :] != compute_checksum(data):
        raise CheckpointError(
            f"{path}: damaged: its checksum does not fit its bits; copy it again, or encode anew"
        )
    named = None
    if is_relative:
        named = _named_prior(Path(path), data[:_HASH_BYTES].hex(), prior)
        data = data[_HASH_BYTES:]
    try:
        codeword = decode_whole(data, prior=named, beside=beside)
        if is_relative and codeword.prior_sha256 is None:
            raise CodecError("damaged: it names a prior, and its bits are relative to none")
        return codeword
    except CodecError as error:
        raise CheckpointError(f"{path}: {error}") from error
    except OutOfMemoryError as error:
        raise OutOfMemoryError(f"{path}: {error}") from error


def _named_prior(path: Path, sha256: str, prior: Codeword | None) -> Codeword:
    """The prior that a file names: the one that is given, or the one that lies beside it."""
    own = path.with_name(PRIOR_FILE)
    if prior is None:
        if not own.is_file() or own == path:
            raise CheckpointError.naming(
                "{}: its bits are relative to a prior (SHA-256 {}), and no {} lies beside it; put "
                "it there, or give it as {prior}",
                path,
                sha256[:12],
                PRIOR_FILE,
            )
        prior = load_prior_bits(own)
        source = f"{own} is"
    else:
        source = "the one given is"
    if prior.sha256 != sha256:
        raise CheckpointError(
            f"{path}: its bits are relative to another prior (SHA-256 {sha256[:12]}; {source} "
            f"{prior.sha256[:12]}); give the one that they were written with"
        )
    return prior


def load_prior_bits(path: Path | str) -> Codeword:
    """Read the bits of a prior, which are relative to none.

    Raises:
        CheckpointError: As `load_codeword`, or they are relative to a prior themselves.
        OutOfMemoryError: Its network is too large for the memory available.
    """
    with _open(path) as source:
        if source.read(0, min(len(MAGIC), source.num_bytes)) == RELATIVE_MAGIC:
            raise CheckpointError(
                f"{path}: a prior must have bits of its own, and these are relative to another "
                "prior; decode it, and encode it without one"
            )
    return load_codeword(path)


def _open(path: Path | str) -> FileBytes:
    return FileBytes(path, what="a file that mdl encode wrote", cap=MAX_FILE_BYTES)


def decoded_codeword(
    message: NetworkMessage, code: str = "auto", *, prior: Codeword | None = None
) -> Codeword:
    """A message in bits, as the decoder gives it back: what bounds and certificates are about.

    Args:
        message: The network.
        code: As `analysis.codes.network_code.encode_network` has it.
        prior: Likewise.

    Raises:
        ValueError: An unknown code, a structure that the network does not have, or a prior that
            does not fit it.
    """
    codeword = encode_network(message, code, prior=prior)
    return decode_whole(codeword.data, prior=prior if codeword.prior_sha256 else None)


def decode_whole(
    data: bytes,
    *,
    prior: Codeword | None = None,
    beside: Callable[[NetworkSpec], int] | None = None,
) -> Codeword:
    """Decode bytes that hold one codeword, its last byte filled up with zeros, and nothing else.

    Takes and raises what `analysis.codes.network_code.decode_network` does.

    Raises:
        CodecError: No codeword begins them, or something follows it.
    """
    codeword = decode_network(data, prior=prior, beside=beside)
    if len(codeword.data) != len(data):
        raise CodecError(
            f"{len(data) - len(codeword.data)} bytes follow the codeword; it ends after "
            f"{codeword.num_bits} bits"
        )
    padding = -codeword.num_bits % 8
    if data and data[-1] & ((1 << padding) - 1):
        raise CodecError("the bits that fill up the last byte must be zeros")
    return codeword
