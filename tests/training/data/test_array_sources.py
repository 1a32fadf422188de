"""MedMNIST's .npz, MNIST's idx files, CIFAR's pickles: read as data, and the same images."""

import gzip
import os
import pickle
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tests.training.data.made_sets import class_label, encode, load, remarks, write_idx, write_table
from training.data.image_set import Dataset
from training.errors import DataError, OutOfMemoryError
from training.system import memory

NAMES = ["airplane", "automobile"]


def pixels(count: int, *shape: int, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (count, *shape), dtype=np.uint8)


def med_mnist(**others: Any) -> dict[str, Any]:
    """MedMNIST's arrays, labels in a column as it has them."""
    labels = np.array([[0], [1], [1], [0]], dtype=np.uint8)
    arrays = {}
    for seed, split in enumerate(("train", "val", "test")):
        arrays |= {f"{split}_images": pixels(4, 8, 8, seed=seed), f"{split}_labels": labels}
    return arrays | others


def save(path: Path, arrays: dict[str, Any]) -> Path:
    np.savez_compressed(path, **arrays)
    return path


def assert_same(dataset: Dataset, train: NDArray[np.uint8], test: NDArray[np.uint8]) -> None:
    for images, expected in ((dataset.train, train), (dataset.test, test)):
        wanted = torch.from_numpy(expected.reshape(len(expected), *expected.shape[1:3], -1))
        assert torch.equal(images.images, wanted.permute(0, 3, 1, 2))


@pytest.mark.parametrize("shape", [(8, 8), (8, 8, 1), (8, 8, 3)])
def test_med_mnist_is_read_by_file_and_by_folder(shape: tuple[int, ...], tmp_path: Path) -> None:
    arrays = med_mnist(train_images=pixels(4, *shape), test_images=pixels(4, *shape, seed=2))
    path = save(tmp_path / "pathmnist.npz", arrays)
    dataset = load(path, tmp_path / "cache")
    assert_same(dataset, arrays["train_images"], arrays["test_images"])
    assert dataset.train.labels.tolist() == [0, 1, 1, 0]
    assert (dataset.name, dataset.reading.train) == ("pathmnist", "train_images")
    assert "Not used: val." in remarks(dataset)
    assert load(tmp_path, tmp_path / "cache").fingerprint == dataset.fingerprint


def test_keras_names_and_other_layouts_of_memory_are_read(tmp_path: Path) -> None:
    train, test = np.asfortranarray(pixels(4, 8, 8)), pixels(2, 8, 8, seed=1)
    arrays = {"x_train": train, "y_train": [0, 1, 0, 1], "x_test": test, "y_test": [0, 1]}
    assert_same(load(save(tmp_path / "a.npz", arrays), tmp_path / "cache"), train, test)
    first = {"x_train": train.reshape(4, 1, 8, 8), "x_test": test.reshape(2, 1, 8, 8)}
    dataset = load(save(tmp_path / "b.npz", arrays | first), tmp_path / "cache")
    assert_same(dataset, train, test)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"train_images": pixels(4, 8, 8) / 255}, "train_images holds float64, but pixels are"),
        ({"train_images": pixels(4, 8, 8).astype("u2")}, "train_images holds uint16"),
        ({"train_images": pixels(4, 8, 8, 8)}, "shape 4x8x8x8, not images"),
        ({"train_labels": np.zeros((4, 14), "u1")}, "holds 14 labels an image"),
        ({"train_labels": np.zeros(3, "u1")}, "train_labels holds 3 labels for 4 images"),
        ({"train_labels": np.zeros(4)}, "train_labels holds float64; labels are class numbers"),
        ({"train_labels": np.array([{}] * 4)}, "train_labels.npy holds Python objects"),
    ],
)
def test_other_arrays_are_refused(changed: dict[str, Any], words: str, tmp_path: Path) -> None:
    path = save(tmp_path / "set.npz", med_mnist(**changed))
    with pytest.raises(DataError, match=words) as caught:
        load(path, tmp_path / "cache")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("left_out", "words"),
    [("test val", "no test split, only train"), ("train", "no train split"), ("x", "")],
)
def test_an_npz_needs_both_splits(left_out: str, words: str, tmp_path: Path) -> None:
    arrays = med_mnist()
    kept = {name: array for name, array in arrays.items() if name.split("_")[0] not in left_out}
    path = save(tmp_path / "set.npz", kept)
    if not words:
        assert len(load(path, tmp_path / "cache").train) == 4
        return
    with pytest.raises(DataError, match=words):
        load(path, tmp_path / "cache")


