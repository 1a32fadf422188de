"""Every source of images, its cache, and one clear line for each thing that can be wrong."""

import os
import socket
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tests.training.data.made_sets import encode, load, picture, write_idx
from training.data import hub_source
from training.data.cache import cache_file
from training.data.loading import ImageSet, check_within_reach, find_source, split_validation
from training.data.telling import NEARLY_CONSTANT, count_repeated, deviations, tell_dataset
from training.errors import DataError
from training.spec.config import DataConfig

MNIST_TRAIN_COUNTS = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]


def write_parquet(folder: Path, labels: list[int], *, split: str, **columns: object) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    images = [{"bytes": encode(picture(index)), "path": None} for index in range(len(labels))]
    table = pa.table({"img": images, "label": labels} | columns)
    pq.write_table(table, folder / f"{split}-00000-of-00001.parquet")


def write_images(
    folder: Path, *, splits: tuple[str, ...] = ("train", "test"), size: int = 8
) -> None:
    for split in splits:
        for label, name in enumerate(("cat", "dog")):
            place = folder / split / name
            place.mkdir(parents=True)
            for index in range(3):
                picture(10 * label + index, size=size).save(place / f"{index}.png")


@pytest.mark.slow
def test_cifar10_is_whole(shared_data: Path, tmp_path: Path) -> None:
    dataset = load(shared_data / "cifar10", tmp_path)
    assert dataset.name == "CIFAR-10 (JPEG)"
    assert dataset.train.images.shape == (50_000, 3, 32, 32)
    assert dataset.test.images.shape == (10_000, 3, 32, 32)
    assert dataset.train.images.dtype == torch.uint8
    assert torch.bincount(dataset.train.labels).tolist() == [5000] * 10
    assert torch.bincount(dataset.test.labels).tolist() == [1000] * 10
    assert dataset.class_names[0] == "airplane"
    again = load(shared_data / "cifar10", tmp_path)
    assert again.fingerprint == dataset.fingerprint
    assert torch.equal(again.test.images, dataset.test.images)
    assert count_repeated(dataset.train) == 0 and len(tell_dataset(dataset)) == 4
    assert deviations(dataset.train.images).min() > 4 * NEARLY_CONSTANT
    part = load(shared_data / "cifar10", tmp_path, num_train=100, num_test=10)
    assert torch.equal(part.train.images, dataset.train.images[:100])
    assert part.fingerprint != dataset.fingerprint


@pytest.mark.slow
def test_mnist_is_whole(shared_data: Path, tmp_path: Path) -> None:
    dataset = load(shared_data / "mnist", tmp_path)
    assert dataset.name == "MNIST"
    assert dataset.train.images.shape == (60_000, 1, 28, 28)
    assert dataset.test.images.shape == (10_000, 1, 28, 28)
    assert torch.bincount(dataset.train.labels).tolist() == MNIST_TRAIN_COUNTS
    assert count_repeated(dataset.train) == 0 and len(tell_dataset(dataset)) == 4
    files = {}
    for name, images in (("train", dataset.train), ("t10k", dataset.test)):
        files |= {
            f"{name}-images-idx3": images.images[:, 0].numpy(),
            f"{name}-labels-idx1": images.labels.numpy(),
        }
    write_idx(tmp_path / "raw", files, suffix=".gz")  # as MNIST's own files have it
    assert load(tmp_path / "raw", tmp_path / "cache").fingerprint == dataset.fingerprint


@pytest.mark.slow
def test_a_parquet_folder_decodes_to_the_same_pixels(tmp_path: Path) -> None:
    write_parquet(tmp_path / "set", [0, 1, 2, 0], split="train")
    write_parquet(tmp_path / "set", [1, 2], split="test")
    dataset = load(tmp_path / "set", tmp_path / "cache")
    assert dataset.class_names == ("0", "1", "2")
    assert dataset.train.labels.tolist() == [0, 1, 2, 0]
    for index in range(4):
        expected = torch.from_numpy(np.array(picture(index)))
        assert torch.equal(dataset.train.images[index].permute(1, 2, 0), expected)


