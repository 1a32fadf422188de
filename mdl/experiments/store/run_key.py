"""What makes two runs the same run: a hash of the configuration. No torch."""

import hashlib
import json
from pathlib import PurePath
from typing import Any

from training.spec.config import DataConfig, TrainConfig

_KEY_DIGITS = 16


def run_key(config: TrainConfig) -> str:
    """A hash of everything that decides the weights, apart from the machine.

    Where the images lie is left out: a path counts by its last part, but a folder called glyphs is
    not the generator. Whether they are the same images is checked by their fingerprint once they
    are read.

    >>> from dataclasses import replace
    >>> from training.spec.config import DataConfig
    >>> near = TrainConfig(network="s-fc", base_channels=8, data=DataConfig(source="data/cifar10"))
    >>> far = replace(near, data=DataConfig(source="/mnt/images/cifar10/"))
    >>> run_key(near) == run_key(far), run_key(near) == run_key(replace(near, seed=1))
    (True, False)
    """
    text = json.dumps(_canonical(config), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:_KEY_DIGITS]


def _canonical(config: TrainConfig) -> dict[str, Any]:
    values = config.to_dict()
    del values["recipe"]  # a name for where the settings came from
    name = PurePath(config.data.source).name
    is_namesake = DataConfig(source=name).is_generated and not config.data.is_generated
    values["data"]["source"] = f"folder {name}" if is_namesake else name
    return values
