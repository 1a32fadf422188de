"""What decides the size of a reproduction: networks, epochs, images, seeds, settings. No torch."""

from dataclasses import dataclass, replace
from typing import Any

from mdl.experiments.sweep.grids import Grid, grid
from mdl.experiments.sweep.screening_grid import ScreeningGrid
from training.spec.config import DataConfig, Method, Precision, TrainConfig
from training.spec.recipes import recipe_config

_USUAL_BETA = 50.0


@dataclass(frozen=True, kw_only=True)
class Scale:
    """Everything that decides the size of a reproduction.

    It turns "s-fc by SGD, long, seed 1" into one `TrainConfig`.

    Attributes:
        name: "smoke", "laptop" or "paper".
        data: The images of the (first) data set; `validation` is 0.
        more_data: Further data sets, each a column or a panel of its own.
        recipe: What the rest of the settings start from, in `training.spec.recipes`.
        widths: α by network, h for 3-fc: one size of the fully-connected embedding.
        ladders: Widths by network for accuracy against size.
        kernel_sizes: Of ResNet18, odd.
        kernel_num_train: Training images of the runs by kernel size; None for all.
        kernel_l1: λ of conv-like and of fc layers of ResNet18 by β-lasso, where it is not chosen.
        short_epochs: The paper's 400; selection trains for as many.
        long_epochs: The paper's 4000.
        short_seeds, long_seeds: Seeds of the short and of the long runs.
        ladder_seeds: Seeds of the runs by size and by kernel size.
        batch_size, resnet_batch_size: Images per step, and of ResNet18.
        crop: Padding of the random crop; None takes the recipe's.
        screening: Settings of the runs by which screened rows are shown.
        grid: What settings are chosen from.
        low_beta_l1: Pairs of λ in place of the grid's where β < 50.
        lasso_lr: η of β-lasso; None takes the recipe's.
        tunes_all: Whether the settings of every network are chosen. If not, only those of s-fc
            where training methods are compared; the others take the recipe's.
        train_target: The training accuracy that Figure 2 asks for, a fraction.
        precision: Arithmetic of the matrix products.
    """

    name: str
    data: DataConfig
    more_data: tuple[DataConfig, ...] = ()
    recipe: str
    widths: dict[str, int]
    ladders: dict[str, tuple[int, ...]]
    kernel_sizes: tuple[int, ...]
    kernel_num_train: int | None
    kernel_l1: tuple[float, float]
    short_epochs: int
    long_epochs: int
    short_seeds: tuple[int, ...]
    long_seeds: tuple[int, ...]
    ladder_seeds: tuple[int, ...] = (0,)
    batch_size: int
    resnet_batch_size: int
    crop: int | None = None
    screening: ScreeningGrid
    grid: Grid
    low_beta_l1: tuple[tuple[float, float], ...]
    lasso_lr: float | None = None
    tunes_all: bool = False
    train_target: float
    precision: Precision = "bf16"

    def config(
        self,
        network: str,
        *,
        method: Method = "sgd",
        epochs: int | None = None,
        data: DataConfig | None = None,
        **settings: Any,
    ) -> TrainConfig:
        """One run at this scale.

        Args:
            network: One of `training.spec.architectures.NETWORKS`.
            method: "sgd" or "beta-lasso".
            epochs: None for the short ones.
            data: The images; None for those of the scale.
            **settings: Fields of `TrainConfig` over the scale's and the recipe's.

        Raises:
            ValueError: Settings that do not fit together.

        >>> from mdl.experiments.reproduce.scales import SCALES
        >>> SCALES["laptop"].config("s-fc", seed=2).base_channels
        12
        """
        width = "hidden_units" if network == "3-fc" else "base_channels"
        is_resnet = network == "resnet18"
        chosen: dict[str, Any] = {
            width: self.widths[network],
            "batch_size": self.resnet_batch_size if is_resnet else self.batch_size,
            "precision": self.precision,
            "lr": self.lasso_lr if method == "beta-lasso" else None,
        }
        return recipe_config(
            self.recipe,
            network,
            data=self.data if data is None else data,
            crop=self.crop,
            method=method,
            epochs=self.short_epochs if epochs is None else epochs,
            **(chosen | settings),
        )

    def trials(
        self, network: str, method: Method, *, beta: float | None = None
    ) -> list[TrainConfig]:
        """The short runs among which validation chooses the settings of a network and a method.

        Args:
            network: What to train.
            method: By which method.
            beta: β of β-lasso; None for the recipe's.
        """
        base = self.config(network, method=method, beta=beta)
        choice = self.grid
        if method == "beta-lasso" and base.beta < _USUAL_BETA:
            choice = replace(choice, l1=self.low_beta_l1)
        return grid(network, method, choice, base)

    def by_data_set(self) -> tuple["Scale", ...]:
        """This scale on each of its data sets alone."""
        return tuple(
            replace(self, data=data, more_data=()) for data in (self.data, *self.more_data)
        )
