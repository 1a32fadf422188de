"""Train one of the paper's networks from Python, as `mdl train` does."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from training.checkpoint.checkpoint import Checkpoint
from training.data.loading import load_dataset, split_validation
from training.distributed.run_options import RunOptions
from training.run.loop import run_training
from training.run.progress import Progress, Unwatched
from training.run.provenance import collect_versions
from training.run.run_folder import check_run_folder, new_run_folder
from training.spec.config import DataConfig
from training.spec.recipes import recipe_config


def train(
    network: str,
    *,
    data: DataConfig | str = "glyphs",
    recipe: str = "quick",
    folder: Path | str | None = None,
    device: torch.device | str = "cpu",
    progress: Progress | None = None,
    **settings: Any,
) -> Checkpoint:
    """Train a network to the end and return its checkpoint.

    Args:
        network: One of the paper's, such as "s-fc".
        data: The images: "glyphs", "leaves", a folder, a name on the hub, or a `DataConfig` for
            some of them.
        recipe: "quick", "paper-400" or "paper-4000": where the settings that are not given come
            from.
        folder: A new run folder, for `mdl bound` and all other commands; None keeps no files.
        device: Where it computes.
        progress: Told of every step and epoch.
        **settings: What `recipe_config` takes: method, base_channels, epochs, batch_size, lr,
            l1_conv, l1_fc, beta, crop, policy, seed, precision, ...

    Raises:
        ConfigError: Settings that do not fit together, or a folder that is not empty.
        DataError: Images that cannot be loaded or split.
        TrainingError: The loss or a weight is not finite.

    >>> images = DataConfig(image_size=8, num_train=200, num_test=50)
    >>> checkpoint = train("s-fc", data=images, base_channels=1, epochs=1, batch_size=50)
    >>> checkpoint.network.name, checkpoint.metrics["epoch"]
    ('s-fc', 1)
    """
    data = DataConfig(source=data) if isinstance(data, str) else data
    config = recipe_config(recipe, network, data=data, **settings)
    options = RunOptions(device=torch.device(device))
    options.check(config)
    if folder is not None:
        check_run_folder(Path(folder))
    dataset = load_dataset(data)
    split_validation(dataset.train, data.validation, seed=data.seed)
    with (
        TemporaryDirectory() as nowhere,
        new_run_folder(network, out=Path(folder or nowhere)) as run,
    ):
        run.write_config({"config": config.to_dict(), "versions": collect_versions()})
        unwatched = Unwatched()
        return run_training(
            config=config,
            dataset=dataset,
            folder=run,
            options=options,
            progress=progress or unwatched,
            stop=unwatched,
        ).checkpoint
