"""Which column of a table is the label, and the classes that it holds.

A name decides first: a column called `label` is the label, whatever it holds. Nothing is passed
over in favour of a column that happens to have integers.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from training.data.encoded import first_names, ordered_names
from training.errors import DataError
from training.system.text import MAX_NAME, printable

if TYPE_CHECKING:
    import pyarrow as pa

LABEL_NAMES = frozenset(
    {"label", "target", "class", "category", "cls", "y", "digit", "fine_label", "coarse_label"}
    | {f"class_{what}" for what in ("id", "idx", "index", "label", "name")}
    | {f"{word}_{what}" for word in ("label", "target", "category") for what in ("id", "name")}
)
_CIFAR_100 = ("fine_label", "coarse_label")
_NO_LABEL = re.compile(
    r"(.*_)?(id|ids|idx|index|key|uid|uuid|number|path|file|files|filename|file_name|name|url|uri|"
    r"width|height|size|split|md5|sha1|sha256|hash|source|license|caption|text|date|time|fold)|"
    r"index_level_\d+|unnamed_\d+"
)
_COLUMNS_SHOWN = 20

Features = Mapping[str, Any]
"""What Hugging Face `datasets` writes beside a table: a column's name to its feature."""


@dataclass(frozen=True, kw_only=True)
class LabelColumn:
    """The column that is taken.

    Attributes:
        name: Its name; "parent.child" inside of a struct.
        class_names: Names that its feature gives, or None.
        is_asked_for: Whether the user named it.
        is_guess: Whether nothing but the lack of another column speaks for it.
        remarks: Sentences about the choice.
    """

    name: str
    class_names: tuple[str, ...] | None
    is_asked_for: bool
    is_guess: bool = False
    remarks: tuple[str, ...] = ()


def choose_label(
    schema: "pa.Schema",
    features: Features,
    source: str,
    *,
    image_column: str,
    asked: str | None = None,
) -> LabelColumn:
    """The column of labels.

    Args:
        schema: Of the table.
        features: What is known of its columns; may be empty.
        source: Name of the data set, for messages.
        image_column: The column of images, which is not it.
        asked: The column that the user named, or None.

    Raises:
        DataError: It is not there, or several could be it, or none.
    """
    types = _label_types(schema, image_column)
    classes = {name: _class_names(_feature_of(features, name)) for name in types}
    if asked is not None:
        if asked not in types:
            rule = "{} has no column {!r} that {label_column} could take; its columns are {}"
            raise DataError.naming(rule, source, asked, first_names(list(types), _COLUMNS_SHOWN))
        return LabelColumn(name=asked, class_names=classes[asked], is_asked_for=True)
    candidates = [name for name in types if classes[name] or plain_name(name) in LABEL_NAMES]
    exact = [name for name in candidates if plain_name(name) == "label"]
    chosen = exact or candidates
    if len(chosen) == 2 and tuple(sorted(map(plain_name, chosen), reverse=True)) == _CIFAR_100:
        chosen = [name for name in chosen if plain_name(name) == _CIFAR_100[0]]
    if len(chosen) == 1:
        others = [name for name in candidates if name != chosen[0]]
        return LabelColumn(
            name=chosen[0],
            class_names=classes[chosen[0]],
            is_asked_for=False,
            remarks=(f"Not used as label: {first_names(others)}.",) if others else (),
        )
    if chosen:
        rule = "{} has several label columns ({}); choose one with {label_column}"
        raise DataError.naming(rule, source, ", ".join(chosen))
    return _guess(schema, types, source)


