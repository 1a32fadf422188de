"""Formats that are not read: how to know them, and one line each that says how to convert them."""

import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from training.errors import DataError
from training.system.files import FileBytes

_NPZ = (
    "np.savez_compressed('set.npz', train_images=..., train_labels=..., test_images=..., "
    "test_labels=...)"
)
_FOLDERS = "FOLDER/train/<class>/ and FOLDER/test/<class>/"
_LOOKED_AT = 1000  # entries of a folder, so that a large one is not gone through
_FOLDERS_LOOKED_AT = 20
_LEVELS = 2  # of folders
_HEAD_BYTES = 512

_ANYWHERE = (
    (
        r"dataset_dict\.json",
        "a data set of save_to_disk",
        'write it as parquet: python -c "from datasets import load_from_disk as load; '
        "d = load('{folder}'); [d[s].to_parquet(f'{{s}}-00000-of-00001.parquet') for s in d]\"",
    ),
    (
        r"state\.json",
        "one split of a data set of save_to_disk",
        'write each split as parquet: python -c "from datasets import load_from_disk as load; '
        "load('{folder}').to_parquet('train-00000-of-00001.parquet')\"",
    ),
    (
        r".*\.arrow",
        "an arrow file of datasets",
        'write each split as parquet: python -c "from datasets import Dataset; '
        "Dataset.from_file('{file}').to_parquet('train-00000-of-00001.parquet')\"",
    ),
    (
        r".*\.tfrecords?([-.].*)?|.*\.array_record.*",
        "TFRecord",
        f"load it with tfds.as_numpy(tfds.load(NAME, batch_size=-1)) and write {_NPZ}",
    ),
    (
        r".*\.mat",
        "a MATLAB file",
        "SVHN: for each split d = scipy.io.loadmat(FILE), images d['X'].transpose(3, 0, 1, 2), "
        f"labels d['y'].ravel() % 10, then {_NPZ}",
    ),
    (
        r"(train|test|unlabeled)_[Xy]\.bin",
        "STL-10 in its binary form",
        "for each split images np.fromfile(FILE, 'u1').reshape(-1, 3, 96, 96).transpose(0, 3, 2, 1)"
        f", labels np.fromfile(FILE, 'u1') - 1, then {_NPZ}",
    ),
    (
        r"(data_batch_\d|test_batch|train|test)\.bin",
        "CIFAR in its binary form",
        "take the python version, cifar-10-python.tar.gz or cifar-100-python.tar.gz, unpacked",
    ),
    (
        r".*\.(h5|hdf5|he5)",
        "HDF5",
        f"f = h5py.File(FILE), then {_NPZ} with f[NAME][:] for each",
    ),
    (
        r".*\.tar",
        "a tar, as webdataset has its shards",
        'write each split as parquet: python -c "from datasets import load_dataset as load; '
        "load('webdataset', data_files='{folder}/*.tar', split='train')"
        ".to_parquet('train-00000-of-00001.parquet')\"; or unpack it if it holds folders",
    ),
    (r".*\.mdb", "LMDB", f"write its images to {_FOLDERS}"),
    (r".*\.(beton|rec)", "a container of a training library", f"write its images to {_FOLDERS}"),
    (
        r".*\.(feather|orc|lance|parquet\.\w+)",
        "a table in another form than .parquet",
        "write each split with pandas: read_feather(FILE).to_parquet('train.parquet')",
    ),
    (
        r".*\.(heic|heif|avif|svg|dcm|nii|nii\.gz|exr|psd|eps|jxl)",
        "an image in another format",
        "save the images as PNG or JPEG, medical ones with 8 bits",
    ),
    (
        r"(instances|captions|person_keypoints|stuff)_.*\.json|_annotations\.coco\.json",
        "annotations of COCO",
        "an image has one label here: cut out the box of each object and save it to "
        f"{_FOLDERS} by its category",
    ),
    (
        r"metadata\.(csv|jsonl)",
        "labels of datasets' imagefolder",
        'write it as parquet: python -c "from datasets import load_dataset as load; '
        "d = load('imagefolder', data_dir='{folder}', split='train'); "
        "d.to_parquet('train-00000-of-00001.parquet')\"",
    ),
)  # fmt: skip
_AT_THE_TOP = (
    (
        r".*\.(tar\.gz|tgz|tar\.bz2|tar\.xz|tar\.zst|zip|7z|rar)",
        "an archive",
        "unpack it and give the folder",
    ),
    (
        r".*\.(npy|pt|pth|pkl|pickle)(\.gz)?",
        "bare arrays",
        f"load them with the library that wrote them, then {_NPZ}",
    ),
    (
        r".*\.(csv|tsv)(\.gz)?",
        "a table of text",
        f"if it names files, move each image to {_FOLDERS}; if it holds pixels, load it with "
        f"numpy, then {_NPZ}",
    ),
    (r".*\.jsonl?", "labels in JSON", f"move each image to {_FOLDERS}"),
)


def refuse_if_known(path: Path) -> None:
    """Refuse a file or folder whose format is known and not read.

    Args:
        path: What the user named.

    Raises:
        DataError: It is of such a format; one line that names it and says how to convert it.
    """
    at_top, folders = [path], list(_visible(path))
    if path.is_dir():
        at_top = [each for each in folders if each.is_file()]
    everywhere = list(at_top)
    for _ in range(_LEVELS):
        folders = [each for each in folders if each.is_dir() and not each.is_symlink()]
        folders = [each for folder in folders[:_FOLDERS_LOOKED_AT] for each in _visible(folder)]
        everywhere += [each for each in folders if each.is_file()]
    for files, formats in ((everywhere, _ANYWHERE), (at_top, _AT_THE_TOP)):
        for pattern, what, way_out in formats:
            known = re.compile(pattern, re.IGNORECASE)
            for file in files:
                if known.fullmatch(file.name):
                    text = way_out.format(folder=file.parent, file=file)
                    raise DataError(f"{file} is {what}, which is not read; {text}")


def refuse_pointer(path: Path) -> None:
    """Refuse what stands for a file in a repository that was cloned without its large files.

    Args:
        path: A file.

    Raises:
        DataError: It is such a pointer, not a regular file, or cannot be read.
    """
    if read_head(path).startswith(b"version https://git-lfs"):
        raise DataError(f"{path} is a pointer of Git LFS, not the file itself; run git lfs pull")


def read_head(path: Path) -> bytes:
    """The first bytes of a regular file.

    Raises:
        DataError: It is not one, or cannot be read.
    """
    with FileBytes(path, what="a file of images", cap=1 << 62, error=DataError) as file:
        return file.read(0, min(file.num_bytes, _HEAD_BYTES))


def _visible(folder: Path) -> Iterator[Path]:
    """The entries of a folder, as many as a look takes."""
    if folder.is_dir():
        for path in sorted(islice(folder.iterdir(), _LOOKED_AT)):
            if not path.name.startswith("."):
                yield path
