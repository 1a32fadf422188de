"""Folders of images: spellings of splits, what is no class, and what is left out and said."""

import os
import tarfile
from pathlib import Path

import pytest

from tests.training.data.made_sets import load, picture, remarks, write_classes
from training.data.encoded import split_of
from training.data.telling import tell_dataset
from training.errors import DataError

PETS = ("cat", "dog")


@pytest.mark.parametrize(
    ("train", "test"),
    [
        ("Train", "Test"),
        ("TRAINING", "Testing"),
        ("training_set", "test_set"),
        ("train-images", "Validation"),
        ("trn", "val"),
        ("train2017", "val2017"),
        ("Training Data", "dev"),
        ("imgs_train", "valid"),
    ],
)
def test_splits_in_every_usual_spelling(train: str, test: str, tmp_path: Path) -> None:
    write_classes(tmp_path / train, PETS)
    write_classes(tmp_path / test, PETS, start=50)
    dataset = load(tmp_path, tmp_path / "cache")
    assert (dataset.class_names, len(dataset.train), len(dataset.test)) == (PETS, 6, 6)
    assert (dataset.reading.train, dataset.reading.test) == (f"{train}/", f"{test}/")


@pytest.mark.parametrize("name", ["trainer", "contest", "bullet_train", "protest", "valley", "x"])
def test_names_that_are_no_splits(name: str) -> None:
    assert split_of(name) is None


def test_a_split_may_repeat_its_name(tmp_path: Path) -> None:
    for start, name in enumerate(("training_set", "test_set")):
        write_classes(tmp_path / name / name, PETS, start=50 * start)
    assert load(tmp_path, tmp_path / "cache").class_names == PETS


def test_all_splits_that_are_not_used_are_named(tmp_path: Path) -> None:
    for start, name in enumerate(("train", "val", "test")):
        write_classes(tmp_path / name, PETS, start=10 * start)
    (tmp_path / "labels").mkdir()
    assert "Not used: labels, val." in remarks(load(tmp_path, tmp_path / "cache"))


def test_without_splits_some_are_held_out_and_it_is_said(tmp_path: Path) -> None:
    dataset = load(write_classes(tmp_path / "pets", PETS, count=10), tmp_path / "cache")
    assert (len(dataset.train), len(dataset.test)) == (16, 4)
    assert dataset.reading.test == "the other 1 in 5"
    assert dataset.name == "pets (1 in 5 held out as test set)"


@pytest.mark.parametrize(
    ("folders", "words"),
    [
        (
            ["train/cat", "train/dog"],
            "no test split, only train; .*, or give .*/train to have 1 in",
        ),
        (["test/cat", "val/cat"], "has no train split"),
        (["train", "bus", "car"], "has a folder train beside bus, car: a split, or a class"),
        (["train_1", "test_1"], "the folders test_1, train_1 look like splits, not classes"),
        (["trainval", "test_x"], "look like splits, not classes"),
        (["images", "masks"], "images, masks of 2 folders look like no classes"),
        (["fold_1", "fold_2"], "fold_1, fold_2 of 2 folders look like no classes"),
        (["train/JPEGImages", "train/labels", "test/a"], "JPEGImages, labels of 2 folders look"),
        (["cat/train", "cat/test", "dog/train"], "cat has a folder t.*: splits inside of classes"),
        (["pets/cat", "pets/dog"], r"has one folder only, pets: pass .*/set/pets if"),
        (["train/cat", "train/dog", "test/cat", "test/cow"], "classes that .*/train lacks: cow"),
        (["train/cat", "train/dog", "test/Cat", "test/dog"], "classes that .*/train lacks: Cat"),
        (["train/cat", "train/dog", "test"], "test holds images without class folders; sort"),
        (["train/a", "Train/b", "test/a"], "two training splits, Train and train"),
    ],
)
def test_names_that_contradict_a_reading(folders: list[str], words: str, tmp_path: Path) -> None:
    for number, name in enumerate(folders):
        write_classes(tmp_path / "set", [name], start=10 * number)
    with pytest.raises(DataError, match=words) as caught:
        load(tmp_path / "set", tmp_path / "cache")
    assert "\n" not in str(caught.value)


def test_half_a_split_may_be_given_by_itself(tmp_path: Path) -> None:
    write_classes(tmp_path / "train", PETS, count=5)
    assert len(load(tmp_path / "train", tmp_path / "cache").test) == 2


@pytest.mark.parametrize("name", ["train.csv", "test.txt", "Training.lst"])
def test_lists_of_splits_are_not_passed_over(name: str, tmp_path: Path) -> None:
    write_classes(tmp_path, PETS)
    (tmp_path / name).write_text("cat/0.png\n")
    with pytest.raises(DataError, match="seem to say which images are for training"):
        load(tmp_path, tmp_path / "cache")