def write_header(path: Path, shape: str, content: bytes) -> None:
    text = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}}}".ljust(117) + "\n"
    header = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for split in ("train", "test"):
            archive.writestr(f"{split}_images.npy", header + content)
            archive.writestr(f"{split}_labels.npy", header + content)


def test_an_npz_is_no_larger_than_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "set.npz"
    write_header(path, "(1000000, 1000, 1000)", b"x" * 100)
    with pytest.raises(DataError, match=r"train_images.npy is cut short"):
        load(path, tmp_path / "cache")
    write_header(path, "(10, 1000, 1000)", b"\0" * 10**7)
    assert path.stat().st_size < 50_000
    monkeypatch.setattr(memory, "available_memory", lambda: 10**6)
    with pytest.raises(OutOfMemoryError, match=r"set.npz: train_images.npy needs about 20.0 MB"):
        load(path, tmp_path / "cache")


def test_damage_to_an_npz_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "set.npz"
    np.savez(path, **med_mnist())  # not compressed, so that only its checksum can tell
    whole = bytearray(path.read_bytes())
    place = whole.find(med_mnist()["train_images"].tobytes())
    whole[place + 5] ^= 1
    path.write_bytes(whole)
    with pytest.raises(DataError, match=r"not a readable .npz file .*CRC"):
        load(path, tmp_path / "cache")
    path.write_bytes(b"not at all")
    with pytest.raises(DataError, match=r"not a readable .npz file"):
        load(path, tmp_path / "cache")


def mnist_files(seed: int = 0) -> dict[str, NDArray[Any]]:
    return {
        "train-images-idx3": pixels(6, 8, 8, seed=seed),
        "train-labels-idx1": np.array([0, 1, 2] * 2),
        "t10k-images-idx3": pixels(3, 8, 8, seed=seed + 1),
        "t10k-labels-idx1": np.array([2, 1, 0]),
    }


@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize("place", [".", "raw", "MNIST/raw"])
def test_idx_files_are_read(suffix: str, place: str, tmp_path: Path) -> None:
    files = mnist_files()
    write_idx(tmp_path / place, files, suffix=suffix)
    dataset = load(tmp_path, tmp_path / "cache")
    assert_same(dataset, files["train-images-idx3"], files["t10k-images-idx3"])
    assert dataset.test.labels.tolist() == [2, 1, 0]
    assert dataset.reading.train == f"train-images-idx3-ubyte{suffix}"


def test_several_sets_of_idx_files_are_a_choice(tmp_path: Path) -> None:
    write_idx(tmp_path, {f"emnist-digits-{name}": each for name, each in mnist_files().items()})
    assert "rows and columns exchanged" in remarks(load(tmp_path, tmp_path / "cache"))
    write_idx(tmp_path, {f"emnist-letters-{name}": each for name, each in mnist_files().items()})
    with pytest.raises(DataError, match=r"several sets \(emnist-digits, emnist-letters\)"):
        load(tmp_path, tmp_path / "cache")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda data: data[:-1], "its header stands for 384 bytes, and it holds fewer"),
        (lambda data: data + b"x", "its header stands for 384 bytes, and it holds more"),
        (lambda data: b"\0\0\x0d\3" + data[4:], "not an idx file of bytes in 3 dimensions"),
        (lambda data: gzip.compress(data)[:-9], "not a readable idx file"),
        (lambda data: gzip.compress(data + bytes(10**7)), "it holds more"),
        (
            lambda data: data[:4] + struct.pack(">3I", 2**31, 2**31, 2**31),
            "its content needs about",
        ),
    ],
)
def test_damaged_idx_files_are_named(change: Any, words: str, tmp_path: Path) -> None:
    write_idx(tmp_path, mnist_files())
    path = tmp_path / "train-images-idx3-ubyte"
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises((DataError, OutOfMemoryError), match=f"train-images-idx3-ubyte.*{words}"):
        load(tmp_path, tmp_path / "cache")