def _guess(schema: "pa.Schema", types: Mapping[str, "pa.DataType"], source: str) -> LabelColumn:
    """The one column that could hold classes, if no name and no feature says which it is."""
    import pyarrow as pa  # noqa: PLC0415  (slow to import)

    kinds = (pa.types.is_integer, pa.types.is_boolean, pa.types.is_string, pa.types.is_large_string)
    left = [
        name
        for name, kind in types.items()
        if any(is_kind(kind) for is_kind in kinds) and not _NO_LABEL.fullmatch(plain_name(name))
    ]
    if len(left) != 1:
        rule = "{} has no label column, its columns are {}; name one with {label_column}"
        raise DataError.naming(rule, source, first_names(schema.names, _COLUMNS_SHOWN))
    remark = f"That {left[0]!r} is the label is a guess: no other column holds classes."
    return LabelColumn(
        name=left[0], class_names=None, is_asked_for=False, is_guess=True, remarks=(remark,)
    )


def plain_name(name: str) -> str:
    """A column's name without its spelling.

    >>> plain_name("Fine-Labels"), plain_name("objects.classId"), plain_name("class")
    ('fine_label', 'class_id', 'class')
    """
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name.rpartition(".")[2])
    plain = re.sub(r"[\W_]+", "_", words).strip("_").lower()
    if plain.endswith("classes"):
        return plain[:-2]
    return plain[:-1] if plain.endswith("s") and not plain.endswith("ss") else plain


def _label_types(schema: "pa.Schema", image_column: str) -> dict[str, "pa.DataType"]:
    """Every column that is not the image, and every field of a struct, by its name."""
    import pyarrow as pa  # noqa: PLC0415

    types: dict[str, pa.DataType] = {}
    for field in schema:
        if field.name == image_column:
            continue
        if pa.types.is_struct(field.type):
            if field.type.get_field_index("bytes") < 0:
                types |= {f"{field.name}.{inner.name}": inner.type for inner in field.type}
        else:
            types[field.name] = field.type
    return types


def _feature_of(features: Features, name: str) -> Any:
    """The feature of a column; of a list, that of its items."""
    found: Any = features
    for part in name.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    if isinstance(found, list) and len(found) == 1:
        return found[0]
    if isinstance(found, Mapping) and found.get("_type") in ("Sequence", "List", "LargeList"):
        return found.get("feature")
    return found


def _class_names(feature: Any) -> tuple[str, ...] | None:
    """Names that a ClassLabel feature gives, or None."""
    if not isinstance(feature, Mapping) or feature.get("_type") != "ClassLabel":
        return None
    names = feature.get("names")
    return tuple(map(str, names)) if isinstance(names, list) and names else None


def class_names_of(features: Features, name: str) -> tuple[str, ...] | None:
    """Names that the feature of a column gives its classes, or None."""
    return _class_names(_feature_of(features, name))


@dataclass(frozen=True, kw_only=True)
class ReadLabels:
    """Labels of both splits as class numbers.

    Attributes:
        train: int64, one an image.
        test: Likewise.
        class_names: One a class, or None where the numbers are the names.
        words: Where they come from.
    """

    train: NDArray[np.int64]
    test: NDArray[np.int64]
    class_names: tuple[str, ...] | None
    words: str


def read_labels(
    train: "pa.ChunkedArray",
    test: "pa.ChunkedArray",
    label: LabelColumn,
    source: str,
    places: tuple[Callable[[int], str], Callable[[int], str]],
) -> ReadLabels:
    """Make class numbers of the two columns.

    Integers are class numbers; texts and truth values are classes by name, in the order of their
    names. Floats that are all whole are taken as class numbers if the user named the column.

    Args:
        train: The column in the training table.
        test: In the test table.
        label: The column.
        source: Name of the data set, for messages.
        places: Say where row i of each table lies.

    Raises:
        DataError: Missing values, values that are not classes, or classes of the test images that
            the training images lack.
    """
    columns = [
        _flat(column, label.name, source, place)
        for column, place in zip((train, test), places, strict=True)
    ]
    values = [
        _values(column, label, source, place) for column, place in zip(columns, places, strict=True)
    ]
    words = f"column {printable(label.name, MAX_NAME)!r}"
    if isinstance(values[0], np.ndarray) and isinstance(values[1], np.ndarray):
        if label.is_guess and _all_distinct(values[0].tolist()):
            _refuse_own_labels(label.name, source)
        words += ", class numbers" if label.class_names is None else ", names as the table has them"
        return ReadLabels(
            train=values[0], test=values[1], class_names=label.class_names, words=words
        )
    texts = [[str(value) for value in part] for part in values]
    if label.is_guess and _all_distinct(texts[0]):
        _refuse_own_labels(label.name, source)
    names = ordered_names(list(set(texts[0])))
    numbers = {name: number for number, name in enumerate(names)}
    extra = sorted(set(texts[1]) - set(names))
    if extra:
        raise DataError(
            f"{source}: the test split has classes that the training split lacks: "
            f"{first_names(extra)}"
        )
    train_numbers, test_numbers = (
        np.array([numbers[text] for text in part], dtype=np.int64) for part in texts
    )
    order = "numbers" if all(name.isdecimal() for name in names) else "names"
    return ReadLabels(
        train=train_numbers,
        test=test_numbers,
        class_names=names,
        words=f"{words}, text in the order of its {order}",
    )


