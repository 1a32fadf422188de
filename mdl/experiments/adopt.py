"""A run that `mdl train` has finished, taken into a store: measured, not trained again."""

import torch

from mdl.experiments.measure import measure_run
from mdl.experiments.result_store import ResultStore
from mdl.experiments.run_result import RunResult
from training.checkpoint import load_checkpoint
from training.config import TrainConfig
from training.data import load_dataset
from training.errors import CheckpointError, DataError
from training.runs import RunFolder


def adopt_run(folder: RunFolder, store: ResultStore, *, device: torch.device) -> RunResult:
    """Measure a finished run and keep the result; the run stays where it is.

    Args:
        folder: As `mdl train` left it.
        store: Where the result goes. One that is there already is left as it is.
        device: Where the errors of the described network are counted.

    Returns:
        The result.

    Raises:
        CheckpointError: The checkpoint cannot be used, is not finished, or an older version wrote
            it.
        DataError: The images are not where they were, or have changed.
    """
    checkpoint = load_checkpoint(folder.checkpoint)
    try:
        config = TrainConfig.from_dict(checkpoint.config)
    except ValueError as error:
        raise CheckpointError(f"{folder.path}: {error}") from error
    found = store.find(config)
    if found is not None:
        return found
    dataset = load_dataset(config.data)
    if checkpoint.data is None or checkpoint.data.fingerprint != dataset.fingerprint:
        raise DataError(
            f"{config.data.source}: these are not the images that {folder.path} was trained on"
        )
    try:
        result, filters = measure_run(
            checkpoint,
            dataset,
            config=config,
            epochs=folder.read_metrics(),
            versions=checkpoint.versions,
            device=device,
        )
    except CheckpointError as error:
        raise CheckpointError(f"{folder.path}: {error}") from error
    store.put(result, filters)
    return result
