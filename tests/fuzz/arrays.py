"""Images as arrays: npz, MNIST's idx and CIFAR's pickles, with lies in them."""

import gzip
import io
import pickle
import random
import struct
import zipfile

import numpy as np

from tests.fuzz.archives import change_archive, change_steps
from tests.fuzz.damage import NUMBERS, damage, write_number

_TYPES = (
    *("'|u1'", "'<i8'", "'<f2'", "'|O'", "'<f8'", "'<M8[ns]'", "[('a', '<f2')]", "'|V2'", "'U9'"),
    *("1", "'>f2'", "'|b1'", "'<c16'", "'|u1' * 9"),
)
_VERSIONS = ((b"\1\0", "<H"), (b"\2\0", "<I"), (b"\3\0", "<I"), (b"\x09\0", "<H"))


def good_arrays() -> dict[str, dict[str, bytes]]:
    """Data sets of three images each: folders of files by name."""
    images = np.arange(3 * 6 * 6, dtype=np.uint8).reshape(3, 6, 6)
    colours = np.arange(3 * 3072, dtype=np.int64).reshape(3, 3072).astype(np.uint8)
    idx = {
        "train-images-idx3-ubyte": _idx(images[:2]),
        "train-labels-idx1-ubyte": _idx(np.array([0, 1], np.uint8)),
        "t10k-images-idx3-ubyte": _idx(images[2:]),
        "t10k-labels-idx1-ubyte": _idx(np.array([1], np.uint8)),
    }
    file = io.BytesIO()
    np.savez_compressed(
        file,
        train_images=images[:2],
        train_labels=np.array([[0], [1]]),
        test_images=images[2:],
        test_labels=np.array([[1]]),
    )
    train = {b"data": colours[:2], b"fine_labels": [0, 1], b"coarse_labels": [0, 0]}
    test = {b"data": colours[2:], b"fine_labels": [1], b"coarse_labels": [0]}
    meta = {b"fine_label_names": [b"a", b"b"], b"coarse_label_names": [b"c"]}
    cifar = {"train": train, "test": test, "meta": meta}
    return {
        "npz": {"data.npz": file.getvalue()},
        "idx": idx,
        "idx.gz": {f"{name}.gz": gzip.compress(data, mtime=0) for name, data in idx.items()},
        "cifar": {name: pickle.dumps(values, protocol=2) for name, values in cifar.items()},
    }


def _idx(array: "np.ndarray[tuple[int, ...], np.dtype[np.uint8]]") -> bytes:
    sizes = b"".join(struct.pack(">I", size) for size in array.shape)
    return bytes((0, 0, 8, array.ndim)) + sizes + array.tobytes()


def change_npz(data: bytes, draw: random.Random) -> bytes:
    """An npz file whose archive, or the header of one of its arrays, says what is not so."""
    if draw.random() < 0.4:
        return change_archive(data, draw)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        arrays = {name: archive.read(name) for name in archive.namelist()}
    name = draw.choice(sorted(arrays))
    new = {"filters" if draw.random() < 0.1 else name: _odd_array(draw)}
    if draw.random() < 0.1:
        new = {draw.choice(("x.npy", "train.npy", "../x.npy", name)): arrays[name]}
    file = io.BytesIO()
    form = draw.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2))
    with zipfile.ZipFile(file, "w", form) as archive:
        for each, content in (arrays | new).items():
            archive.writestr(each, content)
    return file.getvalue()


def _odd_array(draw: random.Random) -> bytes:
    number = draw.choice(NUMBERS)
    shapes = (f"({number},)", f"({number}, {number})", "()", "(1,)", "(-1,)", "(2.5,)", "x")
    shapes += ("(2, 6, 6)", "(2, 6, 6, 3)", "(2, 0, 6)", "(2, 1)", "(2,)", "(2, 3, 4, 4)")
    order = draw.choice(("False", "True", "0"))
    header = (
        f"{{'descr': {draw.choice(_TYPES)}, 'fortran_order': {order}, "
        f"'shape': {draw.choice(shapes)}, }}"
    ).encode()[:60_000]
    version, length = draw.choice(_VERSIONS)
    stated = len(header) if draw.random() < 0.9 else number % 2**16
    content = draw.choice((bytes(200), bytes(10**6), draw.randbytes(72), b""))
    return b"\x93NUMPY" + version + struct.pack(length, stated) + header + content


def change_arrays(files: dict[str, bytes], draw: random.Random) -> dict[str, bytes]:
    """One file of a data set of arrays is another."""
    name = draw.choice(sorted(files))
    data = files[name]
    if name.endswith(".npz"):
        return files | {name: change_npz(data, draw)}
    if "ubyte" not in name:
        return files | {name: change_steps(data, draw)}
    plain = gzip.decompress(data) if name.endswith(".gz") else data
    changed = draw.choice(
        (
            write_number(plain[:16], draw) + plain[16:],
            draw.choice((b"\0\0\x08\3", b"\0\0\x08\1", b"\0\0\x0d\3")) + plain[4:],
            plain + bytes(draw.choice((1, 10**7))),
            files[draw.choice(sorted(files))],
            damage(plain, draw),
        )
    )
    return files | {name: gzip.compress(changed, mtime=0) if name.endswith(".gz") else changed}
