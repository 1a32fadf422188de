"""Before hours of training: can the images be read, and are they those of the stored results?"""

from collections.abc import Iterable

from mdl.experiments.results import Results, images_of
from training.config import TrainConfig
from training.data import load_dataset
from training.errors import DataError


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
