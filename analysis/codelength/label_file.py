"""Labels in a file: eight bytes that name the format, a checksum, then the codeword."""

from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from analysis.codelength.label_code import LabelCodeword, decode_labels
from analysis.codes.arithmetic_coder import CodecError
from analysis.codes.bit_file import CHECKSUM_BYTES, compute_checksum
from training.errors import CheckpointError
from training.system.files import read_bytes, write_atomically

MAGIC = b"mdl-labl"
MAX_FILE_BYTES = 1 << 32
_WAY_OUT = "give one that mdl codelength -o wrote"


def save_labels(codeword: LabelCodeword, path: Path | str) -> None:
    """Write a codeword to a file, atomically.

    Raises:
        OSError: The file cannot be written; an older one stays as it was.
    """

    def write(file: BinaryIO) -> None:
        file.write(MAGIC + compute_checksum(codeword.data) + codeword.data)

    write_atomically(path, write)


def load_labels(path: Path | str, logits: NDArray[np.float64]) -> LabelCodeword:
    """Read a file and decode it, trusting nothing in it.

    Args:
        path: The file.
        logits: (m, K), the exact logits of the images whose labels they are.

    Raises:
        CheckpointError: The file cannot be read, is damaged, is no such file, or holds anything but
            one codeword of m labels; one line says which.
    """
    content = read_bytes(path, what="a file that mdl codelength wrote", cap=MAX_FILE_BYTES)
    if not content.startswith(MAGIC):
        raise CheckpointError(f"{path}: not a file of labels; {_WAY_OUT}")
    start = len(MAGIC) + CHECKSUM_BYTES
    data = content[start:]
    if content[len(MAGIC) : start] != compute_checksum(data):
        raise CheckpointError(
            f"{path}: damaged: its checksum does not fit its bits; copy it again, or write it anew"
        )
    try:
        codeword = decode_labels(data, logits)
    except CodecError as error:
        raise CheckpointError(
            f"{path}: {error}; was it written with this network and these images?"
        ) from error
    if codeword.data != data:
        raise CheckpointError(
            f"{path}: its bits do not end where the labels of {len(logits):,} images do; was it "
            "written with this network and these images?"
        )
    return codeword
