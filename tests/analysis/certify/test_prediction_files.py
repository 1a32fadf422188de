"""Files of predictions: every format says the same, and what does not fit is refused in a line."""

import csv
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from analysis.certify.prediction_files import Expected, given_predictions, read_predictions
from analysis.certify.predictions import load_predictions, pack_classes, save_predictions
from training.errors import DataError

NAMES = ("cat", "dog", "owl")
EXPECTED = Expected(
    name="the test split of pets", num_images=4, class_names=NAMES, fingerprint="f" * 64
)
NUMBERS = [2, 0, 1, 1]
Columns = dict[str, Sequence[Any]]


def write_csv(path: Path, columns: Columns) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))


def write_npz(path: Path, columns: Columns) -> None:
    np.savez(path, **{name: np.array(values) for name, values in columns.items()})


def write_parquet(path: Path, columns: Columns) -> None:
    pq.write_table(pa.table({name: list(values) for name, values in columns.items()}), path)


WRITERS: dict[str, Callable[[Path, Columns], None]] = {
    ".csv": write_csv,
    ".npz": write_npz,
    ".parquet": write_parquet,
}
each_format = pytest.mark.parametrize("suffix", WRITERS)


def read(tmp_path: Path, suffix: str, columns: Columns) -> tuple[list[int], str]:
    path = tmp_path / f"predictions{suffix}"
    WRITERS[suffix](path, columns)
    found = read_predictions(path, EXPECTED)
    return found.classes.tolist(), found.order


@each_format
@pytest.mark.parametrize("values", [NUMBERS, [NAMES[each] for each in NUMBERS]])
@pytest.mark.parametrize("name", ["prediction", "y_pred", "Predicted", "anything"])
def test_numbers_and_names(suffix: str, values: list[Any], name: str, tmp_path: Path) -> None:
    found, order = read(tmp_path, suffix, {name: values})
    assert found == NUMBERS
    assert "order is trusted" in order


@each_format
@pytest.mark.parametrize("name", ["index", "ID"])
def test_an_index_gives_the_order(suffix: str, name: str, tmp_path: Path) -> None:
    found, order = read(tmp_path, suffix, {name: [3, 0, 2, 1], "prediction": [1, 2, 1, 0]})
    assert found == NUMBERS
    assert "by their index" in order


@each_format
def test_a_fingerprint_is_compared(suffix: str, tmp_path: Path) -> None:
    columns: Columns = {"prediction": NUMBERS, "label": [0, 0, 0, 0], "fingerprint": ["f" * 64] * 4}
    found, order = read(tmp_path, suffix, columns)
    assert found == NUMBERS
    assert "fingerprint" in order
    with pytest.raises(DataError, match="about images of fingerprint 'fffffff"):
        read(tmp_path, suffix, columns | {"fingerprint": ["f" * 63 + "0"] * 4})
    with pytest.raises(DataError, match="about images of fingerprint"):
        read(tmp_path, suffix, columns | {"fingerprint": ["f" * 64] * 3 + ["0"]})


@each_format
@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"prediction": [2, 0, 1]}, "3 predictions, and the test split of pets has 4 images"),
        ({"prediction": [2, 0, 1, 1, 1]}, "the test split of pets has 4 images"),
        ({"prediction": [2, 0, 1, 3]}, "prediction 3 is 3, and class numbers go from 0 to 2"),
        ({"prediction": [2, 0, -1, 1]}, "prediction 2 is -1"),
        (
            {"prediction": ["cat", "cow", "owl", "dog"]},
            "'cow' is neither a class number nor one of",
        ),
        ({"prediction": ["cat", "1", "owl", "dog"]}, "has class names and numbers"),
        ({"prediction": [0.5, 1.0, 2.0, 1.0]}, "integers|neither"),
        ({"prediction": NUMBERS, "index": [0, 1, 2, 2]}, "each place of an image"),
        ({"prediction": NUMBERS, "index": [1, 2, 3, 4]}, "each place of an image"),
        ({"prediction": NUMBERS, "id": ["a", "b", "c", "d"]}, "must be integers, not other texts"),
        ({"first": NUMBERS, "second": NUMBERS}, "no column of predictions: call it 'prediction'"),
        ({"prediction": NUMBERS, "Prediction": NUMBERS}, "two columns called 'prediction'"),
        ({"index": [0, 1, 2, 3]}, "no column of predictions"),
    ],
)
def test_what_does_not_fit(suffix: str, columns: Columns, words: str, tmp_path: Path) -> None:
    with pytest.raises(DataError) as told:
        read(tmp_path, suffix, columns)
    assert any(part in str(told.value) for part in words.split("|"))
    assert "predictions." in str(told.value)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    "text",
    [
        "2\n0\n1\n1\n",
        "owl\ncat\ndog\ndog",
        "\ufeffprediction\r\n2\r\n0\r\n1\r\n1\r\n\r\n",
        ",prediction\n0,owl\n1,cat\n2,dog\n3,dog\n",  # pandas writes an index without a name
    ],
)
def test_csv_as_programs_write_it(text: str, tmp_path: Path) -> None:
    path = tmp_path / "predictions.csv"
    path.write_text(text)
    assert read_predictions(path, EXPECTED).classes.tolist() == NUMBERS


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"prediction\n2,1\n", "line 2 has 2 cells, not 1"),
        (b'prediction\n"2\n', "not a readable .csv file"),
        (b"", "no column of predictions"),
        (b"\xff\xfe", "not text in UTF-8"),
        (b"prediction\n" + b"9" * 300_000, "not a readable .csv file"),
    ],
)
def test_broken_csv(content: bytes, words: str, tmp_path: Path) -> None:
    path = tmp_path / "predictions.csv"
    path.write_bytes(content)
    with pytest.raises(DataError, match=words):
        read_predictions(path, EXPECTED)


