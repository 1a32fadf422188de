"""What `mdl train` is about to do: a new run from flags, or a stopped one that goes on."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mdl import console
from mdl.option_errors import OptionError
from mdl.option_names import naming_options
from training.built_in_policies import BUILT_IN_POLICIES
from training.checkpoint import Checkpoint, load_checkpoint
from training.config import DataConfig, TrainConfig
from training.data import Dataset, load_dataset, split_validation
from training.errors import CheckpointError, DataError
from training.policy_table import read_policy_table
from training.ranks import Ranks
from training.recipes import NO_POLICY, recipe_config
from training.runs import RunFolder, check_run_folder, create_run_folder
from training.sharding import Sharding, check_ranks


@dataclass(frozen=True, kw_only=True)
class TrainingPlan:
    """A configuration with its images, the folder it writes to, and where it goes on from."""

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
        OptionError: Settings that do not fit together, a policy file that is none, or a folder
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


def read_policy(policy: str | None) -> dict[str, Any]:
    """What `--policy` gives to `recipe_config`: a name, or a file's name and its contents.

    Raises:
        OptionError: Neither a name nor a file that holds a table.
    """
    if policy is None or policy in (NO_POLICY, *BUILT_IN_POLICIES):
        return {"policy": policy}
    path = Path(policy)
    if not path.is_file():
        names = ", ".join((NO_POLICY, *BUILT_IN_POLICIES))
        raise OptionError(f"--policy {policy} is not a file; give a JSON table, or one of {names}")
    try:
        return {"policy": path.name, "policy_table": read_policy_table(path)}
    except ValueError as error:
        raise OptionError(f"--policy {error}") from error
    except OSError as error:
        raise OptionError(f"--policy {policy} cannot be read: {error.strerror}") from error


def _check_out(out: Path) -> None:
    try:
        check_run_folder(out)
    except ValueError as error:
        raise OptionError(str(error)) from error


def _load(config: TrainConfig) -> Dataset:
    console.stderr().print(f"Loading {config.data.source} ...", markup=False)
    return load_dataset(config.data)
