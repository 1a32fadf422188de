"""Tables of encoded images and labels, read from parquet files."""

import json
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path, PurePath, PureWindowsPath
from typing import TYPE_CHECKING, Any

from training.data.encoded import EncodedDataset, EncodedSplit, first_names, reason_of
from training.data.image_set import Reading
from training.data.label_column import LabelColumn, choose_label, class_names_of, read_labels
from training.data.not_read import refuse_pointer
from training.data.parquet_files import ParquetFiles
from training.errors import DataError, OutOfMemoryError
from training.system.files import FileBytes
from training.system.memory import WAY_OUT, check_memory

if TYPE_CHECKING:
    import pyarrow as pa

_CAP = 1 << 42  # bytes of a file: 4 TiB
_MAX_PATH = 1024
_ROWS = 256  # read at once, so that what they unpack to is seen before the next
_IMAGE_NAMES = ("image", "img")


def read_parquet(files: ParquetFiles, label_column: str | None = None) -> EncodedDataset:
    """Read the two splits.

    Raises:
        DataError: An unreadable file, or no clear image and label columns.
    """
    import pyarrow as pa  # noqa: PLC0415  (slow to import)

    try:
        return _read_splits(files, label_column)
    except (pa.ArrowException, UnicodeError) as error:  # of names and texts that are not UTF-8
        raise DataError(
            f"{files.folder}: its tables cannot be read ({reason_of(error)})"
        ) from error


def _read_splits(files: ParquetFiles, label_column: str | None) -> EncodedDataset:
    source = str(files.folder)
    schema = _read_schema(files.train[0])
    features = metadata_features(schema)
    image, others = choose_image(schema, features, source)
    label = choose_label(schema, features, source, image_column=image, asked=label_column)
    splits = []
    for paths in (files.train, files.test):
        for path in paths:
            _check_columns(path, image, label, first=files.train[0])
        splits.append(_read_split(paths, image, label))
    words = (
        _place_words(files.chosen.train, files.train),
        _place_words(files.chosen.test, files.test),
    )
    return join_splits(splits, label, source, words, (*files.chosen.remarks, *others))


def join_splits(
    splits: "Sequence[TableSplit]",
    label: LabelColumn,
    source: str,
    words: tuple[str, str],
    remarks: tuple[str, ...],
) -> EncodedDataset:
    """The data set of a training and a test table.

    Args:
        splits: Both.
        label: The column of labels.
        source: Name of the data set, for messages.
        words: What is said of where each split comes from.
        remarks: What else is to be said.

    Raises:
        DataError: Labels that cannot be used.
    """
    places = splits[0].place, splits[1].place
    labels = read_labels(splits[0].labels, splits[1].labels, label, source, places)
    encoded = [
        EncodedSplit(files=part.files, labels=numbers, place=part.place)
        for part, numbers in zip(splits, (labels.train, labels.test), strict=True)
    ]
    remarks = (*remarks, *label.remarks)
    return EncodedDataset(
        train=encoded[0],
        test=encoded[1],
        class_names=labels.class_names,
        reading=Reading(labels=labels.words, train=words[0], test=words[1], remarks=remarks),
    )


def _place_words(name: str, paths: Sequence[Path]) -> str:
    first = paths[0]
    where = f"{first.parent.name}/{first.name}" if name == first.parent.name else first.name
    return where if len(paths) == 1 else f"{where} and {len(paths) - 1:,} more"


