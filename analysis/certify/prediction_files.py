"""Predictions of any classifier from a file of somebody's: .csv, .npz or .parquet.

One row, or number, per image: its class, as the number that the data set gives it or as its name.
A column `index` (or `id`) says which image a row is about, from 0 on; without it the order is that
of the images. `fingerprint` says which images the whole file is about, as `load_dataset` gives it.
"""

import csv
import io
import re
import zipfile
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from training.data.encoded import first_names, reason_of
from training.data.npz_source import UNREADABLE, read_array
from training.errors import DataError, OutOfMemoryError
from training.system.checks import shown
from training.system.files import FileBytes, read_text
from training.system.memory import check_memory

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

_WHAT = "a file of predictions (.csv, .npz or .parquet)"
_CAP = 1 << 30
_PREDICTIONS = ("prediction", "predictions", "predicted", "pred", "preds", "y_pred")
_INDEX = ("index", "id", "")  # pandas writes an index without a name
_FINGERPRINT = "fingerprint"
_INTEGER = re.compile(r"[+-]?[0-9]{1,18}")

Values = NDArray[Any] | list[Any]
"""One column: integers, or texts."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Predictions:
    """What a classifier answers, image by image.

    Attributes:
        classes: int64 (N,), class numbers, in the order of the images.
        order: A sentence: how it is known which image each is about.
    """

    classes: Tensor
    order: str


@dataclass(frozen=True, kw_only=True)
class Expected:
    """What predictions must fit.

    Attributes:
        name: Of the data set and the split, for people.
        num_images: N.
        class_names: In the order of the class numbers.
        fingerprint: Of the data set.
    """

    name: str
    num_images: int
    class_names: tuple[str, ...]
    fingerprint: str


def read_predictions(path: Path | str, expected: Expected) -> Predictions:
    """Read predictions and hold them against the images that they are about.

    Raises:
        DataError: The file cannot be read, or does not fit: another number of rows, a class that
            is not there, an index that is no order of the images, another fingerprint.
        OutOfMemoryError: There is no memory for it.
    """
    path = Path(path)
    read = _READERS.get(path.suffix.lower())
    if read is None:
        raise DataError(f"{path}: its name does not end as that of {_WHAT} does")
    columns = read(path, expected)
    names = {name.strip().lower(): name for name in columns}
    index = next((names[each] for each in _INDEX if each in names), None)
    values = columns[_prediction_column(columns, str(path))]
    return _placed(
        values,
        expected,
        str(path),
        index=None if index is None else columns[index],
        fingerprint=columns[names[_FINGERPRINT]] if _FINGERPRINT in names else None,
    )


def given_predictions(values: object, expected: Expected) -> Predictions:
    """Predictions from memory: an array, tensor or list of class numbers or names."""
    return _placed(np.asarray(values), expected, "target", index=None, fingerprint=None)


def _placed(
    values: Values,
    expected: Expected,
    source: str,
    *,
    index: Values | None,
    fingerprint: Values | None,
) -> Predictions:
    numbers = _class_numbers(_column(values, source), expected.class_names, source)
    if len(numbers) != expected.num_images:
        raise DataError(
            f"{source} has {len(numbers):,} predictions, and {expected.name} has "
            f"{expected.num_images:,} images; it takes one for each"
        )
    order = (
        "Nothing in the file says which images its rows are about: their order is trusted to be "
        f"that of {expected.name}."
    )
    if fingerprint is not None:
        _check_fingerprint(_column(fingerprint, source), expected, source)
        order = (
            "The file names the fingerprint of these images; the order of its rows is trusted to "
            "be theirs."
        )
    if index is not None:
        places = _integers(_column(index, source), f"{source}: its index")
        if not np.array_equal(np.sort(places), np.arange(expected.num_images)):
            raise DataError(
                f"{source}: its index must hold each place of an image in {expected.name} once, 0 "
                f"to {expected.num_images - 1:,}; leave it out if the rows are in that order"
            )
        numbers = numbers[np.argsort(places)]
        order = "Rows were put in the images' order by their index."
    return Predictions(classes=torch.from_numpy(numbers.copy()), order=order)


def _prediction_column(columns: Collection[str], source: str) -> str:
    """The one called so, or else the only one that is neither index nor fingerprint."""
    for wanted in _PREDICTIONS:
        for name in columns:
            if name.strip().lower() == wanted:
                return name
    rest = [name for name in columns if name.strip().lower() not in (*_INDEX, _FINGERPRINT)]
    if len(rest) != 1:
        raise DataError(
            f"{source} has no column of predictions: call it 'prediction'; it has "
            f"{first_names(list(columns)) or 'none'}"
        )
    return rest[0]


def _column(values: Values, source: str) -> NDArray[Any]:
    try:
        array = np.asarray(values)
    except ValueError:  # rows of lists of several lengths
        array = np.zeros((0, 0))
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1:
        shape = "x".join(map(str, array.shape)) or "one number"
        raise DataError(
            f"{source} holds an array of shape {shape}; give one class per image, such as "
            "scores.argmax(axis=1)"
        )
    return array


def _class_numbers(
    values: NDArray[Any], class_names: Sequence[str], source: str
) -> NDArray[np.int64]:
    """Numbers from numbers or names; what could be both and differs is refused."""
    texts = [] if values.dtype.kind in "iu" else sorted({str(each).strip() for each in values})
    names = {name: number for number, name in enumerate(class_names)}
    if values.dtype.kind in "OUST" and texts and all(text in names for text in texts):
        if any(_is_integer(text) and int(text) != names[text] for text in texts):
            raise DataError(
                f"{source}: {shown(texts[0])} may be a class's name or its number, which differ "
                "here; give class numbers as integers in a .npz or .parquet file"
            )
        return np.array([names[str(each).strip()] for each in values], dtype=np.int64)
    if values.dtype.kind in "OUST" and (
        strange := [each for each in texts if not _is_integer(each)]
    ):
        wrong = next((each for each in strange if each not in names), None)
        if wrong is None:
            raise DataError(f"{source} has class names and numbers; give one or the other")
        raise DataError(
            f"{source}: {shown(wrong)} is neither a class number nor one of the {len(names):,} "
            f"classes: {first_names(list(class_names))}"
        )
    numbers = _integers(values, f"{source}: its predictions")
    outside = np.flatnonzero((numbers < 0) | (numbers >= len(class_names)))
    if len(outside):
        raise DataError(
            f"{source}: prediction {outside[0]:,} is {numbers[outside[0]]}, and class numbers go "
            f"from 0 to {len(class_names) - 1}"
        )
    return numbers


def _is_integer(text: str) -> bool:
    return _INTEGER.fullmatch(text) is not None


def _integers(values: NDArray[Any], what: str) -> NDArray[np.int64]:
    if values.dtype.kind == "u" and values.dtype.itemsize == 8:
        values = np.minimum(values, np.iinfo(np.int64).max)
    if values.dtype.kind in "iu":
        return values.astype(np.int64)
    texts = [str(each).strip() for each in values] if values.dtype.kind in "OUST" else None
    if texts is None or not all(map(_is_integer, texts)):
        found = values.dtype if texts is None else "other texts"
        raise DataError(f"{what} must be integers, not {found}")
    return np.array([int(text) for text in texts], dtype=np.int64)


def _check_fingerprint(values: NDArray[Any], expected: Expected, source: str) -> None:
    found = {str(each).strip() for each in values}
    if found != {expected.fingerprint}:
        stated = shown(min(found, default=""))
        raise DataError(
            f"{source} is about images of fingerprint {stated}, and these are "
            f"{expected.fingerprint[:12]}... ({expected.name}); pass the images that it was made on"
        )


def _read_csv(path: Path, expected: Expected) -> dict[str, Values]:
    text = read_text(path, what=_WHAT, cap=_CAP, error=DataError).removeprefix("\ufeff")
    try:
        reader = csv.reader(io.StringIO(text, newline=""), strict=True)
        head = next((row for row in reader if row), [])
        is_bare = len(head) == 1 and (
            _is_integer(head[0].strip()) or head[0].strip() in expected.class_names
        )
        names = ["prediction"] if is_bare else head
        columns: list[list[Any]] = [[each] for each in head] if is_bare else [[] for _ in head]
        for row in reader:
            if not row:
                continue
            if len(row) != len(head):
                raise DataError(
                    f"{path}: line {reader.line_num:,} has {len(row)} cells, not {len(head)}"
                )
            if len(columns[0]) > expected.num_images:
                break  # too many, as is found in a moment
            for column, cell in zip(columns, row, strict=True):
                column.append(cell)
    except csv.Error as error:
        raise DataError(f"{path} is not a readable .csv file ({reason_of(error)})") from error
    wanted = _wanted(names, path)
    return {name: columns[names.index(name)] for name in wanted}


def _read_npz(path: Path, _: Expected) -> dict[str, Values]:
    with FileBytes(path, what=_WHAT, cap=_CAP, error=DataError) as source:
        try:
            with zipfile.ZipFile(source.file) as archive:
                members = {name.removesuffix(".npy"): name for name in archive.namelist()}
                columns: dict[str, Values] = {
                    name: read_array(archive, members[name], f"{path}: {name}")
                    for name in _wanted(list(members), path)
                }
        except UNREADABLE as error:
            raise DataError(f"{path} is not a readable .npz file ({reason_of(error)})") from error
    fingerprint = columns.get(_FINGERPRINT)
    if fingerprint is not None:
        columns[_FINGERPRINT] = np.atleast_1d(fingerprint)
    return columns


def _read_parquet(path: Path, expected: Expected) -> dict[str, Values]:
    import pyarrow as pa  # noqa: PLC0415  (slow to import)
    import pyarrow.parquet as pq  # noqa: PLC0415

    with FileBytes(path, what=_WHAT, cap=_CAP, error=DataError) as source:
        try:
            return _read_columns(pq.ParquetFile(source.file), path, expected)
        except pa.ArrowMemoryError as error:
            raise OutOfMemoryError(f"{path} unpacks to more than memory holds") from error
        except (OSError, UnicodeError, pa.ArrowException) as error:
            raise DataError(
                f"{path} is not a readable .parquet file ({reason_of(error)})"
            ) from error


def _read_columns(file: "pq.ParquetFile", path: Path, expected: Expected) -> dict[str, Values]:
    wanted = _wanted(list(file.schema_arrow.names), path)
    if file.metadata.num_rows > expected.num_images:
        raise DataError(
            f"{path} has {file.metadata.num_rows:,} rows, and {expected.name} has "
            f"{expected.num_images:,} images; it takes one for each"
        )
    for name in wanted:
        _check_type(file.schema_arrow.field(name).type, f"{path}: column {name!r}")
    columns: dict[str, list[Any]] = {name: [] for name in wanted}
    for batch in file.iter_batches(batch_size=256, columns=wanted):
        check_memory(2 * batch.nbytes, f"{path}: holding its predictions")
        for name, column in columns.items():
            column.extend(batch.column(name).to_pylist())
    return dict(columns)


def _check_type(kind: "pa.DataType", what: str) -> None:
    import pyarrow as pa  # noqa: PLC0415  (slow to import)

    plain = kind.value_type if pa.types.is_dictionary(kind) else kind
    if not any(
        test(plain) for test in (pa.types.is_integer, pa.types.is_string, pa.types.is_large_string)
    ):
        raise DataError(f"{what} must hold integers or texts, not {str(kind)[:80]}")


def _wanted(names: Sequence[str], path: Path) -> list[str]:
    """The columns that are read: no name is there twice."""
    folded = [name.strip().lower() for name in names]
    if len(set(folded)) < len(folded):
        twice = next(name for place, name in enumerate(folded) if name in folded[:place])
        raise DataError(f"{path} has two columns called {shown(twice)}; leave one out")
    known = [name for name in names if name.strip().lower() in (*_INDEX, _FINGERPRINT)]
    return [*known, _prediction_column(names, str(path))]


_READERS: dict[str, Callable[[Path, Expected], dict[str, Values]]] = {
    ".csv": _read_csv,
    ".npz": _read_npz,
    ".parquet": _read_parquet,
}
