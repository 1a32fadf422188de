"""Formats that are not read: each gets one line, and what the line says to do works."""

import io
import re
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest

from tests.training.data.made_sets import encode, load, picture, write_classes
from training.errors import DataError

MADE = {
    "mnist/3.0.1/mnist-train.tfrecord-00000-of-00001": "TFRecord",
    "train.tfrecords": "TFRecord",
    "train/shard-000000.tar": "a tar, as webdataset has its shards",
    "annotations/instances_train2017.json": "annotations of COCO",
    "train/_annotations.coco.json": "annotations of COCO",
    "galaxy.h5": "HDF5",
    "camelyon/train_x.hdf5": "HDF5",
    "dataset_dict.json": "a data set of save_to_disk",
    "data-00000-of-00001.arrow": "an arrow file of datasets",
    "labels.csv": "a table of text",
    "pets.zip": "an archive",
    "cifar-10-python.tar.gz": "an archive",
    "train_32x32.mat": "a MATLAB file",
    "train_X.bin": "STL-10 in its binary form",
    "data_batch_1.bin": "CIFAR in its binary form",
    "x_train.npy": "bare arrays",
    "training.pt": "bare arrays",
    "lmdb/data.mdb": "LMDB",
    "train/cat/photo.heic": "an image in another format",
    "scan.nii.gz": "an image in another format",
    "train.feather": "a table in another form than .parquet",
    "train.parquet.gzip": "a table in another form than .parquet",
    "mnist.pkl.gz": "bare arrays",
    "train.beton": "a container of a training library",
    "train/metadata.csv": "labels of datasets' imagefolder",
}


def refusal(source: Path, cache: Path) -> str:
    with pytest.raises(DataError) as caught:
        load(source, cache)
    text = str(caught.value)
    assert "\n" not in text
    return text


@pytest.mark.parametrize("name", MADE)
def test_a_known_format_gets_one_line_that_says_how_to_convert_it(
    name: str, tmp_path: Path
) -> None:
    path = tmp_path / "set" / name
    path.parent.mkdir(parents=True)
    path.write_bytes(b"x" * 100)
    text = refusal(tmp_path / "set", tmp_path / "cache")
    assert text.startswith(f"{path} is {MADE[name]}, which is not read; ")
    if "/" not in name:
        assert refusal(path, tmp_path / "cache") == text


def test_images_without_classes_are_told_of_their_table(tmp_path: Path) -> None:
    write_classes(tmp_path, ["images"])
    (tmp_path / "labels.csv").write_text("file,label\n")
    assert "move each image to FOLDER/train/<class>/" in refusal(tmp_path, tmp_path / "cache")


def test_a_file_of_no_known_format_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.md").write_text("x")
    assert "is a file; pass the folder" in refusal(tmp_path / "notes.md", tmp_path / "cache")


def code_of(text: str) -> str:
    found = re.search(r'python -c "(.*?)"(;|$)', text)
    assert found is not None, text
    return found[1]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_data_set_that_was_saved_to_disk_can_be_converted_as_it_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    datasets = pytest.importorskip("datasets")
    rows = {"image": [picture(1), picture(2), picture(3)], "label": [0, 1, 1]}
    features = {"image": datasets.Image(), "label": datasets.ClassLabel(names=["a", "b"])}
    split = datasets.Dataset.from_dict(rows, features=datasets.Features(features))
    datasets.DatasetDict({"train": split, "test": split}).save_to_disk(tmp_path / "saved")
    (tmp_path / "made").mkdir()
    monkeypatch.chdir(tmp_path / "made")
    exec(code_of(refusal(tmp_path / "saved", tmp_path / "cache")), {})
    dataset = load(tmp_path / "made", tmp_path / "cache")
    assert (dataset.class_names, dataset.train.labels.tolist()) == (("a", "b"), [0, 1, 1])


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_shards_of_webdataset_can_be_converted_as_it_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("datasets")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    for split in ("train", "test"):
        (tmp_path / "set" / split).mkdir(parents=True)
        with tarfile.open(tmp_path / "set" / split / "0.tar", "w") as archive:
            for number in range(4):
                for suffix, content in (
                    ("png", encode(picture(number))),
                    ("cls", b"01"[number % 2 :][:1]),
                ):
                    entry = tarfile.TarInfo(f"{number:04}.{suffix}")
                    entry.size = len(content)
                    archive.addfile(entry, io.BytesIO(content))
    (tmp_path / "made").mkdir()
    monkeypatch.chdir(tmp_path / "made")
    code = code_of(refusal(tmp_path / "set" / "train", tmp_path / "cache"))
    code = code.replace("load(", f"load(cache_dir='{tmp_path}', path=", 1)
    exec(code, {})
    exec(code.replace("/train/", "/test/").replace("train-0", "test-0"), {})
    assert load(tmp_path / "made", tmp_path / "cache").train.labels.tolist() == [0, 1, 0, 1]


def test_svhn_stl_10_and_csv_can_be_converted_as_they_say(tmp_path: Path) -> None:
    """The expressions in the lines, on files whose pixels are known."""
    from scipy.io import loadmat, savemat

    images = np.random.default_rng(0).integers(0, 256, (4, 6, 6, 3), dtype=np.uint8)
    labels = np.array([[10], [1], [2], [10]], dtype=np.uint8)
    savemat(tmp_path / "train_32x32.mat", {"X": images.transpose(1, 2, 3, 0), "y": labels})
    text = refusal(tmp_path / "train_32x32.mat", tmp_path / "cache")
    d = loadmat(tmp_path / "train_32x32.mat")
    found = [
        eval(each, {"d": d}) for each in re.findall(r"d\['[Xy]'\][^,]*?\([\d, ]*\)(?: % 10)?", text)
    ]
    assert np.array_equal(found[0], images)
    assert found[1].tolist() == [0, 1, 2, 0]

    large = np.random.default_rng(1).integers(0, 256, (2, 96, 96, 3), dtype=np.uint8)
    path = tmp_path / "train_X.bin"
    path.write_bytes(large.transpose(0, 3, 2, 1).tobytes())  # each channel column by column
    text = refusal(path, tmp_path / "cache")
    code = re.search(r"images (np\.fromfile\(FILE, 'u1'\)\.reshape.*?\)\.transpose\(.*?\))", text)
    assert code is not None
    assert np.array_equal(eval(code[1], {"np": np, "FILE": path}), large)


def test_a_zip_of_a_data_set_is_unpacked_first(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        archive.writestr("train/cat/0.png", encode(picture(1)))
    assert "unpack it and give the folder" in refusal(tmp_path / "set.zip", tmp_path / "cache")
