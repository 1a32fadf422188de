"""Data sets by name from the Hugging Face hub, or from this machine's copy of it."""

import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from training.data.encoded import EncodedDataset, choose_splits, reason_of
from training.data.label_column import choose_label
from training.data.parquet_source import (
    TableSplit,
    choose_image,
    column_of,
    encoded_images,
    join_splits,
)
from training.errors import DataError

PROBE_SECONDS = 3.0
_REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+(:[\w.-]+)?", re.ASCII)


@dataclass(frozen=True)
class HubName:
    """A repository of the hub, and its configuration where it has several."""

    repository: str
    config: str | None = None

    def __str__(self) -> str:
        return self.repository if self.config is None else f"{self.repository}:{self.config}"


SHORT_NAMES = {
    "cifar10": HubName("uoft-cs/cifar10"),
    "cifar100": HubName("uoft-cs/cifar100"),
    "svhn": HubName("ufldl-stanford/svhn", "cropped_digits"),
    "mnist": HubName("ylecun/mnist"),
    "fashion_mnist": HubName("zalando-datasets/fashion_mnist"),
}


def parse_hub_name(source: str) -> HubName | None:
    """A short name, "owner/name", or "owner/name:config"; None if it is none of them.

    >>> str(parse_hub_name("svhn"))
    'ufldl-stanford/svhn:cropped_digits'
    >>> parse_hub_name("../data") is None
    True
    """
    if source in SHORT_NAMES:
        return SHORT_NAMES[source]
    if not _REPOSITORY.fullmatch(source) or source.startswith("."):
        return None
    repository, _, config = source.partition(":")
    return HubName(repository, config or None)


def read_hub(name: HubName, label_column: str | None = None) -> EncodedDataset:
    """Load a data set by `datasets`, from the network or from its cache on this machine.

    The hub is probed once: `datasets` would retry for half a minute where there is no network.

    Args:
        name: The data set.
        label_column: Its column of labels; None for the one that its name says.

    Raises:
        DataError: `datasets` is not installed, the hub has no such data set, or there is no
            network and no cached copy.
    """
    try:
        import datasets  # noqa: PLC0415  (slow to import, and absent on some machines)
    except ImportError as error:
        raise DataError.naming(
            "{}: names of the hub need the package datasets: pip install datasets; or give "
            "{source} FOLDER with the data set's parquet files",
            name,
        ) from error
    online = _hub_answers()
    with _offline(not online):
        try:
            splits = datasets.load_dataset(name.repository, name.config)
        except Exception as error:  # datasets raises many kinds; all mean that there is no data
            raise _explained(name, error, online=online) from error
    return _encode_splits(splits, str(name), label_column)


def is_within_reach(name: HubName) -> bool:
    """Whether the hub answers or `datasets` has a copy on this machine; nothing is read."""
    try:
        from huggingface_hub import constants  # noqa: PLC0415  (it comes with datasets)
    except ImportError:
        return False
    copy = Path(constants.HF_HOME) / "datasets" / name.repository.replace("/", "___")
    return copy.is_dir() or _hub_answers()


def _encode_splits(splits: Any, source: str, label_column: str | None) -> EncodedDataset:
    how = (
        "python -c \"from datasets import load_dataset as load; d = load(NAME, split='train')"
        ".train_test_split(0.2, seed=0); "
        "[d[s].to_parquet(f'{s}-00000-of-00001.parquet') for s in d]\", and give that folder"
    )
    chosen = choose_splits(list(splits), source, "one called train and one called test", how)
    names = (chosen.train, chosen.test)
    features = splits[chosen.train].features.to_dict()
    tables = [splits[name].with_format("arrow")[:] for name in names]
    image, others = choose_image(tables[0].schema, features, source)
    label = choose_label(tables[0].schema, features, source, image_column=image, asked=label_column)

    def read(table: Any, split: str) -> TableSplit:
        def place(row: int) -> str:
            return f"row {row} of {split}"

        files = encoded_images(table.column(image).to_pylist(), _cache_folders(), place)
        return TableSplit(files=files, labels=column_of(table, label.name), place=place)

    read_splits = [read(table, name) for table, name in zip(tables, names, strict=True)]
    words = (f"split {chosen.train}", f"split {chosen.test}")
    return join_splits(read_splits, label, source, words, (*chosen.remarks, *others))


def _cache_folders() -> tuple[Path, ...]:
    """Where the libraries keep what they fetched: images that a table names lie there."""
    from datasets import config  # noqa: PLC0415
    from huggingface_hub import constants  # noqa: PLC0415

    folders = (config.HF_DATASETS_CACHE, config.DOWNLOADED_DATASETS_PATH, constants.HF_HUB_CACHE)
    return tuple(Path(folder) for folder in folders)


def _explained(name: HubName, error: Exception, *, online: bool) -> DataError:
    if not online:
        return DataError.naming(
            "no folder {}; as a hub name: the hub cannot be reached and this machine has no copy "
            "of the data set; load it once where there is a network, or give {source} FOLDER with "
            "its parquet files (train-*.parquet, test-*.parquet)",
            name,
        )
    reason = reason_of(error)
    return DataError(f"no folder {name}; as a hub name it could not be loaded: {reason}")


def _hub_answers() -> bool:
    """Whether the hub answers at all within PROBE_SECONDS, name look-up and proxies included."""
    from huggingface_hub import constants, get_session  # noqa: PLC0415

    if constants.HF_HUB_OFFLINE:
        return False
    answered = threading.Event()

    def probe() -> None:
        try:
            get_session().head(constants.ENDPOINT, timeout=PROBE_SECONDS)
        except Exception:  # whatever goes wrong, the hub did not answer
            return
        answered.set()

    # A thread of its own, because a name look-up takes no timeout.
    thread = threading.Thread(target=probe, daemon=True)
    thread.start()
    thread.join(PROBE_SECONDS)
    return answered.is_set()


@contextmanager
def _offline(wanted: bool) -> Iterator[None]:
    """Put both libraries into their offline mode, in which cached copies still load.

    They read HF_HUB_OFFLINE when they are imported, so setting the variable alone is too late.
    """
    if not wanted:
        yield
        return
    from datasets import config  # noqa: PLC0415
    from huggingface_hub import constants  # noqa: PLC0415

    before = os.environ.get("HF_HUB_OFFLINE"), constants.HF_HUB_OFFLINE, config.HF_HUB_OFFLINE
    os.environ["HF_HUB_OFFLINE"] = "1"
    constants.HF_HUB_OFFLINE = config.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        if before[0] is None:
            del os.environ["HF_HUB_OFFLINE"]
        else:
            os.environ["HF_HUB_OFFLINE"] = before[0]
        constants.HF_HUB_OFFLINE, config.HF_HUB_OFFLINE = before[1:]
