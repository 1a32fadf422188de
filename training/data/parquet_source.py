"""Tables of encoded images and labels: folders of parquet files in the hub's layout."""

import json
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from training.data.decoding import TEST_SPLITS, EncodedDataset, EncodedSplit
from training.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa

_Split = TypeVar("_Split")

LABEL_COLUMNS = ("label", "fine_label")
"""Taken in this order where a table has several label columns."""


def find_parquet(folder: Path) -> Path | None:
    """The folder that directly holds the parquet files: `folder`, its data/, or its one config's.

    Raises:
        DataError: Parquet files in several subfolders: a choice only the user can make.
    """
    for place in (folder, folder / "data"):
        if any(place.glob("*.parquet")):
            return place
    configs = sorted({path.parent for path in folder.glob("*/*.parquet")})
    if len(configs) > 1:
        names = ", ".join(place.name for place in configs)
        raise DataError(
            f"{folder} holds several sets of parquet files ({names}); pass one of these folders"
        )
    return configs[0] if configs else None


def split_files(folder: Path) -> dict[str, list[Path]]:
    """Files of each split, by name: train-*.parquet and test-*.parquet (or validation-*.parquet).

    Raises:
        DataError: One of the two is missing.
    """
    found = {}
    for split in ("train", *TEST_SPLITS):
        files = sorted(folder.glob(f"{split}-*.parquet")) + sorted(folder.glob(f"{split}.parquet"))
        if files:
            found[split] = files
    return {
        "train": choose_split(found, ("train",), str(folder), "train-*.parquet"),
        "test": choose_split(found, TEST_SPLITS, str(folder), "test-*.parquet"),
    }


def choose_split(
    splits: Mapping[str, _Split], names: Sequence[str], source: str, expected: str
) -> _Split:
    """The first split of `names` that is there.

    Raises:
        DataError: There is none.
    """
    for name in names:
        if name in splits:
            return splits[name]
    has = ", ".join(splits) or "nothing"
    raise DataError(f"{source} has no {names[0]} split: expected {expected}, found {has}")


def read_parquet(folder: Path) -> EncodedDataset:
    """Read the two splits of a folder as `find_parquet` found it.

    Raises:
        DataError: A missing split, an unreadable file, or no clear image and label columns.
    """
    files = split_files(folder)
    train_tables = [_read_table(path) for path in files["train"]]
    features = _metadata_features(train_tables[0].schema)
    columns = find_columns(train_tables[0].schema, features, str(folder))
    train = _read_split(files["train"], train_tables, columns)
    test = _read_split(files["test"], [_read_table(path) for path in files["test"]], columns)
    return EncodedDataset(train=train, test=test, class_names=class_names(features, columns[1]))


def find_columns(
    schema: "pa.Schema", features: dict[str, dict[str, Any]], source: str
) -> tuple[str, str]:
    """Names of the image column and of the label column.

    They are found by the feature types that Hugging Face `datasets` writes beside a table (Image,
    ClassLabel), and where these are missing by the columns' own types (a struct of bytes and
    path; an integer).

    Raises:
        DataError: None of a kind, or several with no name in favour of one.
    """
    import pyarrow as pa  # noqa: PLC0415  (slow to import)

    by_type: dict[str, list[str]] = {"Image": [], "ClassLabel": []}
    for name, feature in features.items():
        if name in schema.names and feature.get("_type") in by_type:
            by_type[feature["_type"]].append(name)
    images = by_type["Image"] or [
        field.name
        for field in schema
        if pa.types.is_struct(field.type) and field.type.get_field_index("bytes") >= 0
    ]
    labels = by_type["ClassLabel"] or [
        field.name for field in schema if pa.types.is_integer(field.type)
    ]
    return (
        _choose_column(images, ("image", "img"), "image", schema.names, source),
        _choose_column(labels, LABEL_COLUMNS, "label", schema.names, source),
    )


def _choose_column(
    found: list[str], preferred: Sequence[str], kind: str, names: list[str], source: str
) -> str:
    if len(found) == 1:
        return found[0]
    for name in preferred:
        if name in found:
            return name
    if found:
        raise DataError(
            f"{source} has several {kind} columns ({', '.join(found)}); keep one, or name it "
            f"{preferred[0]!r}"
        )
    raise DataError(f"{source} has no {kind} column; its columns are {', '.join(names)}")


def class_names(features: dict[str, dict[str, Any]], label_column: str) -> tuple[str, ...] | None:
    """Names that a ClassLabel feature gives, or None."""
    names = features.get(label_column, {}).get("names")
    return tuple(str(name) for name in names) if isinstance(names, list) and names else None


def encode_table(
    table: "pa.Table", columns: tuple[str, str], folder: Path, place: Callable[[int], str]
) -> EncodedSplit:
    """The images and labels of one table; image paths in it are relative to `folder`.

    Raises:
        DataError: Missing columns or missing values.
    """
    import pyarrow as pa  # noqa: PLC0415

    image_column, label_column = columns
    for name in columns:
        if name not in table.column_names:
            raise DataError(f"{place(0)} is in a table without the column {name!r}")
    labels = table.column(label_column)
    if labels.null_count:
        row = labels.is_null().to_pylist().index(True)
        raise DataError(f"{place(row)} has no label")
    if not pa.types.is_integer(labels.type):
        raise DataError(f"{place(0)}: labels must be integers, not {labels.type}")
    files: list[bytes | Path] = []
    for row, image in enumerate(table.column(image_column).to_pylist()):
        value = image or {}
        if value.get("bytes") is not None:
            files.append(value["bytes"])
        elif value.get("path"):
            files.append(folder / value["path"])
        else:
            raise DataError(f"{place(row)} has no image")
    return EncodedSplit(
        files=files, labels=np.asarray(labels.to_numpy()).astype(np.int64), place=place
    )


def _read_table(path: Path) -> "pa.Table":
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.parquet as pq  # noqa: PLC0415

    try:
        return pq.ParquetFile(path).read()
    except (OSError, pa.ArrowException) as error:
        raise DataError(
            f"{path} is not a readable parquet file ({' '.join(str(error).split())})"
        ) from error


def _metadata_features(schema: "pa.Schema") -> dict[str, dict[str, Any]]:
    """The feature types that `datasets` stored in the schema; empty where there are none."""
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
        return {str(name): value for name, value in features.items() if isinstance(value, dict)}
    except (KeyError, TypeError, AttributeError, ValueError):
        return {}


def _read_split(
    files: list[Path], tables: "list[pa.Table]", columns: tuple[str, str]
) -> EncodedSplit:
    ends = list(accumulate(table.num_rows for table in tables))

    def place_in(path: Path) -> Callable[[int], str]:
        return lambda row: f"row {row} of {path.name}"

    def place(index: int) -> str:
        number = bisect_right(ends, index)
        return place_in(files[number])(index - ends[number] + tables[number].num_rows)

    parts = [
        encode_table(table, columns, path.parent, place_in(path))
        for path, table in zip(files, tables, strict=True)
    ]
    return EncodedSplit(
        files=[file for part in parts for file in part.files],
        labels=np.concatenate([part.labels for part in parts]),
        place=place,
    )
