"""The layouts in which parquet files lie, their splits, and what a stranger's table may name."""

import os
import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.training.data.made_sets import cells, encode, load, picture, remarks, write_table
from training.errors import DataError, OutOfMemoryError
from training.system import memory

LABELS = [0, 1, 0, 1]


def write(path: Path, start: int = 0, **columns: Any) -> Path:
    return write_table(path, {"image": cells(4, start), "label": LABELS} | columns)


@pytest.mark.parametrize(
    ("train", "test"),
    [
        ("train-00000-of-00001.parquet", "test-00000-of-00001.parquet"),
        ("train.parquet", "validation.parquet"),
        ("Training.parquet", "Testing.parquet"),
        ("data/train-00000-of-00001.parquet", "data/valid-00000-of-00001.parquet"),
        ("default/train/0000.parquet", "default/test/0000.parquet"),
        ("default/partial-train/0000.parquet", "default/partial-test/0000.parquet"),
        ("train/0000.parquet", "dev/0000.parquet"),
        ("plain/pets-train.parquet", "plain/pets-test.parquet"),
        ("default/csv-train-00000-of-00001.parquet", "default/csv-val-00000-of-00001.parquet"),
        ("Train/part-0.PARQUET", "TEST/part-0.PARQUET"),
        ("train_0.parquet", "test_0.parquet"),
    ],
)
def test_layouts(train: str, test: str, tmp_path: Path) -> None:
    write(tmp_path / "set" / train)
    write(tmp_path / "set" / test, 50)
    write(tmp_path / "set" / ".cache" / "train.parquet")
    dataset = load(tmp_path / "set", tmp_path / "cache")
    assert len(dataset.train) == len(dataset.test) == 4
    assert dataset.reading.train.endswith(Path(train).name)
    assert dataset.reading.test.endswith(Path(test).name)
    assert ("only a part" in remarks(dataset)) == ("partial" in train)
    assert ("no test split" in remarks(dataset)) == any(word in test for word in ("val", "dev"))


def test_numbered_files_are_read_in_order_and_must_all_be_there(tmp_path: Path) -> None:
    for number in range(3):
        write(tmp_path / "train" / f"000{number}.parquet", 10 * number)
    write(tmp_path / "test" / "0000.parquet", 90)
    dataset = load(tmp_path, tmp_path / "cache")
    assert len(dataset.train) == 12
    assert dataset.reading.train == "train/0000.parquet and 2 more"
    (tmp_path / "train" / "0001.parquet").unlink()
    with pytest.raises(DataError, match=r"of the 3 numbered files like 0000.parquet, number 1 is"):
        load(tmp_path, tmp_path / "cache")


def test_a_missing_shard_is_noticed(tmp_path: Path) -> None:
    write(tmp_path / "train-00000-of-00002.parquet")
    write(tmp_path / "test-00000-of-00001.parquet")
    with pytest.raises(DataError, match="number 1 is missing; a split must be whole"):
        load(tmp_path, tmp_path / "cache")


@pytest.mark.parametrize(
    ("files", "words"),
    [
        (["train.parquet"], r"has no test split, only train; .*train_test_split\(0.2, seed=0\)"),
        (["test.parquet"], "has no train split"),
        (["part-0.parquet", "part-1.parquet"], "says by no name which split it is"),
        (["a/train.parquet", "b/train.parquet"], r"several sets of parquet files \(a, b\)"),
        (["train.parquet", "training.parquet", "test.parquet"], "two training splits"),
    ],
)
def test_what_is_not_clear_is_refused(files: list[str], words: str, tmp_path: Path) -> None:
    for name in files:
        write(tmp_path / name)
    with pytest.raises(DataError, match=words) as caught:
        load(tmp_path, tmp_path / "cache")
    assert "\n" not in str(caught.value)


def test_splits_that_are_not_used_are_named(tmp_path: Path) -> None:
    for number, name in enumerate(("train", "validation", "test", "unsupervised")):
        write(tmp_path / f"{name}-00000-of-00001.parquet", 10 * number)
    assert "Not used: unsupervised, validation." in remarks(load(tmp_path, tmp_path / "cache"))


def test_images_may_be_bare_bytes(tmp_path: Path) -> None:
    images = [encode(picture(index)) for index in range(4)]
    for split in ("train", "test"):
        write(tmp_path / f"{split}.parquet", image=images)
    assert load(tmp_path, tmp_path / "cache").train.images.shape == (4, 3, 8, 8)


@pytest.mark.parametrize("kind", [pa.list_(pa.uint8()), pa.string()])
def test_an_image_column_that_holds_no_files_is_named(kind: pa.DataType, tmp_path: Path) -> None:
    values = pa.array([None] * 4, kind)
    for split in ("train", "test"):
        write(tmp_path / f"{split}.parquet", image=values, thumbnail=[b"x"] * 4)
    with pytest.raises(DataError, match=r"column 'image' holds .*; expected encoded images"):
        load(tmp_path, tmp_path / "cache")


