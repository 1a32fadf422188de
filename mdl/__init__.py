"""How short is the description of a network, and what does that prove about its error?

The names of `__all__` are loaded when they are first used, so `import mdl` takes no torch.

>>> import mdl
>>> mdl.NetworkSpec(name="s-fc", image_size=32, num_classes=10, base_channels=150).num_weights
256240800
"""

import importlib
import importlib.util
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from analysis.bounds import bounds
    from analysis.certify.certify import certify
    from analysis.certify.verify import verify
    from analysis.codes.network_code import decode_network, encode_network
    from analysis.compress.compress import compress
    from analysis.describe.describe import describe
    from training.checkpoint.checkpoint import Checkpoint, load_checkpoint
    from training.data.loading import load_dataset
    from training.networks.models import build_model
    from training.optim.beta_lasso import BetaLasso, beta_lasso_groups
    from training.run.train import train
    from training.spec.architectures import NetworkSpec
    from training.spec.config import DataConfig

    __version__: str

__all__ = [
    "BetaLasso",
    "Checkpoint",
    "DataConfig",
    "NetworkSpec",
    "__version__",
    "beta_lasso_groups",
    "bounds",
    "build_model",
    "certify",
    "compress",
    "decode_network",
    "describe",
    "encode_network",
    "load_checkpoint",
    "load_dataset",
    "train",
    "verify",
]

_SIBLINGS = ("training", "analysis", "figures")
_PLACES = {
    "BetaLasso": "training.optim.beta_lasso",
    "Checkpoint": "training.checkpoint.checkpoint",
    "DataConfig": "training.spec.config",
    "NetworkSpec": "training.spec.architectures",
    "beta_lasso_groups": "training.optim.beta_lasso",
    "bounds": "analysis.bounds",
    "build_model": "training.networks.models",
    "certify": "analysis.certify.certify",
    "compress": "analysis.compress.compress",
    "decode_network": "analysis.codes.network_code",
    "describe": "analysis.describe.describe",
    "encode_network": "analysis.codes.network_code",
    "load_checkpoint": "training.checkpoint.checkpoint",
    "load_dataset": "training.data.loading",
    "train": "training.run.train",
    "verify": "analysis.certify.verify",
}


def _find_stranger() -> str | None:
    """What is wrong if a foreign package shadows one of ours; nothing of theirs is imported."""
    home = Path(__file__).resolve().parents[1]
    for name in _SIBLINGS:
        found = importlib.util.find_spec(name)
        places = [] if found is None else list(found.submodule_search_locations or [])
        if str(home / name) not in {str(Path(place).resolve()) for place in places}:
            where = f"it comes from {places[0]}" if places else "it was not found"
            return (
                f"the package {name!r} must lie beside mdl in {home}, but {where}; remove or "
                "rename the other one, or install mdl in a fresh environment"
            )
    return None


def _is_command() -> bool:
    """Whether this is `mdl`, or `python -m mdl`, which name themselves so while they load."""
    name = sys.argv[0] if sys.argv else ""
    return name == "-m" or Path(name).stem == "mdl"


if (_stranger := _find_stranger()) is not None:
    if _is_command():
        sys.exit(f"error: {_stranger}")
    raise ImportError(_stranger)


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version  # noqa: PLC0415  # not every command needs it

        return version("mdl")
    if name not in _PLACES:
        raise AttributeError(f"module 'mdl' has no attribute {name!r}")
    module = importlib.import_module(_PLACES[name])
    value = getattr(module, name, None)
    # A name that is a module of its room, such as `bounds`.
    return value if value is not None else importlib.import_module(f"{_PLACES[name]}.{name}")


def __dir__() -> list[str]:
    return sorted(__all__)
