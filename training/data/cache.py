"""Decoded data sets on disk, so that an image is decoded once on a machine.

A cache never fails: what is missing, corrupt, out of date or cannot be written is decoded again.
"""

import hashlib
import io
import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import PIL
import torch
from numpy.lib.format import read_array

from training.data.image_set import ImageSet, Reading, compute_fingerprint
from training.system.files import FileBytes, default_cache_dir, write_atomically

CACHE_VERSION = 2  # raise it whenever reading or decoding changes what comes out
_MAX_HEADER = 2**24
_MAX_BYTES = 2**46


@dataclass(frozen=True, kw_only=True)
class DecodedDataset:
    """Both splits of a data set, decoded, before any limit on their number.

    Attributes:
        train: Training images.
        test: Test images.
        class_names: One a class.
        formats: Formats of the image files: "PNG", "JPEG", ...
        fingerprint: `compute_fingerprint` of both splits.
        reading: What was understood of the source.
    """

    train: ImageSet
    test: ImageSet
    class_names: tuple[str, ...]
    formats: tuple[str, ...]
    fingerprint: str
    reading: Reading


def load_cached(
    place: str,
    state: str,
    image_size: int | None,
    decode: Callable[[], DecodedDataset],
    *,
    cache_dir: Path | None = None,
) -> DecodedDataset:
    """The decoded data set from the cache, or else from `decode`, which then fills the cache.

    Args:
        place: Identity of the source; an entry for another state of it is deleted.
        state: Changes whenever the source's content may have changed.
        image_size: The size that images are brought to, or None.
        decode: Makes the data set; its errors pass through.
        cache_dir: Folder of the cache; None for the default one.
    """
    path = cache_file(place, state, image_size, cache_dir=cache_dir)
    if path is None:
        return decode()
    folder, prefix = path.parent, path.name.partition("-")[0]
    cached = _read(path)
    if cached is not None:
        return cached
    decoded = decode()
    with suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(path, lambda file: _write(file, decoded))
        for old in folder.glob(f"{prefix}-*.images"):
            if old != path:
                old.unlink(missing_ok=True)
    return decoded


def cache_file(
    place: str, state: str, image_size: int | None, *, cache_dir: Path | None = None
) -> Path | None:
    """Where `load_cached` keeps a data set; None where this machine has no folder for it."""
    try:
        folder = cache_dir or default_cache_dir()
    except RuntimeError:  # no home folder on this machine
        return None
    prefix = _short_digest(f"{place}\n{image_size}")
    version = f"{CACHE_VERSION} Pillow {PIL.__version__}"  # its JPEG decoder may change pixels
    return folder / f"{prefix}-{_short_digest(f'{version}{chr(10)}{state}')}.images"


def _short_digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:20]


def _write(file: BinaryIO, decoded: DecodedDataset) -> None:
    """One line of JSON, then four arrays in NumPy's format."""
    header = {
        "class_names": decoded.class_names,
        "formats": decoded.formats,
        "fingerprint": decoded.fingerprint,
        "reading": asdict(decoded.reading),
    }
    file.write(json.dumps(header).encode() + b"\n")
    for images in (decoded.train, decoded.test):
        np.save(file, images.images.numpy(), allow_pickle=False)
        np.save(file, images.labels.numpy(), allow_pickle=False)


def _read(path: Path) -> DecodedDataset | None:
    """The inverse of `_write`; None unless all of it is there and has its fingerprint."""
    try:
        with FileBytes(path, what="a cache of images", cap=_MAX_BYTES) as opened:
            file = io.BufferedReader(opened.file)
            header = json.loads(file.readline(_MAX_HEADER))
            arrays = [torch.from_numpy(read_array(file, allow_pickle=False)) for _ in range(4)]
        train, test = ImageSet(*arrays[:2]), ImageSet(*arrays[2:])
        if compute_fingerprint(train, test) != header["fingerprint"]:
            return None
        return DecodedDataset(
            train=train,
            test=test,
            class_names=tuple(header["class_names"]),
            formats=tuple(header["formats"]),
            fingerprint=header["fingerprint"],
            reading=Reading(**header["reading"] | {"remarks": tuple(header["reading"]["remarks"])}),
        )
    except Exception:  # damage can take any form, and all of it means: decode again
        return None