def choose_image(
    schema: "pa.Schema", features: dict[str, Any], source: str
) -> tuple[str, tuple[str, ...]]:
    """Name of the image column, and what to say of others.

    It is found by the feature type that Hugging Face `datasets` writes beside a table, and where
    that is missing by the columns' own types: a struct of bytes and path, or bytes.

    Raises:
        DataError: None, or several with no name in favour of one.
    """
    import pyarrow as pa  # noqa: PLC0415  (slow to import)

    def is_image(field: "pa.Field") -> bool:
        if pa.types.is_struct(field.type):
            return bool(field.type.get_field_index("bytes") >= 0)
        return bool(pa.types.is_binary(field.type) or pa.types.is_large_binary(field.type))

    typed = [
        str(field.name)
        for field in schema
        if isinstance(features.get(field.name), dict)
        and features[field.name].get("_type") == "Image"
    ]
    found = typed or [str(field.name) for field in schema if is_image(field)]
    for name in _IMAGE_NAMES:
        if name in schema.names and name not in found:
            raise DataError(
                f"{source}: column {name!r} holds {str(schema.field(name).type)[:80]}; expected "
                "encoded images, bytes or a struct of bytes and path"
            )
    if len(found) == 1:
        return found[0], ()
    for name in _IMAGE_NAMES:
        if name in found:
            others = first_names([each for each in found if each != name])
            return name, (f"Images are column {name!r}; not used: {others}.",)
    if found:
        raise DataError(
            f"{source} has several image columns ({', '.join(found)}); keep one, or name it "
            f"{_IMAGE_NAMES[0]!r}"
        )
    raise DataError(
        f"{source} has no column of encoded images (bytes, or a struct of bytes and path); its "
        f"columns are {first_names([f'{field.name}: {field.type}'[:80] for field in schema], 20)}"
    )


@dataclass(frozen=True, kw_only=True)
class TableSplit:
    """Images and labels of one split as a table has them.

    Attributes:
        files: Contents of image files, or paths to them.
        labels: The label column.
        place: Says where row i lies.
    """

    files: list[bytes | Path]
    labels: "pa.ChunkedArray"
    place: Callable[[int], str]


def encoded_images(
    values: "Iterable[Any]", roots: Sequence[Path], place: Callable[[int], str]
) -> list[bytes | Path]:
    """Contents or paths of a column of images.

    Args:
        values: Its rows: bytes, or dicts of bytes and path.
        roots: A path is relative to the first and must lie inside of one of them.
        place: Says where row i lies.

    Raises:
        DataError: A row without an image, or a path that leads outside.
    """
    files: list[bytes | Path] = []
    for row, value in enumerate(values):
        content = value.get("bytes") if isinstance(value, dict) else value
        path = value.get("path") if isinstance(value, dict) else None
        if content is not None:
            files.append(content)
        elif path:
            files.append(_path_inside(str(path), roots, place(row)))
        else:
            raise DataError(f"{place(row)} has no image")
    return files


def _path_inside(text: str, roots: Sequence[Path], place: str) -> Path:
    try:
        path = (roots[0] / text).resolve()
        is_inside = any(path.is_relative_to(root.resolve()) for root in roots)
    except (OSError, ValueError, RuntimeError):  # a loop of links, or no path at all
        is_inside = False
    is_plain = (
        len(text) < _MAX_PATH
        and ".." not in PurePath(text).parts
        and not PureWindowsPath(text).drive
    )
    if not is_inside or not is_plain:
        raise DataError(
            f"{place} names the image file {text[:80]!r}, which is not inside of the data set's "
            "folder; only files in there are read"
        )
    return path


def _open(path: Path) -> FileBytes:
    return FileBytes(path, what="a parquet file", cap=_CAP, error=DataError)


def _unreadable(path: Path, error: Exception) -> DataError:
    refuse_pointer(path)
    return DataError(f"{path} is not a readable parquet file ({reason_of(error)})")


def _read_schema(path: Path) -> "pa.Schema":
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.parquet as pq  # noqa: PLC0415

    with _open(path) as source:
        try:
            return pq.ParquetFile(source.file).schema_arrow
        except (OSError, pa.ArrowException) as error:
            raise _unreadable(path, error) from error


