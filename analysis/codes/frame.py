"""The frame around a codeword in a file: a magic word and a checksum. No torch.

It guards the file against damage; the decoder does not need it, so it is no part of B.
"""

import hashlib
from pathlib import Path

MAGIC = b"mdl-bits"
CHECKSUM_BYTES = 16


def compute_checksum(data: bytes) -> bytes:
    """The first 16 bytes of SHA-256."""
    return hashlib.sha256(data).digest()[:CHECKSUM_BYTES]


def is_bit_file(path: Path | str) -> bool:
    """Whether a file begins with the magic word."""
    try:
        with Path(path).open("rb") as file:
            return file.read(len(MAGIC)) == MAGIC
    except OSError:
        return False
