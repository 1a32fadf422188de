"""Before hours of training: can the images be read, and are they those of the stored results?"""

from collections.abc import Iterable
from pathlib import PurePath

from mdl.experiments.reproduce.scale import Scale
from mdl.experiments.store.result_store import ResultStore
from mdl.experiments.store.results import Results, images_of
from mdl.terminal.errors import message_of
from training.data.loading import load_dataset
from training.data.sources import find_source
from training.errors import DataError
from training.spec.config import TrainConfig


def check_images(configs: Iterable[TrainConfig], found: Results) -> None:
    """Load the images of every data set once, and compare them with those of the results.

    Args:
        configs: What is about to be trained.
        found: Results of the same tables and figures, asked for before.

    Raises:
        DataError: Images that cannot be read, or others than those of the results.
    """
    by_images = {images_of(config.data): config.data for config in configs}
    for data in by_images.values():
        dataset = load_dataset(data)
        known = found.sample_of(data)
        if known is not None and known.fingerprint != dataset.fingerprint:
            raise DataError(
                f"--data {data.source}: these are not the images of the stored result {known.key} "
                f"({known.data_name}); pass --store with another folder, or the data it was made of"
            )


def lost_images(scale: Scale) -> list[str]:
    """A sentence for each data set whose images are not where its source says; nothing is read.

    A name of the hub is believed.
    """
    notes = []
    for one in scale.by_data_set():
        if one.data.is_generated:
            continue
        try:
            find_source(one.data.source)
        except DataError as error:
            notes.append(message_of(error))
    return notes


def without_results(scale: Scale, store: ResultStore) -> list[str]:
    """A sentence for each data set on which the store has no result at all.

    Raises:
        StoreError: A file of the store is damaged.
    """
    there = sorted({PurePath(result.config.data.source).name for result in store.all()})
    return [
        f"{store.root} has no result on {one.data.source}, only on {', '.join(there)}"
        if there
        else f"{store.root} has no result yet"
        for one in scale.by_data_set()
        if PurePath(one.data.source).name not in there
    ]