def python_2_batch(data: NDArray[np.uint8], **labels: list[int]) -> bytes:
    """A batch as Python 2 pickled it at protocol 2, step by step."""

    def text(value: bytes) -> bytes:
        return b"U" + bytes((len(value),)) + value

    def numbers(values: list[int]) -> bytes:
        return b"](" + b"".join(b"K" + bytes((value,)) for value in values) + b"e"

    raw = data.tobytes()
    array = (
        b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
        b"(K\x01" + b"M" + struct.pack("<H", len(data)) + b"M\x00\x0c\x86"
        b"cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xff"
        b"K\x00tb\x89T" + struct.pack("<I", len(raw)) + raw + b"tb"
    )
    items = text(b"batch_label") + text(b"training batch 1 of 5") + text(b"data") + array
    items += b"".join(text(name.encode()) + numbers(values) for name, values in labels.items())
    return b"\x80\x02}(" + items + b"u."


def write_cifar10(folder: Path, *, protocol: int | None = None) -> NDArray[np.uint8]:
    """CIFAR-10's files, as Python 2 wrote them or as Python 3 would; returns all images, CHW."""
    folder.mkdir(parents=True, exist_ok=True)
    images = pixels(12, 3072)
    names = [*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"]
    for number, name in enumerate(names):
        part, labels = images[2 * number : 2 * number + 2], [number % 2, 1]
        content = python_2_batch(part, labels=labels)
        if protocol is not None:
            content = pickle.dumps({b"data": part, b"labels": labels}, protocol)
        (folder / name).write_bytes(content)
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": NAMES}, 2))
    return images.reshape(12, 3, 32, 32)


@pytest.mark.parametrize("protocol", [None, 2, 3, 4])
def test_cifar_10_is_read_whatever_python_wrote_it(protocol: int | None, tmp_path: Path) -> None:
    images = write_cifar10(tmp_path / "cifar-10-batches-py", protocol=protocol)
    dataset = load(tmp_path, tmp_path / "cache")
    assert torch.equal(dataset.train.images, torch.from_numpy(images[:10]))
    assert torch.equal(dataset.test.images, torch.from_numpy(images[10:]))
    assert dataset.train.labels.tolist() == [0, 1, 1, 1, 0, 1, 1, 1, 0, 1]
    assert (dataset.name, dataset.class_names) == ("CIFAR-10", tuple(NAMES))
    assert dataset.reading.train == "data_batch_1 to data_batch_5"


def test_cifar_10_is_the_same_from_pickles_and_from_tables(tmp_path: Path) -> None:
    from PIL import Image

    images = write_cifar10(tmp_path / "py").transpose(0, 2, 3, 1)
    labels = [0, 1, 1, 1, 0, 1, 1, 1, 0, 1, 1, 1]
    for split, part in (("train", slice(0, 10)), ("test", slice(10, 12))):
        rows = [{"bytes": encode(Image.fromarray(each)), "path": None} for each in images[part]]
        columns = {"img": rows, "label": labels[part]}
        write_table(tmp_path / "set" / f"{split}.parquet", columns, {"label": class_label(*NAMES)})
    found = [load(tmp_path / name, tmp_path / "cache").fingerprint for name in ("py", "set")]
    assert found[0] == found[1]


def test_cifar_100_has_fine_and_coarse_labels(tmp_path: Path) -> None:
    place = tmp_path / "cifar-100-python"
    place.mkdir()
    for seed, name in enumerate(("train", "test")):
        data = pixels(2, 3072, seed=seed)
        content = python_2_batch(data, fine_labels=[1, 2], coarse_labels=[1, 0])
        (place / name).write_bytes(content)
    names = {"fine_label_names": ["a", "b", "c"], "coarse_label_names": ["x", "y"]}
    (place / "meta").write_bytes(pickle.dumps(names, 2))
    fine = load(place, tmp_path / "cache")
    assert (fine.name, fine.class_names, fine.train.labels.tolist()) == (
        "CIFAR-100",
        ("a", "b", "c"),
        [1, 2],
    )
    assert "Not used as label: coarse_labels." in remarks(fine)
    for column in ("coarse_labels", "coarse_label"):
        coarse = load(place, tmp_path / "cache", label_column=column)
        assert (coarse.class_names, coarse.train.labels.tolist()) == (("x", "y"), [1, 0])
    with pytest.raises(DataError, match="no labels 'label_names' for label_column; it has fine"):
        load(place, tmp_path / "cache", label_column="label_names")


class Bomb:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch bomb-went-off",)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (pickle.dumps(Bomb()), "holds no dict"),
        (pickle.dumps({"data": Bomb(), "labels": [0, 1]}), "no data of 3072 bytes a row"),
        (pickle.dumps({"data": pixels(2, 3), "labels": [0, 1]}), "no data of 3072 bytes a row"),
        (pickle.dumps({"data": np.zeros((2, 3072)), "labels": [0, 1]}), "not one of bytes"),
        (pickle.dumps({"data": pixels(2, 3072), "labels": [0]}), "no labels of its images"),
        (pickle.dumps({"data": pixels(2, 3072), "labels": [0, "1"]}), "no labels of its images"),
        (python_2_batch(pixels(2, 3072), labels=[0, 1])[:-200], "damaged|cut short"),
        (b"\x80\x02]\x94" + b"h\x00" * 100, "damaged|cut short"),
    ],
)
def test_other_pickles_are_refused_and_nothing_runs(
    content: bytes, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_cifar10(tmp_path / "set")
    (tmp_path / "set" / "data_batch_1").write_bytes(content)
    with pytest.raises(DataError, match=f"data_batch_1 is not one of CIFAR's pickles .*({words})"):
        load(tmp_path / "set", tmp_path / "cache")
    assert not (tmp_path / "bomb-went-off").exists()


@pytest.mark.parametrize("name", ["set.npz", "train-images-idx3-ubyte", "data_batch_1"])
def test_a_pointer_of_git_lfs_is_named(name: str, tmp_path: Path) -> None:
    write_idx(tmp_path, mnist_files()) if "idx" in name else write_cifar10(tmp_path)
    if name == "set.npz":
        (tmp_path / "data_batch_1").unlink()
    (tmp_path / name).write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n")
    with pytest.raises(DataError, match=f"{name} is a pointer of Git LFS"):
        load(tmp_path, tmp_path / "cache")


def test_a_missing_batch_is_named(tmp_path: Path) -> None:
    write_cifar10(tmp_path)
    (tmp_path / "data_batch_3").unlink()
    with pytest.raises(DataError, match="data_batch_3 is missing"):
        load(tmp_path, tmp_path / "cache")


def test_arrays_may_be_resized(tmp_path: Path) -> None:
    path = save(tmp_path / "set.npz", med_mnist())
    dataset = load(path, tmp_path / "cache", image_size=4)
    assert dataset.train.images.shape == (4, 1, 4, 4)
    assert "Images of 8x8 pixels are resized to 4x4." in remarks(dataset)