def test_changed_files_are_read_anew_and_a_broken_cache_is_rebuilt(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    write_parquet(tmp_path / "set", [0, 1], split="train")
    write_parquet(tmp_path / "set", [0, 1], split="test")
    first = load(tmp_path / "set", cache)
    for file in cache.rglob("*"):
        if file.is_file():
            file.write_bytes(b"not a cache")
    assert load(tmp_path / "set", cache).fingerprint == first.fingerprint
    write_parquet(tmp_path / "set", [1, 0, 1], split="train")
    changed = load(tmp_path / "set", cache)
    assert changed.train.labels.tolist() == [1, 0, 1]
    assert changed.fingerprint != first.fingerprint


def test_an_unwritable_cache_is_no_error(tmp_path: Path) -> None:
    write_parquet(tmp_path / "set", [0, 1], split="train")
    write_parquet(tmp_path / "set", [0, 1], split="test")
    (tmp_path / "file").write_text("in the way")
    assert len(load(tmp_path / "set", tmp_path / "file" / "cache").train) == 2


def test_a_folder_of_class_folders(tmp_path: Path) -> None:
    write_images(tmp_path / "pets")
    dataset = load(tmp_path / "pets", tmp_path / "cache")
    assert dataset.class_names == ("cat", "dog")
    assert sorted(dataset.train.labels.tolist()) == [0, 0, 0, 1, 1, 1]
    wanted = {encode(picture(10 * label + index)) for label in (0, 1) for index in range(3)}
    found = {
        encode(Image.fromarray(image.permute(1, 2, 0).numpy())) for image in dataset.train.images
    }
    assert wanted == found


def test_images_of_many_sizes_need_a_size(tmp_path: Path) -> None:
    write_images(tmp_path / "pets")
    picture(99, size=12, width=20).save(tmp_path / "pets" / "train" / "cat" / "wide.png")
    with pytest.raises(DataError, match="image_size"):
        load(tmp_path / "pets", tmp_path / "cache")
    resized = load(tmp_path / "pets", tmp_path / "cache", image_size=6)
    assert resized.train.images.shape == (7, 3, 6, 6)


def test_grey_images_have_one_channel(tmp_path: Path) -> None:
    for split in ("train", "test"):
        for name in ("a", "b"):
            (tmp_path / "grey" / split / name).mkdir(parents=True)
            picture(1, mode="L").save(tmp_path / "grey" / split / name / "0.png")
    assert load(tmp_path / "grey", tmp_path / "cache").train.images.shape == (2, 1, 8, 8)


@pytest.mark.parametrize(
    ("labels", "words"), [([0, -1], "labels must be >= 0"), ([0, 0], "at least 2 classes")]
)
def test_labels_that_cannot_be_used(labels: list[int], words: str, tmp_path: Path) -> None:
    write_parquet(tmp_path / "set", labels, split="train")
    write_parquet(tmp_path / "set", [0, 0], split="test")
    with pytest.raises(DataError, match=words):
        load(tmp_path / "set", tmp_path / "cache")


def test_a_broken_image_is_named_by_its_row(tmp_path: Path) -> None:
    write_parquet(tmp_path / "set", [0, 1], split="test")
    images = [{"bytes": encode(picture(0)), "path": None}, {"bytes": b"no image", "path": None}]
    table = pa.table({"img": images, "label": [0, 1]})
    pq.write_table(table, tmp_path / "set" / "train-00000-of-00001.parquet")
    with pytest.raises(DataError, match=r"row 1.* not a readable image"):
        load(tmp_path / "set", tmp_path / "cache")


def test_folders_without_a_data_set_are_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no folders of images"):
        load(tmp_path / "empty", tmp_path / "cache")
    write_parquet(tmp_path / "half", [0, 1], split="train")
    with pytest.raises(DataError, match="no test split"):
        load(tmp_path / "half", tmp_path / "cache")
    with pytest.raises(DataError, match="no data at 'no/such/place/at-all'"):
        load("no/such/place/at-all", tmp_path / "cache")
    write_parquet(tmp_path / "set", [0, 1], split="train")
    write_parquet(tmp_path / "set", [0, 1], split="test")
    with pytest.raises(DataError, match="num_train 9 is too many"):
        load(tmp_path / "set", tmp_path / "cache", num_train=9)


def test_a_folder_that_is_no_data_set_is_not_walked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "home"
    deep = root / "documents" / "a" / "b" / "c" / "d"
    deep.mkdir(parents=True)
    picture(0).save(deep / "0.png")
    (root / "pictures").mkdir()
    picture(0).save(root / "pictures" / "0.png")
    seen: list[Path] = []
    for name in ("scandir", "listdir"):
        whole = getattr(os, name)

        def note(place: str = ".", whole: Callable[[str], object] = whole) -> object:
            seen.append(Path(os.fspath(place)))
            return whole(place)

        monkeypatch.setattr(os, name, note)
    with pytest.raises(DataError) as caught:
        load(root, tmp_path / "cache")
    assert str(caught.value) == (
        f"{root} is no data set: it has no parquet files, and no images lie in {root}/documents or "
        "one folder deeper; expected FOLDER/train/<class>/*.png and FOLDER/test/<class>/*.png, or "
        "FOLDER/<class>/*.png"
    )
    assert root in seen
    assert not any(root / "documents" / "a" / "b" in (place, *place.parents) for place in seen)


def test_images_may_lie_deeper_in_the_folder_of_their_class(tmp_path: Path) -> None:
    for split in ("train", "test"):
        for name in ("cat", "dog"):
            place = tmp_path / "pets" / split / name / "images"
            (place / "more").mkdir(parents=True)
            picture(1).save(place / "0.png")
            picture(2).save(place / "more" / "1.png")
    assert len(load(tmp_path / "pets", tmp_path / "cache").train) == 4


def test_the_hub_is_asked_by_its_own_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    datasets = pytest.importorskip("datasets")
    features = datasets.Features(
        {"img": datasets.Image(), "label": datasets.ClassLabel(names=["cat", "dog"])}
    )
    rows = {"img": [picture(1), picture(2)], "label": [0, 1]}
    split = datasets.Dataset.from_dict(rows, features=features)
    asked = []

    def fake(*arguments: object, **options: object) -> object:
        asked.append((arguments, options))
        return datasets.DatasetDict({"train": split, "test": split})

    monkeypatch.setattr(datasets, "load_dataset", fake)
    monkeypatch.setattr(hub_source, "_hub_answers", lambda: True)
    dataset = load("cifar10", tmp_path)
    assert "uoft-cs/cifar10" in str(asked)
    assert dataset.class_names == ("cat", "dog")
    assert torch.equal(
        dataset.train.images[1].permute(1, 2, 0), torch.from_numpy(np.array(picture(2)))
    )


def test_of_the_hub_files_are_read_only_where_its_libraries_keep_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    datasets = pytest.importorskip("datasets")
    features = {"img": datasets.Image(), "fine_label": datasets.ClassLabel(names=["cat", "dog"])}
    features["coarse_label"] = datasets.ClassLabel(names=["pet", "other"])
    kept, outside = tmp_path / "kept" / "0.png", tmp_path / "0.png"
    kept.parent.mkdir()
    for number, path in enumerate((kept, outside)):
        picture(number).save(path)

    def fake(*_: object, **__: object) -> object:
        paths = [{"bytes": None, "path": str(path)} for path in (kept, named)]
        columns = {"img": paths, "fine_label": [0, 1], "coarse_label": [1, 0]}
        split = datasets.Dataset.from_dict(columns, features=datasets.Features(features))
        return datasets.DatasetDict({"train": split, "Validation": split, "extra": split})

    monkeypatch.setattr(datasets, "load_dataset", fake)
    monkeypatch.setattr(hub_source, "_hub_answers", lambda: True)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", kept.parent)
    named = kept
    dataset = load("cifar100", tmp_path / "cache")
    assert (dataset.class_names, dataset.reading.test) == (("cat", "dog"), "split Validation")
    assert "Not used: extra." in dataset.reading.remarks
    coarse = load("cifar100", tmp_path / "cache", label_column="coarse_label")
    assert coarse.train.labels.tolist() == [1, 0]
    named = outside
    with pytest.raises(DataError, match=r"row 1 of train names .* not inside"):
        load("someone/else", tmp_path / "cache")


def test_without_a_network_the_hub_fails_soon_and_says_the_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("datasets")
    monkeypatch.setattr(hub_source, "_hub_answers", lambda: False)
    asked = []

    def no_network(*address: object, **_: object) -> None:
        asked.append(address)
        raise OSError("no network")

    for name in ("getaddrinfo", "create_connection"):
        monkeypatch.setattr(socket, name, no_network)
    with pytest.raises(DataError, match="source FOLDER") as caught:
        load("nobody/not-a-data-set", tmp_path)
    assert asked == []  # nothing to wait for
    assert "\n" not in str(caught.value)


def make_set(number: int) -> ImageSet:
    images = torch.arange(number, dtype=torch.uint8).view(-1, 1, 1, 1).expand(-1, 1, 2, 2)
    return ImageSet(images=images.contiguous(), labels=torch.arange(number))


@given(number=st.integers(2, 60), seed=st.integers(0, 99), data=st.data())
def test_a_validation_split_is_a_partition(number: int, seed: int, data: st.DataObject) -> None:
    held_out = data.draw(st.integers(0, number - 1))
    train, validation = split_validation(make_set(number), held_out, seed=seed)
    assert len(validation) == held_out
    assert sorted(train.labels.tolist() + validation.labels.tolist()) == list(range(number))
    again, _ = split_validation(make_set(number), held_out, seed=seed)
    assert torch.equal(again.labels, train.labels)


def test_a_split_that_leaves_nothing_is_refused() -> None:
    with pytest.raises(DataError, match="leaves nothing to train on"):
        split_validation(make_set(5), 5, seed=0)


def test_decoded_images_of_the_hub_that_are_cached_are_a_copy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.data.hub_source._hub_answers", lambda: False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HOME", str(tmp_path))
    monkeypatch.setenv("MDL_CACHE", str(tmp_path / "images"))
    config = DataConfig(source="cifar10", image_size=8)
    with pytest.raises(DataError, match="no copy of the data set"):
        check_within_reach(config)
    source = find_source("cifar10")
    file = cache_file(source.place, source.state, 8)
    assert file is not None
    file.parent.mkdir()
    file.touch()
    check_within_reach(config)