def test_hidden_and_system_files_are_no_images(tmp_path: Path) -> None:
    for split in ("train", "test"):
        write_classes(tmp_path / split, PETS)
        copies = tmp_path / split / "cat" / ".ipynb_checkpoints"
        copies.mkdir()
        picture(77).save(copies / "0-checkpoint.png")
        write_classes(tmp_path / split, [".ipynb_checkpoints", "__MACOSX", "@eaDir"], start=900)
        picture(5).save(tmp_path / split / "dog" / "._0.png")
        for name in ("Thumbs.db", ".DS_Store", "desktop.ini"):
            (tmp_path / split / "dog" / name).write_bytes(b"x")
    dataset = load(tmp_path, tmp_path / "cache")
    assert (dataset.class_names, len(dataset.train), len(dataset.test)) == (PETS, 6, 6)
    assert "Left out: 20 images in hidden or system folders" in remarks(dataset)
    assert "cat/.ipynb_checkpoints" in remarks(dataset)


def test_other_files_and_links_are_said(tmp_path: Path) -> None:
    for split in ("train", "test"):
        write_classes(tmp_path / "set" / split, PETS)
    (tmp_path / "set" / "train" / "cat" / "a.heic").write_bytes(b"x")
    (tmp_path / "set" / "train" / "cat" / "notes.txt").write_text("x")
    write_classes(tmp_path / "more", ["big"])
    (tmp_path / "set" / "train" / "cat" / "loop").symlink_to(tmp_path / "set")
    (tmp_path / "set" / "train" / "cat" / "linked.png").symlink_to(tmp_path / "more/big/0.png")
    dataset = load(tmp_path / "set", tmp_path / "cache")
    assert len(dataset.train) == 7
    assert "Left out: 2 files that are not images (.heic, .txt)." in remarks(dataset)
    assert "Left out: links to folders (cat/loop)." in remarks(dataset)


def test_a_linked_class_is_a_class(tmp_path: Path) -> None:
    write_classes(tmp_path / "store", PETS)
    for split in ("train", "test"):
        (tmp_path / "set" / split).mkdir(parents=True)
        for name in PETS:
            (tmp_path / "set" / split / name).symlink_to(tmp_path / "store" / name)
    assert len(load(tmp_path / "set", tmp_path / "cache").train) == 6


@pytest.mark.parametrize("kind", ["pipe", "broken link", "device"])
def test_what_is_no_file_is_not_opened(kind: str, tmp_path: Path) -> None:
    for split in ("train", "test"):
        write_classes(tmp_path / split, PETS)
    place = tmp_path / "train" / "cat" / "x.png"
    if kind == "pipe":
        os.mkfifo(place)
    else:
        place.symlink_to("/dev/zero" if kind == "device" else "nowhere.png")
    with pytest.raises(DataError, match=r"train/cat/x.png is not a readable image \(.*x.png: no"):
        load(tmp_path, tmp_path / "cache")


def test_an_empty_class_never_occurs_and_a_new_one_is_noticed(tmp_path: Path) -> None:
    for split in ("train", "test"):
        write_classes(tmp_path / split, PETS)
    before = load(tmp_path, tmp_path / "cache")
    (tmp_path / "train" / "ant").mkdir()
    (tmp_path / "train" / "ant" / ".keep").write_text("")
    after = load(tmp_path, tmp_path / "cache")
    assert (before.class_names, after.class_names) == (PETS, ("ant", *PETS))


def test_a_folder_an_image_is_no_class(tmp_path: Path) -> None:
    for split in ("train", "test"):
        write_classes(tmp_path / split, [f"item {number}" for number in range(12)], count=1)
    with pytest.raises(DataError, match="each of the 12 training images is a class of its own"):
        load(tmp_path, tmp_path / "cache")


def test_names_of_a_stranger_are_printed_as_text(tmp_path: Path) -> None:
    for split in ("train", "test"):
        write_classes(tmp_path / split, ["a\x1b[2Jb\nc", "d" * 200])
    lines = tell_dataset(load(tmp_path, tmp_path / "cache"))
    assert all(line.isprintable() and len(line) < 400 for line in lines)


def test_folders_that_are_numbers_are_in_their_order(tmp_path: Path) -> None:
    for split in ("train", "test"):
        write_classes(tmp_path / split, ["10", "9", "100"])
    dataset = load(tmp_path, tmp_path / "cache")
    assert dataset.class_names == ("9", "10", "100")
    assert dataset.reading.labels == "names of folders, in numerical order"


def test_wordnet_ids_are_classes_and_it_is_said(tmp_path: Path) -> None:
    synsets = ("n01440764", "n01443537")
    write_classes(tmp_path / "train", synsets)
    write_classes(tmp_path / "val", synsets, start=500)
    assert "called by WordNet ids, such as n01440764" in remarks(load(tmp_path, tmp_path / "cache"))
    for path in (tmp_path / "val").rglob("*.png"):
        path.rename(tmp_path / "val" / f"ILSVRC2012_val_{path.parent.name}{path.name}")
    for name in synsets:
        (tmp_path / "val" / name).rmdir()
    with pytest.raises(DataError, match=r"val holds images without class folders.*LOC_val_sol"):
        load(tmp_path, tmp_path / "cache")


def test_an_archive_beside_the_folders_changes_nothing(tmp_path: Path) -> None:
    for split in ("train", "test"):
        write_classes(tmp_path / split, PETS)
    with tarfile.open(tmp_path / "pets.tar", "w") as archive:
        archive.add(tmp_path / "train")
    assert load(tmp_path, tmp_path / "cache").class_names == PETS
