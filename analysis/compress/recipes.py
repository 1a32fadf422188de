"""Networks that are trained from nothing for a low bound, by name."""

from dataclasses import dataclass, field

from training.spec.config import Augmentation


@dataclass(frozen=True, kw_only=True)
class CompressionRecipe:
    """A network trained from scratch in levels.

    Attributes:
        name: What `--recipe` takes.
        about: One sentence for people.
        network: One of `training.spec.architectures.NETWORKS`.
        base_channels: α.
        max_level: L: weights are -L..L.
        epochs: Passes over the training images.
        batch_size: Images per step.
        lr: Learning rate of it.
        ramp: Share of the training over which the rate penalty rises.
        num_trials: Single changes that are tried at the end.
        penalty_factor: On the rate penalty.
        normalized: Whether its layers are normalised while it learns.
        augmentation: Random changes of the images while it learns; they cost no bits, since only
            the network that comes out is described.
    """

    name: str
    about: str
    network: str
    base_channels: int
    max_level: int
    epochs: int
    batch_size: int
    lr: float
    num_trials: int
    penalty_factor: float
    ramp: float = 0.5
    normalized: bool = False
    augmentation: Augmentation = field(default_factory=Augmentation)


RECIPES = {
    recipe.name: recipe
    for recipe in (
        CompressionRecipe(
            name="mnist-tight",
            about="tiny-conv of three weight levels; half an hour on two cores for 60,000 digits.",
            network="tiny-conv",
            base_channels=2,
            max_level=1,
            epochs=100,
            batch_size=256,
            lr=0.02,
            num_trials=1500,
            penalty_factor=3.0,
        ),
        CompressionRecipe(
            name="cifar10-tight",
            about="tiny-separable, normalised; an hour on one core for 50,000 photographs.",
            network="tiny-separable",
            base_channels=5,
            max_level=1,
            epochs=45,
            batch_size=64,
            lr=0.007,
            num_trials=1000,
            penalty_factor=3.0,
            ramp=1.0,
            normalized=True,
        ),
    )
}


def find_recipe(name: str) -> CompressionRecipe:
    """The recipe of that name.

    Raises:
        ValueError: There is none.
    """
    if name not in RECIPES:
        raise ValueError(f"recipe must be one of {', '.join(RECIPES)}, not {name!r}")
    return RECIPES[name]
