"""Small data sets that tests write, in the forms that people have them."""

import gzip
import io
import json
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from PIL import Image

from training.data.image_set import Dataset
from training.data.loading import load_dataset
from training.spec.config import DataConfig


def picture(
    value: int, *, size: int = 8, mode: str = "RGB", width: int | None = None
) -> Image.Image:
    pixels = np.random.default_rng(value).integers(0, 256, (size, width or size, 3), dtype=np.uint8)
    return Image.fromarray(pixels).convert(mode)


def encode(image: Image.Image, format_name: str = "PNG") -> bytes:
    stream = io.BytesIO()
    image.save(stream, format_name)
    return stream.getvalue()


def cells(count: int, start: int = 0) -> list[dict[str, Any]]:
    """So many different images, as the hub stores them."""
    return [{"bytes": encode(picture(start + index)), "path": None} for index in range(count)]


def class_label(*names: str) -> dict[str, Any]:
    return {"_type": "ClassLabel", "names": list(names)}


def write_table(
    path: Path, columns: dict[str, Any], features: dict[str, Any] | None = None
) -> Path:
    """A parquet file, with the features that `datasets` writes beside a table if any are given."""
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pa.table(columns)
    if features is not None:
        about = json.dumps({"info": {"features": features}})
        table = table.replace_schema_metadata({"huggingface": about})
    pq.write_table(table, path)
    return path


def write_pair(
    folder: Path,
    train: Any,
    test: Any,
    *,
    column: str = "label",
    features: dict[str, Any] | None = None,
    **others: Sequence[Any],
) -> Path:
    """A folder of train- and test-00000-of-00001.parquet with these labels."""
    for start, split, labels in ((0, "train", train), (1000, "test", test)):
        columns = {"image": cells(len(labels), start), column: labels}
        columns |= {name: values[: len(labels)] for name, values in others.items()}
        write_table(folder / f"{split}-00000-of-00001.parquet", columns, features)
    return folder


def write_classes(folder: Path, names: Sequence[str], *, count: int = 3, start: int = 0) -> Path:
    """A folder of class folders, with so many different images in each."""
    for label, name in enumerate(names):
        (folder / name).mkdir(parents=True, exist_ok=True)
        for index in range(count):
            picture(start + 100 * label + index).save(folder / name / f"{index}.png")
    return folder


def idx(array: NDArray[Any]) -> bytes:
    head = bytes((0, 0, 8, array.ndim))
    return head + struct.pack(f">{array.ndim}I", *array.shape) + array.astype("u1").tobytes()


def write_idx(folder: Path, dataset: dict[str, NDArray[Any]], *, suffix: str = "") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, array in dataset.items():
        content = idx(array)
        content = gzip.compress(content, 1) if suffix == ".gz" else content
        (folder / f"{name}-ubyte{suffix}").write_bytes(content)
    return folder


def load(source: Path | str, cache: Path, **settings: Any) -> Dataset:
    return load_dataset(DataConfig(source=str(source), **settings), cache_dir=cache)


def remarks(dataset: Dataset) -> str:
    assert dataset.reading is not None
    return " ".join(dataset.reading.remarks)
