"""CIFAR's python version: pickles that are read as data, nothing in them is run."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.data.encoded import EncodedDataset
from training.data.image_set import Reading
from training.data.label_column import plain_name
from training.data.not_read import refuse_pointer
from training.data.npz_source import pixel_split
from training.errors import DataError
from training.system.files import read_bytes
from training.tensor_files.plain_pickle import read_plain_pickle

_CAP = 1 << 28  # bytes of a batch; the largest, CIFAR-100's train, has 155 MB
_SIDE = 32
_FOLDERS = ("cifar-10-batches-py", "cifar-100-python")
_LABELS = ("labels", "fine_labels", "coarse_labels")


@dataclass(frozen=True, kw_only=True)
class CifarFiles:
    """The pickles of a data set.

    Attributes:
        folder: Where they lie.
        train: Files of training images, in order.
        test: The file of test images.
        meta: The file of class names.
    """

    folder: Path
    train: tuple[Path, ...]
    test: Path
    meta: Path

    @property
    def paths(self) -> list[Path]:
        """All of them."""
        return [*self.train, self.test, self.meta]


def find_cifar(folder: Path) -> CifarFiles | None:
    """Find the files in a folder, or in the folder that its archive unpacks to; None if none.

    Raises:
        DataError: One of them is missing.
    """
    for place in (folder, *(folder / name for name in _FOLDERS)):
        if (place / "data_batch_1").is_file():
            names = (
                *(f"data_batch_{number}" for number in range(1, 6)),
                "test_batch",
                "batches.meta",
            )
        elif all((place / name).is_file() for name in ("train", "meta")):
            names = ("train", "test", "meta")
        else:
            continue
        paths = [place / name for name in names]
        for path in paths:
            if not path.exists():
                raise DataError(f"{path} is missing; unpack CIFAR's archive anew")
        return CifarFiles(folder=place, train=tuple(paths[:-2]), test=paths[-2], meta=paths[-1])
    return None


def read_cifar(files: CifarFiles, label_column: str | None = None) -> EncodedDataset:
    """Read images, labels and class names.

    Args:
        files: The pickles.
        label_column: "fine_labels" or "coarse_labels" of CIFAR-100; None for its fine ones.

    Raises:
        DataError: A pickle that is damaged or does not hold what CIFAR's do.
    """
    batches = [_read_batch(path) for path in (*files.train, files.test)]
    has = [name for name in _LABELS if name in batches[0]]
    asked = [name for name in has if plain_name(name) == plain_name(label_column or has[0])]
    if not asked:
        rule = "{} has no labels {!r} for {label_column}; it has {}"
        raise DataError.naming(rule, files.folder, label_column, ", ".join(has) or "none")
    column, others = asked[0], [name for name in has if name != asked[0]]
    splits = []
    for paths, part in ((files.train, batches[:-1]), ((files.test,), batches[-1:])):
        pixels = [_pixels(batch, path) for batch, path in zip(part, paths, strict=True)]
        labels = [
            _labels(batch, column, len(images), path)
            for batch, images, path in zip(part, pixels, paths, strict=True)
        ]
        splits.append(
            pixel_split(np.concatenate(pixels), np.concatenate(labels), files.folder.name)
        )
    first = files.train[0].name
    return EncodedDataset(
        train=splits[0],
        test=splits[1],
        class_names=_class_names(files.meta, column),
        reading=Reading(
            labels=f"{column} of the pickles",
            train=first if len(files.train) == 1 else f"{first} to {files.train[-1].name}",
            test=files.test.name,
            remarks=(f"Not used as label: {', '.join(others)}.",) if others else (),
        ),
    )


class _Array:
    """An array of bytes as a pickle describes it, until its state comes."""

    array: NDArray[np.uint8] | None = None

    def set_state(self, state: Any) -> None:
        """Take (version, shape, type, whether in columns, content)."""
        _, shape, dtype, in_columns, content = state
        if isinstance(content, str):
            content = content.encode("latin-1")  # as Python 2 wrote bytes
        if dtype != _Type("u1") or not isinstance(content, bytes):
            raise ValueError("an array in it is not one of bytes")
        if min(shape) < 0 or math.prod(shape) != len(content):
            raise ValueError("an array in it has another size than it says")
        flat = np.frombuffer(content, dtype=np.uint8)
        self.array = flat.reshape(shape, order="F" if in_columns else "C")


@dataclass(frozen=True)
class _Type:
    name: str


def _encode(text: Any, encoding: Any) -> bytes:
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        raise ValueError("a text in it is in an encoding that CIFAR's pickles do not have")
    return text.encode("latin-1")


_KNOWN: Mapping[str, Any] = {
    "numpy dtype": lambda name, *_: _Type(str(name)),
    "_codecs encode": _encode,
    **{f"numpy.{core}.multiarray _reconstruct": lambda *_: _Array() for core in ("core", "_core")},
}


def _refuse_persistent(_: Any) -> Any:
    raise ValueError("it refers to something outside of it")


def _read_batch(path: Path) -> dict[str, Any]:
    """The dict that a pickle holds, its keys as text."""
    data = read_bytes(path, what="a pickle of CIFAR", cap=_CAP, error=DataError)
    try:
        found = read_plain_pickle(data, _KNOWN, _refuse_persistent, max_bytes=_CAP)
    except (ValueError, MemoryError) as error:
        refuse_pointer(path)
        raise DataError(
            f"{path} is not one of CIFAR's pickles ({error}); unpack CIFAR's archive anew"
        ) from error
    if not isinstance(found, dict):
        raise DataError(f"{path} is not one of CIFAR's pickles (it holds no dict)")
    return {
        key.decode("latin-1") if isinstance(key, bytes) else str(key): value
        for key, value in found.items()
    }


def _pixels(batch: dict[str, Any], path: Path) -> NDArray[np.uint8]:
    """The images, (N, 32, 32, 3)."""
    data = batch.get("data")
    array = data.array if isinstance(data, _Array) else None
    if array is None or array.ndim != 2 or array.shape[1] != 3 * _SIDE**2:
        raise DataError(
            f"{path} is not one of CIFAR's pickles (it has no data of 3072 bytes a row)"
        )
    return np.ascontiguousarray(array.reshape(-1, 3, _SIDE, _SIDE).transpose(0, 2, 3, 1))


def _labels(batch: dict[str, Any], column: str, number: int, path: Path) -> NDArray[np.int64]:
    labels = batch.get(column)
    is_right = isinstance(labels, list) and len(labels) == number
    if not is_right or not all(
        type(label) is int and abs(label) < 1 << 31 for label in labels or ()
    ):
        raise DataError(f"{path} is not one of CIFAR's pickles (it has no {column} of its images)")
    return np.array(labels, dtype=np.int64)


def _class_names(path: Path, column: str) -> tuple[str, ...]:
    key = "label_names" if column == "labels" else f"{column[:-1]}_names"
    names = _read_batch(path).get(key)
    if not isinstance(names, list) or not all(isinstance(name, str | bytes) for name in names):
        raise DataError(f"{path} has no {key}; unpack CIFAR's archive anew")
    return tuple(name.decode("latin-1") if isinstance(name, bytes) else name for name in names)
