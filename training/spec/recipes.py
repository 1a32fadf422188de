"""Named starting points for a training configuration; every setting can be overridden. No torch."""

from dataclasses import dataclass, replace
from pathlib import PurePath
from typing import Any, Literal

from training.errors import ConfigError
from training.spec.architectures import NETWORKS
from training.spec.config import Augmentation, DataConfig, Method, TrainConfig
from training.spec.policy import PolicyTable

RecipeName = Literal["quick", "paper-400", "paper-4000"]

DIGIT_SETS = ("glyphs", "mnist", "svhn")
"""Data sets whose labels a mirror image would change: never flipped unless asked."""
NO_POLICY = "none"
"""In place of a policy's name: no policy, whatever the recipe has."""
POLICIES = {
    "cifar10": "autoaugment-cifar10",
    "cifar100": "autoaugment-cifar10",
    "svhn": "autoaugment-svhn",
}
"""Data set to the built-in policy that was found on it, or on its like."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A named set of defaults.

    Attributes:
        name: What `--recipe` takes.
        about: One sentence for people.
        missing: What of the paper's training it does not have, apart from the policy table.
        epochs: Passes over the training images.
        widths: base_channels by network (hidden_units for 3-fc).
        batch_size: Images per step.
        beta_lasso: Settings of β-lasso: fields of `TrainConfig`.
        sgd: Settings of SGD, likewise.
        crop: Padding in pixels of the random crop.
        cutout: Side in pixels of the cutout square.
        has_policy: Whether the data set's built-in policy runs; see `POLICIES`.
    """

    name: str
    about: str
    missing: str
    epochs: int
    widths: dict[str, int]
    batch_size: int
    beta_lasso: dict[str, Any]
    sgd: dict[str, Any]
    crop: int
    cutout: int
    has_policy: bool


_QUICK_WIDTHS = {
    "d-conv": 8,
    "d-local": 4,
    "d-fc": 2,
    "s-conv": 8,
    "s-local": 8,
    "s-fc": 8,
    "3-fc": 512,
    "resnet18": 8,
    "tiny-conv": 2,
    "tiny-separable": 5,
}
_PAPER_WIDTHS = {
    "d-conv": 15,
    "d-local": 15,
    "d-fc": 15,
    "s-conv": 150,
    "s-local": 150,
    "s-fc": 150,
    "3-fc": 14_533,
    "resnet18": 64,
    "tiny-conv": 2,
    "tiny-separable": 5,
}
_PAPER_TABLE = "the policy table that the paper used (Lim et al. 2019, Fast AutoAugment)"


def _paper(epochs: int) -> Recipe:
    return Recipe(
        name=f"paper-{epochs}",
        about=f"The paper's sizes and settings (Appendix A), {epochs} epochs.",
        missing="the search over λ, momentum, weight decay and dropout",
        epochs=epochs,
        widths=_PAPER_WIDTHS,
        batch_size=512,
        beta_lasso={"lr": 0.1, "l1_conv": 1e-5, "l1_fc": 2e-6},
        sgd={"lr": 0.1, "momentum": 0.9, "weight_decay": 5e-4},
        crop=4,
        cutout=16,
        has_policy=True,
    )


RECIPES = {
    recipe.name: recipe
    for recipe in (
        Recipe(
            name="quick",
            about="Small networks, minutes on two cores.",
            missing="the paper's sizes, its number of epochs and cutout",
            epochs=60,
            widths=_QUICK_WIDTHS,
            batch_size=128,
            beta_lasso={"lr": 1.0, "shrinkage": (10.0, 10.0), "max_threshold": 0.1},
            sgd={"lr": 0.1, "momentum": 0.9, "weight_decay": 5e-4},
            crop=4,
            cutout=0,
            has_policy=False,
        ),
        _paper(400),
        _paper(4000),
    )
}


def missing_parts(config: TrainConfig) -> str:
    """What of the paper's training a configuration of a recipe does not have.

    >>> missing_parts(recipe_config("paper-400", "s-fc"))
    'the policy table that the paper used (Lim et al. 2019, Fast AutoAugment) or the search over \
λ, momentum, weight decay and dropout'
    """
    missing = RECIPES[config.recipe].missing
    return missing if config.augmentation.policy_table else f"{_PAPER_TABLE} or {missing}"


def default_method(network: str) -> Method:
    """β-lasso for fully-connected networks, SGD for the others, as the paper's main results do."""
    return "beta-lasso" if network.endswith("-fc") else "sgd"


def may_flip(source: str) -> bool:
    """Whether a mirror image keeps its label: not in the data sets of digits.

    >>> may_flip("cifar10"), may_flip("../shared/data/mnist")
    (True, False)
    """
    return not any(_is_set(source, digits) for digits in DIGIT_SETS)


