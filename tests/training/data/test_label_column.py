"""Which column is the label: a name decides, a guess is said, a contradiction is refused."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from tests.training.data.made_sets import class_label, load, remarks, write_pair, write_table
from training.errors import DataError

FINE, COARSE = [0, 1, 2, 3] * 3, [0, 0, 1, 1] * 3


def test_text_labels_are_classes_by_name(tmp_path: Path) -> None:
    names = ["dog", "ant", "bee"]
    write_pair(tmp_path, names * 2, names[:2], id=[0, 1, 2, 3, 4, 5])
    dataset = load(tmp_path, tmp_path / "cache")
    assert dataset.class_names == ("ant", "bee", "dog")
    assert dataset.train.labels.tolist() == [2, 0, 1, 2, 0, 1]
    assert dataset.test.labels.tolist() == [2, 0]


def test_texts_that_are_numbers_are_in_the_order_of_the_numbers(tmp_path: Path) -> None:
    write_pair(tmp_path, ["10", "9", "10", "2"], ["9"])
    dataset = load(tmp_path, tmp_path / "cache")
    assert dataset.class_names == ("2", "9", "10")
    assert "in the order of its numbers" in dataset.reading.labels


@pytest.mark.parametrize(
    ("kind", "labels"),
    [
        (pa.large_string(), ["a", "b", "a", "b"]),
        (pa.dictionary(pa.int8(), pa.string()), ["a", "b", "a", "b"]),
        (pa.list_(pa.string()), [["a"], ["b"], ["a"], ["b"]]),
    ],
)
def test_texts_may_be_stored_in_many_ways(kind: Any, labels: list[Any], tmp_path: Path) -> None:
    values = pa.array(["a", "b", "a", "b"]).cast(kind) if pa.types.is_dictionary(kind) else labels
    write_pair(tmp_path, pa.array(values, kind), pa.array(values, kind))
    dataset = load(tmp_path, tmp_path / "cache")
    assert (dataset.class_names, dataset.train.labels.tolist()) == (("a", "b"), [0, 1, 0, 1])


@pytest.mark.parametrize(
    ("kind", "names"), [(pa.uint8(), ("0", "1")), (pa.bool_(), ("false", "true"))]
)
def test_integers_and_truth_values(kind: Any, names: tuple[str, ...], tmp_path: Path) -> None:
    values = pa.array([False, True, True], pa.bool_()).cast(kind)
    write_pair(tmp_path, values, values)
    dataset = load(tmp_path, tmp_path / "cache")
    assert (dataset.class_names, dataset.train.labels.tolist()) == (names, [0, 1, 1])


def test_whole_floats_are_taken_only_when_they_are_asked_for(tmp_path: Path) -> None:
    write_pair(tmp_path, [0.0, 1.0, 1.0], [1.0], __index_level_0__=[7, 8, 9])
    with pytest.raises(DataError, match=r"column 'label' holds float .* label_column label takes"):
        load(tmp_path, tmp_path / "cache")
    dataset = load(tmp_path, tmp_path / "cache", label_column="label")
    assert dataset.train.labels.tolist() == [0, 1, 1]


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        ([0.5, 1.0, 0.0], r"column 'label' holds float, such as 0.5 in row 0 of train-"),
        ([0.0, None, 1.0], r"row 1 of train-.* has no label"),
        ([None, None, None], r"row 0 of train-.* has no label"),
        ([[0, 1], [1], [0]], r"column 'label' holds 2 labels in row 0 of train-"),
        ([b"a", b"b", b"a"], r"several image columns|column 'label' holds binary"),
        (
            pa.array([2**63, 1, 0], pa.uint64()),
            r"column 'label' holds 9223372036854775808, which is no class",
        ),
    ],
)
def test_a_label_that_holds_no_classes_is_not_passed_over(
    labels: list[Any], words: str, tmp_path: Path
) -> None:
    write_pair(tmp_path, labels, labels, species=[0, 1, 0])
    with pytest.raises(DataError, match=words) as caught:
        load(tmp_path, tmp_path / "cache")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "column",
    ["label", "Labels", "target", "TARGET", "class", "classes", "y", "category", "classId"],
)
def test_usual_names_go_before_other_columns(column: str, tmp_path: Path) -> None:
    write_pair(
        tmp_path, [0, 1, 0, 1], [0, 1, 0, 1], column=column, id=[5, 6, 7, 8], age=[0, 1, 2, 3]
    )
    dataset = load(tmp_path, tmp_path / "cache")
    assert dataset.train.labels.tolist() == [0, 1, 0, 1]
    assert dataset.reading.labels == f"column {column!r}, class numbers"


def test_the_classes_of_cifar_100_are_its_fine_ones_unless_told(tmp_path: Path) -> None:
    features = {"fine_label": class_label(*"abcd"), "coarse_label": class_label("x", "y")}
    write_pair(tmp_path, FINE, FINE, column="fine_label", features=features, coarse_label=COARSE)
    fine = load(tmp_path, tmp_path / "cache")
    assert (fine.class_names, fine.train.labels.tolist()) == (tuple("abcd"), FINE)
    assert "Not used as label: coarse_label" in remarks(fine)
    coarse = load(tmp_path, tmp_path / "cache", label_column="coarse_label")
    assert (coarse.class_names, coarse.train.labels.tolist()) == (("x", "y"), COARSE)
    again = load(tmp_path, tmp_path / "cache")  # from the cache, where both lie now
    assert again.fingerprint == fine.fingerprint != coarse.fingerprint


def test_several_labels_are_a_choice_for_the_user(tmp_path: Path) -> None:
    write_pair(tmp_path, FINE, FINE, column="target", category=COARSE)
    with pytest.raises(
        DataError, match=r"several label columns \(target, category\).*label_column"
    ):
        load(tmp_path, tmp_path / "cache")
    assert load(tmp_path, tmp_path / "cache", label_column="category").num_classes == 2
    with pytest.raises(DataError, match="no column 'kind' that label_column could take"):
        load(tmp_path, tmp_path / "cache", label_column="kind")


def test_a_nested_label_is_named_by_its_parts(tmp_path: Path) -> None:
    nested = [{"fine": fine, "coarse": coarse} for fine, coarse in zip(FINE, COARSE, strict=True)]
    features = {"labels": {"fine": class_label(*"abcd"), "coarse": class_label("x", "y")}}
    write_pair(tmp_path, nested, nested, column="labels", features=features)
    with pytest.raises(DataError, match=r"\(labels.fine, labels.coarse\)"):
        load(tmp_path, tmp_path / "cache")
    dataset = load(tmp_path, tmp_path / "cache", label_column="labels.coarse")
    assert (dataset.class_names, dataset.train.labels.tolist()) == (("x", "y"), COARSE)


def test_a_list_of_one_class_label_is_one_label(tmp_path: Path) -> None:
    for number, feature in enumerate(
        ([class_label("a", "b")], {"_type": "Sequence", "feature": class_label("a", "b")})
    ):
        place = tmp_path / str(number)
        write_pair(place, [[0], [1]], [[0], [1]], column="animal", features={"animal": feature})
        assert load(place, tmp_path / "cache").class_names == ("a", "b")


def test_the_only_column_that_holds_classes_is_a_guess_and_said(tmp_path: Path) -> None:
    write_pair(tmp_path, [0, 1, 0], [0, 1, 0], column="species", image_id=[4, 5, 6])
    dataset = load(tmp_path, tmp_path / "cache")
    assert "'species' is the label is a guess" in remarks(dataset)


@pytest.mark.parametrize("column", ["id", "image_id", "__index_level_0__", "Unnamed: 0", "idx"])
def test_an_index_is_no_label(column: str, tmp_path: Path) -> None:
    write_pair(tmp_path, [0, 1, 2], [0, 1, 2], column=column)
    with pytest.raises(DataError, match="no label column, its columns are image"):
        load(tmp_path, tmp_path / "cache")


@pytest.mark.parametrize("values", [[0, 1, 2, 3], ["a", "b", "c", "d"]])
def test_a_guess_is_refused_where_every_image_has_its_own(values: Any, tmp_path: Path) -> None:
    write_pair(tmp_path, values, values, column="thing")
    with pytest.raises(DataError, match="every image has a value of its own in column 'thing'"):
        load(tmp_path, tmp_path / "cache")


@pytest.mark.parametrize("values", [list(range(12)), [f"caption {each}" for each in range(12)]])
def test_a_label_of_which_no_two_images_have_one_is_none(values: Any, tmp_path: Path) -> None:
    write_pair(tmp_path, values, values[:2])
    with pytest.raises(DataError, match="each of the 12 training images is a class of its own, so"):
        load(tmp_path, tmp_path / "cache")


def test_texts_that_are_no_texts_are_named(tmp_path: Path) -> None:
    broken = pa.array([b"cat", b"\x80\xff", b"dog"]).cast(pa.binary()).view(pa.string())
    write_pair(tmp_path, broken, broken)
    with pytest.raises(DataError, match=r"its tables cannot be read .*utf-8"):
        load(tmp_path, tmp_path / "cache")


def test_a_part_of_what_has_no_parts_is_named(tmp_path: Path) -> None:
    write_pair(tmp_path, [{"a": 0}, {"a": 1}], [{"a": 0}], column="labels")
    path = tmp_path / "test-00000-of-00001.parquet"
    write_table(path, {"image": [{"bytes": b"", "path": None}], "labels": [0]})
    with pytest.raises(DataError, match=r"is a table without the column 'labels\.a'"):
        load(tmp_path, tmp_path / "cache", label_column="labels.a")


def test_class_numbers_must_mean_the_same_in_every_file(tmp_path: Path) -> None:
    write_pair(tmp_path, [0, 1], [0, 1], features={"label": class_label("cat", "dog")})
    other = {"label": class_label("dog", "cat")}
    path = tmp_path / "test-00000-of-00001.parquet"
    columns = {"image": [{"bytes": b"", "path": None}], "label": [0]}
    write_table(path, columns, other)
    with pytest.raises(DataError, match="different class names, first for class 0"):
        load(tmp_path, tmp_path / "cache")


def test_texts_of_the_test_split_must_be_classes_of_training(tmp_path: Path) -> None:
    write_pair(tmp_path, ["cat", "dog", "cat"], ["Cat", "dog"])
    with pytest.raises(DataError, match="classes that the training split lacks: Cat"):
        load(tmp_path, tmp_path / "cache")


def test_only_tables_have_a_label_column(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="label_column x is for tables and CIFAR-100, and glyphs"):
        load("glyphs", tmp_path, label_column="x")
