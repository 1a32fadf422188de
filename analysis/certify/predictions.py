"""A classifier's predictions as a certificate keeps them: exact, packed, every bit guarded.

    8 bytes    "mdl-pred"
    16 bytes   the first of SHA-256 of what follows
    the rest   class numbers in the order of the images, log2 c bits each, rounded up; the last byte
               is filled up with zeros

How many images and classes there are, the images say.
"""

import hashlib
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from torch import Tensor

from analysis.codes.bit_file import CHECKSUM_BYTES, compute_checksum
from training.errors import CheckpointError
from training.system.files import read_bytes, write_atomically
from training.system.memory import check_memory

MAGIC = b"mdl-pred"
_START = len(MAGIC) + CHECKSUM_BYTES
_WHAT = "the predictions of a certificate"


def hash_predictions(classes: Tensor, num_classes: int) -> str:
    """SHA-256 of the packed class numbers, in 64 hexadecimal digits."""
    return hashlib.sha256(pack_classes(classes, num_classes)).hexdigest()


def save_predictions(classes: Tensor, num_classes: int, path: Path) -> None:
    """Write predictions to a file, atomically.

    Args:
        classes: int64 (N,), numbers from 0 to c - 1.
        num_classes: c.
        path: The file.

    Raises:
        OSError: The file cannot be written.
    """
    data = pack_classes(classes, num_classes)

    def write(file: BinaryIO) -> None:
        file.write(MAGIC + compute_checksum(data) + data)

    write_atomically(path, write)


def load_predictions(path: Path, num_images: int, num_classes: int) -> Tensor:
    """Read a file of predictions, trusting nothing in it.

    Args:
        path: The file.
        num_images: N, which it must hold predictions for.
        num_classes: c.

    Returns:
        int64 (N,), numbers from 0 to c - 1.

    Raises:
        CheckpointError: It cannot be read, is damaged, or holds anything but N such numbers.
        OutOfMemoryError: There is no memory for them.
    """
    size = _START + -(-num_images * _width(num_classes) // 8)
    content = read_bytes(path, what=_WHAT, cap=size)
    if not content.startswith(MAGIC):
        raise CheckpointError(f"{path}: not {_WHAT}; give a folder that mdl certify wrote")
    data = content[_START:]
    if len(content) != size:
        raise CheckpointError(
            f"{path}: {len(content):,} bytes, but predictions of {num_images:,} images take "
            f"{size:,}"
        )
    if content[len(MAGIC) : _START] != compute_checksum(data):
        raise CheckpointError(f"{path}: its checksum does not fit; copy the folder again")
    classes = _unpack(data, num_images, num_classes)
    if int(classes.max()) >= num_classes or pack_classes(classes, num_classes) != data:
        raise CheckpointError(f"{path}: holds numbers that are no classes")
    return classes


def pack_classes(classes: Tensor, num_classes: int) -> bytes:
    """Class numbers in as few bits each as tell c classes apart, the highest bit first.

    >>> pack_classes(torch.tensor([0, 9, 3]), 10).hex()
    '0930'
    """
    width = _width(num_classes)
    check_memory(16 * len(classes) * width, f"packing {len(classes):,} predictions")
    bits = (classes.numpy()[:, None] >> np.arange(width - 1, -1, -1)) & 1
    return np.packbits(bits.astype(np.uint8)).tobytes()


def _unpack(data: bytes, num_images: int, num_classes: int) -> Tensor:
    width = _width(num_classes)
    check_memory(16 * num_images * width, f"unpacking {num_images:,} predictions")
    bits = np.unpackbits(np.frombuffer(data, np.uint8), count=num_images * width)
    places = 1 << np.arange(width - 1, -1, -1, dtype=np.int64)
    return torch.from_numpy(bits.reshape(num_images, width).astype(np.int64) @ places)


def _width(num_classes: int) -> int:
    return (num_classes - 1).bit_length()