def default_policy(source: str) -> str | None:
    """The built-in policy of a data set, or None if it has none.

    >>> default_policy("uoft-cs/cifar100"), default_policy("ufldl-stanford/svhn")
    ('autoaugment-cifar10', 'autoaugment-svhn')
    """
    found = [policy for name, policy in POLICIES.items() if _is_set(source, name)]
    return found[0] if found else None


def _is_set(source: str, data_set: str) -> bool:
    name = PurePath(source).name.lower().replace("_", "-")
    return name == data_set or name.startswith(f"{data_set}-")


def recipe_config(
    recipe: str,
    network: str,
    *,
    data: DataConfig | None = None,
    flip: bool | None = None,
    crop: int | None = None,
    cutout: int | None = None,
    policy: str | None = None,
    policy_table: PolicyTable | None = None,
    **settings: Any,
) -> TrainConfig:
    """The configuration of a recipe for one network, with `settings` over it.

    Args:
        recipe: One of `RECIPES`.
        network: One of `training.spec.architectures.NETWORKS`.
        data: The images; glyphs if not given.
        flip: Mirror images; None decides by the data set (not for digits).
        crop: Padding of the random crop; None takes the recipe's.
        cutout: Side of the cutout square; None takes the recipe's.
        policy: Name of a policy, `NO_POLICY` for none; None takes the recipe's for the data set.
        policy_table: Contents of the policy file that `policy` names.
        **settings: Fields of `TrainConfig`; None leaves the recipe's value. `shrinkage` may be one
            number, for both groups.

    Raises:
        ValueError: Unknown recipe or network, or settings that do not fit together.

    >>> config = recipe_config("paper-400", "s-fc")
    >>> config.base_channels, config.epochs, config.method
    (150, 400, 'beta-lasso')
    """
    if recipe not in RECIPES:
        raise ConfigError.naming("{recipe} must be one of {}, not {!r}", ", ".join(RECIPES), recipe)
    if network not in NETWORKS:
        raise ConfigError.naming(
            "{network} must be one of {}, not {!r}", ", ".join(NETWORKS), network
        )
    chosen = RECIPES[recipe]
    given = {name: value for name, value in settings.items() if value is not None}
    if isinstance(given.get("shrinkage"), int | float):
        given["shrinkage"] = (given["shrinkage"],) * 2
    data = data if data is not None else DataConfig()
    defaults: dict[str, Any] = {"method": given.get("method", default_method(network))}
    width = "hidden_units" if network == "3-fc" else "base_channels"
    defaults[width] = chosen.widths[network]
    defaults["batch_size"] = chosen.batch_size
    if defaults["method"] == "sgd":
        if "beta" in given:
            raise ConfigError.naming("{beta} belongs to {method} beta-lasso; leave it out with sgd")
        defaults |= chosen.sgd
    else:
        defaults |= _lasso_defaults(chosen, network, given)
    if policy is None and chosen.has_policy:
        policy = default_policy(data.source)
    augmentation = Augmentation(
        flip=may_flip(data.source) if flip is None else flip,
        crop=chosen.crop if crop is None else crop,
        cutout=chosen.cutout if cutout is None else cutout,
        policy=None if policy == NO_POLICY else policy,
        policy_table=policy_table,
    )
    config = TrainConfig(
        network=network,
        epochs=given.pop("epochs", chosen.epochs),
        data=data,
        augmentation=augmentation,
        recipe=recipe,
        **(defaults | given),
    )
    return replace(config, kernel_size=3) if _needs_kernel(config) else config


def _lasso_defaults(recipe: Recipe, network: str, given: dict[str, Any]) -> dict[str, Any]:
    """A recipe's settings of β-lasso: its λ or total shrinkage where neither is given."""
    asked = {"l1_conv", "l1_fc"} & given.keys()
    if asked and "shrinkage" in given:
        raise ConfigError.naming("{shrinkage} stands for {l1_conv} and {l1_fc}; leave them out")
    if "shrinkage" in recipe.beta_lasso and (
        asked == {"l1_conv"} or (asked == {"l1_fc"} and network != "3-fc")
    ):
        raise ConfigError.naming(
            "{l1_conv} and {l1_fc} go together: recipe {} has {shrinkage} in their place",
            recipe.name,
        )
    left_out: set[str] = set()
    if "shrinkage" in given:
        left_out = {"l1_conv", "l1_fc", "max_threshold"}
    elif asked:
        left_out = {"shrinkage", "max_threshold"}
    return {name: value for name, value in recipe.beta_lasso.items() if name not in left_out}


def _needs_kernel(config: TrainConfig) -> bool:
    return config.network == "resnet18" and config.kernel_size is None