@pytest.mark.parametrize("suffix", [".npz", ".parquet"])
def test_broken_binary_files(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"predictions{suffix}"
    WRITERS[suffix](path, {"prediction": NUMBERS})
    data = path.read_bytes()
    for broken in (b"", b"nothing", data[: len(data) // 2], data[:-30]):
        path.write_bytes(broken)
        with pytest.raises(DataError, match=f"not a readable {suffix} file"):
            read_predictions(path, EXPECTED)


def test_other_files_and_values(tmp_path: Path) -> None:
    for name, words in (("none.csv", "no such file"), ("none.txt", "does not end as")):
        with pytest.raises(DataError, match=words):
            read_predictions(tmp_path / name, EXPECTED)
    np.savez(tmp_path / "objects.npz", prediction=np.array([None, 1], dtype=object))
    with pytest.raises(DataError, match="Python objects"):
        read_predictions(tmp_path / "objects.npz", EXPECTED)
    np.savez(tmp_path / "scores.npz", prediction=np.zeros((4, 3)))
    with pytest.raises(DataError, match=r"shape 4x3; give one class per image"):
        read_predictions(tmp_path / "scores.npz", EXPECTED)
    for column in (pa.array([[1], [1, 2], [], [0]]), pa.array([None, "cat", "dog", "owl"])):
        pq.write_table(pa.table({"prediction": column}), tmp_path / "lists.parquet")
        with pytest.raises(DataError, match=r"must hold integers or texts|'None' is neither"):
            read_predictions(tmp_path / "lists.parquet", EXPECTED)


def test_names_that_are_other_numbers(tmp_path: Path) -> None:
    """Folders called 1, 2, 3 are classes 0, 1, 2: a text may be either."""
    shifted = Expected(
        name=EXPECTED.name, num_images=4, class_names=("1", "2", "3"), fingerprint=""
    )
    write_csv(tmp_path / "a.csv", {"prediction": [1, 2, 1, 1]})
    with pytest.raises(DataError, match="may be a class's name or its number"):
        read_predictions(tmp_path / "a.csv", shifted)
    write_npz(tmp_path / "a.npz", {"prediction": [1, 2, 1, 1]})
    assert read_predictions(tmp_path / "a.npz", shifted).classes.tolist() == [1, 2, 1, 1]


def test_arrays_in_memory() -> None:
    for values in (
        NUMBERS,
        np.array(NUMBERS, np.uint64),
        torch.tensor(NUMBERS),
        np.array([[2], [0], [1], [1]]),
    ):
        assert given_predictions(values, EXPECTED).classes.tolist() == NUMBERS
    with pytest.raises(DataError, match="integers, not bool"):
        given_predictions(np.ones(4, bool), EXPECTED)
    with pytest.raises(DataError, match="class numbers go from 0 to 2"):
        given_predictions(np.full(4, 2**64 - 1, np.uint64), EXPECTED)


@given(st.integers(2, 300), st.lists(st.integers(0, 299), min_size=1, max_size=50))
def test_packed_and_unpacked(num_classes: int, values: list[int]) -> None:
    classes = torch.tensor(values) % num_classes
    with tempfile.TemporaryDirectory() as folder:
        save_predictions(classes, num_classes, Path(folder) / "packed.bin")
        found = load_predictions(Path(folder) / "packed.bin", len(values), num_classes)
    assert torch.equal(found, classes)
    width = (num_classes - 1).bit_length()
    bits = "".join(f"{each:0{width}b}" for each in classes.tolist())
    packed = pack_classes(classes, num_classes)
    assert "".join(f"{each:08b}" for each in packed) == bits.ljust(8 * len(packed), "0")
    assert len(packed) == -(-len(bits) // 8)
