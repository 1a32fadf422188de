"""What the source of a data set means: a folder on this machine, or a name on the hub."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from training.data.encoded_images import EncodedDataset
from training.data.folder_source import HELD_OUT, find_images
from training.data.hub_source import SHORT_NAMES, parse_hub_name, read_hub
from training.data.parquet_source import find_parquet, read_parquet, split_files
from training.errors import DataError

TITLES = {
    "cifar10": "CIFAR-10",
    "cifar100": "CIFAR-100",
    "svhn": "SVHN",
    "mnist": "MNIST",
    "fashion_mnist": "Fashion-MNIST",
}


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where encoded images come from.

    Attributes:
        title: Name of the data set for people: that of the folder or of the repository.
        remark: What a reader of results must know beside the title, or "".
        place: The source's identity, under which its decoded images are cached.
        state: Changes whenever the content at `place` may have changed.
        read: Reads the encoded images; raises DataError.
    """

    title: str
    remark: str
    place: str
    state: str
    read: Callable[[], EncodedDataset]


def find_source(source: str) -> Source:
    """The source that a user's words mean. An existing folder goes before a name of the hub.

    Raises:
        DataError: It is neither a folder nor a possible name, or the folder holds no data set.
    """
    path = Path(source).expanduser()
    if path.is_dir():
        return _folder_source(path.resolve())
    if path.is_file():
        raise DataError(f"{source} is a file; pass the folder of parquet files or images it is in")
    hub_name = parse_hub_name(source)
    if hub_name is None or source.count("/") > 1:
        raise DataError(
            f"no data at {source!r}: expected glyphs, a name ({', '.join(SHORT_NAMES)} or "
            "owner/name on the hub), or a folder of parquet files or of class folders of images"
        )
    repository = hub_name.repository.partition("/")[2]
    return Source(
        title=TITLES.get(repository, repository),
        remark="",
        place=f"hub:{hub_name}",
        state="",  # a cached copy stays: the hub is not asked again
        read=partial(read_hub, hub_name),
    )


def _folder_source(folder: Path) -> Source:
    """A folder of parquet files if there are any, else one of images.

    Its state is the name, size and time of change of every file that is read.
    """
    try:
        read: Callable[[], EncodedDataset]
        parquet = find_parquet(folder)
        if parquet is not None:
            paths = [path for files in split_files(parquet).values() for path in files]
            remark, read = "", partial(read_parquet, parquet)
        else:
            images = find_images(folder)
            paths, read = images.paths, images.read
            remark = "" if images.has_own_split else f"1 in {HELD_OUT} held out as test set"
        state = "\n".join(_file_state(path, folder) for path in paths)
    except OSError as error:
        raise DataError(f"{folder} cannot be read: {error}") from error
    return Source(
        title=TITLES.get(folder.name, folder.name),
        remark=remark,
        place=f"folder:{folder}",
        state=state,
        read=read,
    )


def _file_state(path: Path, folder: Path) -> str:
    stat = path.stat()
    return f"{path.relative_to(folder)} {stat.st_size} {stat.st_mtime_ns}"