def test_other_columns_of_images_are_said(tmp_path: Path) -> None:
    for split in ("train", "test"):
        write(tmp_path / f"{split}.parquet", mask=cells(4, 70))
    found = remarks(load(tmp_path, tmp_path / "cache"))
    assert "Images are column 'image'; not used: mask." in found


def named(path: str) -> list[dict[str, Any]]:
    return [*cells(3), {"bytes": None, "path": path}]


@pytest.mark.parametrize("path", ["images/0.png", "./images/0.png"])
def test_a_path_in_a_table_is_inside_of_its_folder(path: str, tmp_path: Path) -> None:
    place = tmp_path / "set"
    for split in ("train", "test"):
        write(place / f"{split}.parquet", image=named(path))
    (place / "images").mkdir()
    picture(9).save(place / "images" / "0.png")
    assert len(load(place, tmp_path / "cache").train) == 4


@pytest.mark.parametrize(
    "path", ["{root}/x.png", "../x.png", "images/../../x.png", "link.png", "a" * 5000]
)
def test_a_path_that_leads_outside_is_refused(path: str, tmp_path: Path) -> None:
    place = tmp_path / "set"
    place.mkdir()
    picture(9).save(tmp_path / "x.png")
    (place / "link.png").symlink_to(tmp_path / "x.png")
    for split in ("train", "test"):
        write(place / f"{split}.parquet", image=named(path.format(root=tmp_path)))
    with pytest.raises(DataError, match=r"row 3 of train.parquet names .* not inside") as caught:
        load(place, tmp_path / "cache")
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 500


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    place = tmp_path / "set"
    for split in ("train", "test"):
        write(place / f"{split}.parquet", image=named("pipe.png"))
    os.mkfifo(place / "pipe.png")
    with pytest.raises(DataError, match=r"row 3 of train.parquet .*not a regular file"):
        load(place, tmp_path / "cache")
    (place / "test.parquet").unlink()
    os.mkfifo(place / "test.parquet")
    with pytest.raises(DataError, match=r"test.parquet: not a regular file"):
        load(place, tmp_path / "cache")


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"PAR1 no", "not a readable parquet file"), (b"version https://git-lfs\n", "git lfs pull")],
)
def test_what_is_no_parquet_file_is_named(content: bytes, words: str, tmp_path: Path) -> None:
    write(tmp_path / "test.parquet")
    (tmp_path / "train.parquet").write_bytes(content)
    with pytest.raises(DataError, match=words):
        load(tmp_path, tmp_path / "cache")


def test_a_table_that_unpacks_to_more_than_memory_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One image of 100 kB, 4000 times, in a file of hardly more than one."""
    images = pa.DictionaryArray.from_arrays(pa.array([0] * 4000), [os.urandom(100_000)])
    table = pa.table({"image": images, "label": [0, 1] * 2000})
    for split in ("train", "test"):
        path = tmp_path / f"{split}.parquet"
        pq.write_table(table, path, compression="zstd", store_schema=False)
    assert path.stat().st_size < 200_000
    monkeypatch.setattr(memory, "available_memory", lambda: 10**7)
    with pytest.raises(OutOfMemoryError, match=r"train.parquet: holding its images needs about"):
        load(tmp_path, tmp_path / "cache")


def test_rows_without_anything_in_them_are_not_gone_through(tmp_path: Path) -> None:
    many = 3_000_000
    table = pa.table({"image": pa.nulls(many, pa.binary()), "label": pa.nulls(many, pa.int8())})
    for split in ("train", "test"):
        pq.write_table(table, tmp_path / f"{split}.parquet", compression="zstd")
    with pytest.raises(DataError, match=r"train.parquet stands for 3,000,000 rows in .* bytes"):
        load(tmp_path, tmp_path / "cache")


def test_files_of_one_split_must_have_the_same_columns(tmp_path: Path) -> None:
    write(tmp_path / "train-00000-of-00002.parquet")
    write(tmp_path / "train-00001-of-00002.parquet", label=[0, 1, 0, 1])
    shutil.copy(tmp_path / "train-00000-of-00002.parquet", tmp_path / "test.parquet")
    write_table(tmp_path / "train-00001-of-00002.parquet", {"image": cells(4)})
    with pytest.raises(DataError, match="is a table without the column 'label'"):
        load(tmp_path, tmp_path / "cache")
    write(tmp_path / "train-00001-of-00002.parquet", label=["a", "b", "a", "b"])
    with pytest.raises(DataError, match="column 'label' is not of one type in all files"):
        load(tmp_path, tmp_path / "cache")