def _check_columns(path: Path, image: str, label: LabelColumn, *, first: Path) -> None:
    """Every file must have both columns, and mean the same by a class number."""
    schema = _read_schema(path)
    for name in (image, label.name):
        if not _has_column(schema, name):
            raise DataError(f"{path} is a table without the column {name!r}, which {first} has")
    names = class_names_of(metadata_features(schema), label.name)
    if names is not None and label.class_names is not None and names != label.class_names:
        pairs = zip(names, label.class_names, strict=False)
        number = next(
            (i for i, (a, b) in enumerate(pairs) if a != b), min(len(names), len(label.class_names))
        )
        raise DataError(
            f"{path} and {first} have different class names, first for class {number}; a class "
            "number must mean the same in both"
        )


def _has_column(schema: "pa.Schema", name: str) -> bool:
    """Whether there is a column, or the field of a struct, of a name that is there once."""
    import pyarrow as pa  # noqa: PLC0415

    parent, _, child = name.partition(".")
    if schema.names.count(name) == 1:
        return True
    is_struct = schema.names.count(parent) == 1 and pa.types.is_struct(schema.field(parent).type)
    return is_struct and bool(schema.field(parent).type.get_field_index(child) >= 0)


def _read_table(path: Path, columns: list[str]) -> "pa.Table":
    """Some columns of a file, as far as memory holds what they unpack to."""
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.parquet as pq  # noqa: PLC0415

    batches = []
    with _open(path) as source:
        try:
            parquet = pq.ParquetFile(source.file)
            schema, num_rows = parquet.schema_arrow, parquet.metadata.num_rows
            if num_rows > source.num_bytes:
                raise DataError(
                    f"{path} stands for {num_rows:,} rows in {source.num_bytes:,} bytes, so they "
                    "hold no images"
                )
            for batch in parquet.iter_batches(batch_size=_ROWS, columns=columns):
                check_memory(2 * batch.nbytes, f"{path}: holding its images")
                batches.append(batch)
        except pa.ArrowMemoryError as error:
            raise OutOfMemoryError(
                f"{path}: {_ROWS} of its images unpack to more than memory holds; {WAY_OUT}"
            ) from error
        except (OSError, pa.ArrowException) as error:
            raise _unreadable(path, error) from error
    kept = pa.schema([schema.field(name) for name in columns])
    return pa.Table.from_batches(batches, batches[0].schema if batches else kept)


def metadata_features(schema: "pa.Schema") -> dict[str, Any]:
    """The feature types that `datasets` stored in the schema; empty where there are none."""
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
        return {str(name): value for name, value in features.items()}
    except (KeyError, TypeError, AttributeError, ValueError, RecursionError):
        return {}


def column_of(table: "pa.Table", name: str) -> "pa.ChunkedArray":
    """A column, or the field of a struct that "parent.child" names."""
    import pyarrow.compute as pc  # noqa: PLC0415

    if name in table.column_names:
        return table.column(name)
    parent, _, child = name.partition(".")
    return pc.struct_field(table.column(parent), child)


def _read_split(paths: Sequence[Path], image: str, label: LabelColumn) -> TableSplit:
    import pyarrow as pa  # noqa: PLC0415

    columns = list(dict.fromkeys((image, label.name.partition(".")[0])))
    files: list[bytes | Path] = []
    labels, sizes = [], []
    for path in paths:
        table = _read_table(path, columns)

        def place_in(row: int, path: Path = path) -> str:
            return f"row {row} of {path.name}"

        values = (value for chunk in table.column(image).chunks for value in chunk.to_pylist())
        files += encoded_images(values, (path.parent,), place_in)
        labels.append(column_of(table, label.name))
        sizes.append(table.num_rows)
    ends = list(accumulate(sizes))

    def place(index: int) -> str:
        number = bisect_right(ends, index)
        return f"row {index - ends[number] + sizes[number]} of {paths[number].name}"

    try:
        chunks = [chunk for part in labels for chunk in part.chunks]
        joined = pa.chunked_array(chunks, labels[0].type)
    except (pa.ArrowException, TypeError) as error:
        raise DataError(
            f"{paths[0].parent}: column {label.name!r} is not of one type in all files"
        ) from error
    return TableSplit(files=files, labels=joined, place=place)