def _flat(
    column: "pa.ChunkedArray", name: str, source: str, place: Callable[[int], str]
) -> "pa.ChunkedArray":
    """The column without dictionaries, and without lists of one item."""
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.compute as pc  # noqa: PLC0415

    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    kind = column.type
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        lengths = pc.fill_null(pc.list_value_length(column), 0).to_numpy()
        if (lengths != 1).any():
            row = int((lengths != 1).argmax())
            raise DataError(
                f"{source}: column {name!r} holds {lengths[row]} labels in {place(row)}; an image "
                "must have one label"
            )
        column = pc.list_flatten(column)
    if column.null_count:
        row = column.is_null().to_pylist().index(True)
        raise DataError(f"{place(row)} has no label")
    return column


def _values(
    column: "pa.ChunkedArray", label: LabelColumn, source: str, place: Callable[[int], str]
) -> NDArray[np.int64] | list[Any]:
    """Integers as an array; what are classes by name as a list."""
    import pyarrow as pa  # noqa: PLC0415

    kind, name = column.type, label.name
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        texts: list[Any] = column.to_pylist()
        return texts
    if pa.types.is_boolean(kind):
        return ["true" if value else "false" for value in column.to_pylist()]
    numbers = np.asarray(column.to_numpy()) if _is_number(kind) else None
    if numbers is not None and pa.types.is_integer(kind):
        if (numbers > np.iinfo(np.int64).max).any():
            raise DataError(f"{source}: column {name!r} holds {numbers.max()}, which is no class")
        return numbers.astype(np.int64)
    if numbers is None or not pa.types.is_floating(kind):
        raise DataError(
            f"{source}: column {name!r} holds {str(kind)[:80]}; labels are integers, texts or "
            "truth values"
        )
    whole = np.isfinite(numbers) & (numbers == np.floor(numbers)) & (abs(numbers) < 2**53)
    if not whole.all():
        row = int((~whole).argmax())
        raise DataError(
            f"{source}: column {name!r} holds float, such as {numbers[row]} in {place(row)}; "
            "labels are integers, texts or truth values"
        )
    if not label.is_asked_for:
        rule = (
            "{}: column {!r} holds float ({}); all of it is whole: {label_column} {} takes it as "
            "class numbers"
        )
        raise DataError.naming(rule, source, name, kind, name)
    return numbers.astype(np.int64)


def _is_number(kind: "pa.DataType") -> bool:
    import pyarrow as pa  # noqa: PLC0415

    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))


def _all_distinct(values: Sequence[object]) -> bool:
    """Whether no value comes twice among so many that a label would."""
    return len(values) > 2 and len(set(values)) == len(values)


def _refuse_own_labels(name: str, source: str) -> None:
    rule = (
        "{}: every image has a value of its own in column {!r}, so it does not look like a label; "
        "name the label with {label_column}"
    )
    raise DataError.naming(rule, source, name)
