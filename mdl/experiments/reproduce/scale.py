"""A scale: all that decides the size of a reproduction. No torch.

Everything that a scale reduces against the paper is said by `footnotes.reductions`, which stands
under every table and figure.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from mdl.experiments.sweep.carry_over import CarryOverDesign
from mdl.experiments.sweep.grids import Grid, ScreeningGrid, grid
from mdl.experiments.sweep.regimes import GainDesign
from mdl.experiments.sweep.selection import retrain_config
from training.spec.config import DataConfig, Method, Precision, TrainConfig
from training.spec.recipes import RECIPES, recipe_config

CHOSEN_NETWORK = "s-fc"
"""On which the training methods are compared; its settings are chosen from a grid of its own."""
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
        widths: α by network, h for 3-fc: about one size of the fully-connected embedding.
        ladders: Widths by network for accuracy against size.
        kernel_sizes: Of ResNet18, odd, ascending. Its settings are chosen with the second: the
            least that is larger than usual.
        short_epochs: The paper's 400.
        long_epochs: The paper's 4000.
        ladder_epochs: Of the runs by size and by kernel size, the paper's 400 too.
        trial_epochs: Of the runs by which settings are chosen; of ResNet18 `ladder_epochs`.
        short_seeds, long_seeds: Seeds of the short and of the long runs.
        ladder_seeds: Seeds of the runs by size and by kernel size.
        batch_size, resnet_batch_size: Images per step, and of ResNet18.
        crop: Padding of the random crop; None takes the recipe's.
        screening: Settings of the runs by which screened rows are shown.
        gain: The cells of the gain map.
        carry_over: What shows whether a choice of λ carries over to other runs.
        grid: What the settings of s-fc are chosen from: the training methods are compared on it.
        low_beta: The same where β < 50.
        other_grid: What those of the other networks are chosen from.
        train_target: The training accuracy that Figure 2 asks for, a fraction.
        precision: Arithmetic of the matrix products.
        policy: Where the recipe has one, in its place: `policy` of `recipe_config`, and of a file
            `policy_table`.
    """

    name: str
    data: DataConfig
    more_data: tuple[DataConfig, ...] = ()
    recipe: str
    widths: dict[str, int]
    ladders: dict[str, tuple[int, ...]]
    kernel_sizes: tuple[int, ...]
    short_epochs: int
    long_epochs: int
    ladder_epochs: int
    trial_epochs: int
    short_seeds: tuple[int, ...]
    long_seeds: tuple[int, ...]
    ladder_seeds: tuple[int, ...] = (0,)
    batch_size: int
    resnet_batch_size: int
    crop: int | None = None
    screening: ScreeningGrid
    gain: GainDesign
    carry_over: CarryOverDesign
    grid: Grid
    low_beta: Grid
    other_grid: Grid
    train_target: float
    precision: Precision = "bf16"
    policy: Mapping[str, Any] = field(default_factory=dict)

    @property
    def gain_precision(self) -> Precision:
        """Arithmetic of the runs of the gain map."""
        return self.gain.precision or self.precision

    @property
    def has_policy(self) -> bool:
        """Whether the recipe has an augmentation policy."""
        return RECIPES[self.recipe].has_policy

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
        34
        """
        width = "hidden_units" if network == "3-fc" else "base_channels"
        is_resnet = network == "resnet18"
        chosen: dict[str, Any] = {
            width: self.widths[network],
            "batch_size": self.resnet_batch_size if is_resnet else self.batch_size,
            "precision": self.precision,
        }
        return recipe_config(
            self.recipe,
            network,
            data=self.data if data is None else data,
            crop=self.crop,
            method=method,
            epochs=self.short_epochs if epochs is None else epochs,
            **(chosen | (dict(self.policy) if self.has_policy else {}) | settings),
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
        is_resnet = network == "resnet18"
        base = self.config(
            network,
            method=method,
            epochs=self.ladder_epochs if is_resnet else self.trial_epochs,
            data=self._data_of_trials(),
            beta=beta,
            kernel_size=self.kernel_sizes[1] if is_resnet else None,
        )
        return grid(network, method, self._grid_of(base), base)

    def final(self, trial: TrainConfig) -> TrainConfig:
        """A trial's settings on the scale's images, none held out, seed 0, short training."""
        return replace(retrain_config(trial, seed=0), data=self.data, epochs=self.short_epochs)

    def _grid_of(self, base: TrainConfig) -> Grid:
        if base.network != CHOSEN_NETWORK:
            return self.other_grid
        is_low = base.method == "beta-lasso" and base.beta < _USUAL_BETA
        return self.low_beta if is_low else self.grid

    def _data_of_trials(self) -> DataConfig:
        """With images held out: beside the scale's own, so that trials train on as many.

        Where the scale has all images, they are some of these.
        """
        number, data = self.grid.validation, self.data
        others = None if data.num_train is None else data.num_train + number
        return replace(data, num_train=others, validation=number)

    def by_data_set(self) -> tuple["Scale", ...]:
        """This scale on each of its data sets alone."""
        return tuple(
            replace(self, data=data, more_data=()) for data in (self.data, *self.more_data)
        )
