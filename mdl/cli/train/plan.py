"""What `mdl train` is about to do: a new run from flags, or a stopped one that is resumed."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mdl.terminal import console
from mdl.terminal.errors import OptionError
from mdl.terminal.option_names import naming_options
from mdl.terminal.policy_option import read_policy
from training.checkpoint.checkpoint import Checkpoint, load_checkpoint
from training.data.loading import Dataset, load_dataset, split_validation
from training.distributed.ranks import Ranks
from training.distributed.sharding import Sharding, check_ranks
from training.errors import CheckpointError, DataError
from training.run.run_folder import RunFolder, check_run_folder, create_run_folder
from training.spec.config import DataConfig, TrainConfig
from training.spec.recipes import recipe_config


@dataclass(frozen=True, kw_only=True)
class TrainingPlan:
    """A configuration with its images, the folder it writes to, and where it resumes."""

    config: TrainConfig
    dataset: Dataset
    folder: RunFolder
    resume_from: Checkpoint | None = None


def plan_new(
    network: str,
    recipe: str,
    settings: dict[str, Any],
    data_settings: dict[str, Any],
    *,
    out: Path | None,
    ranks: Ranks,
    sharding: Sharding,
) -> TrainingPlan:
    """A run from a recipe and flags. Its folder is made last, when all else has been checked.

    Raises:
        OptionError: Settings that do not fit together, a file that is not a policy, or a folder
            that is not empty. No image has been read then.
        DataError: Images that cannot be loaded or split.
    """
    chosen = {name: value for name, value in data_settings.items() if value is not None}
    settings = settings | read_policy(settings["policy"])
    with naming_options():
        config = recipe_config(recipe, network, data=DataConfig(**chosen), **settings)
        # The network's own rules hold for images of any size.
        config.network_spec(image_size=1, num_classes=2, in_channels=1)
        check_ranks(config, ranks, sharding)
    if out is not None:
        _check_out(out)
    dataset = _load(config)
    split_validation(dataset.train, config.data.validation, seed=config.data.seed)
    folder = create_run_folder(network, out=out)
    return TrainingPlan(config=config, dataset=dataset, folder=folder)


def plan_resumed(
    run: Path, *, source: str | None, ranks: Ranks, sharding: Sharding
) -> TrainingPlan:
    """A stopped run as it was configured; its images may lie at `source` now.

    Raises:
        CheckpointError: Not a run folder, or a finished run.
        OptionError: So many ranks, or --shard, do not go with the run.
        DataError: Images that are not those of the run.
    """
    if not run.is_dir():
        raise CheckpointError(f"{run} is not a run folder; --resume takes the folder of a run")
    checkpoint = load_checkpoint(run)
    if checkpoint.training is None or checkpoint.data is None:
        raise CheckpointError(f"{run} is finished; look at it with mdl bound {run}")
    config = TrainConfig.from_dict(checkpoint.config)
    with naming_options():
        check_ranks(config, ranks, sharding)
    located = (
        config if source is None else replace(config, data=replace(config.data, source=source))
    )
    dataset = _load(located)
    if dataset.fingerprint != checkpoint.data.fingerprint:
        raise DataError(
            f"{located.data.source}: these are not the images that {run} was trained on "
            f"({checkpoint.data.name}); pass --data with the original data set"
        )
    return TrainingPlan(
        config=config, dataset=dataset, folder=RunFolder(run), resume_from=checkpoint
    )


def _check_out(out: Path) -> None:
    try:
        check_run_folder(out)
    except ValueError as error:
        raise OptionError(str(error)) from error


def _load(config: TrainConfig) -> Dataset:
    console.stderr().print(f"Loading {config.data.source} ...", markup=False)
    return load_dataset(config.data)
