"""Regimes of training: how many images, how long, how large, with which augmentation. No torch.

A `GainDesign` is the screening design of the gain map. Around a usual regime each factor is changed
by itself, and in some cells several are, so that a few dozen runs say where β-lasso pays.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from training.spec.config import DataConfig, Method, Precision, TrainConfig
from training.spec.recipes import NO_POLICY, recipe_config

_CROP_SHARE, _CUTOUT_SHARE = 8, 2
"""Of the side: the random crop's padding and the cutout square; 4 and 16 of 32 in the paper."""


@dataclass(frozen=True, kw_only=True)
class Regime:
    """What surrounds a choice of training method.

    Attributes:
        num_images: Training images, without those held out.
        epochs: Passes over them.
        image_size: Side in pixels.
        width: α.
        has_policy: Whether images pass through an augmentation policy and cutout, as the paper's.
    """

    num_images: int
    epochs: int
    image_size: int
    width: int
    has_policy: bool = False

    def differences(self, other: "Regime") -> tuple[str, ...]:
        """Names of the fields in which two regimes differ.

        >>> usual = Regime(num_images=5000, epochs=200, image_size=16, width=24)
        >>> usual.differences(replace(usual, epochs=60))
        ('epochs',)
        """
        names = (field.name for field in fields(self))
        return tuple(name for name in names if getattr(self, name) != getattr(other, name))


@dataclass(frozen=True, kw_only=True)
class GainDesign:
    """The cells of a gain map, and what is tried in each.

    Attributes:
        usual: The regime around which factors vary.
        others: All further cells.
        l1: Pairs (λ of the conv-like layers, λ of the fc layers) that are tried for β-lasso.
        lasso_lr: η of β-lasso.
        sgd: Pairs (η, weight decay) that are tried for s-fc by SGD.
        local_sgd: The same for s-local.
        num_held_out: Images by which is chosen, beside the training images.
        batch_size: Images per step.
        policy: That of `Regime.has_policy`: `policy` of `recipe_config`, and of a file
            `policy_table`.
        seeds: Of the chosen settings in the cell of the largest gain; the first is that of all.
        precision: Arithmetic of the matrix products; None for that of the scale. Networks this
            small gain little from bf16, and much of the time goes where a processor emulates it.
    """

    usual: Regime
    others: tuple[Regime, ...]
    l1: tuple[tuple[float, float], ...]
    lasso_lr: float
    sgd: tuple[tuple[float, float], ...]
    local_sgd: tuple[tuple[float, float], ...]
    num_held_out: int
    batch_size: int
    policy: Mapping[str, Any]
    seeds: tuple[int, ...] = (0,)
    precision: Precision | None = None

    @property
    def cells(self) -> tuple[Regime, ...]:
        """All regimes, the usual one first."""
        return (self.usual, *self.others)

    def beta_lasso(
        self, regime: Regime, data: DataConfig, precision: Precision
    ) -> list[TrainConfig]:
        """The runs of s-fc by β-lasso among which validation chooses."""
        base = self.config("s-fc", regime, data, precision, method="beta-lasso", lr=self.lasso_lr)
        return [
            replace(base, shrinkage=None, max_threshold=None, l1_conv=conv, l1_fc=fc)
            for conv, fc in self.l1
        ]

    def by_sgd(
        self, network: str, regime: Regime, data: DataConfig, precision: Precision
    ) -> list[TrainConfig]:
        """Those of a network by SGD with momentum."""
        base = self.config(network, regime, data, precision, method="sgd")
        return [
            replace(base, lr=lr, weight_decay=decay)
            for lr, decay in (self.local_sgd if network == "s-local" else self.sgd)
        ]

    def config(
        self,
        network: str,
        regime: Regime,
        data: DataConfig,
        precision: Precision,
        *,
        method: Method,
        **settings: Any,
    ) -> TrainConfig:
        """One run of a network in a regime.

        Args:
            network: "s-fc" or "s-local".
            regime: Its images, length and width.
            data: Where the images are from.
            precision: Of the matrix products.
            method: "sgd" or "beta-lasso".
            **settings: Fields of `TrainConfig` over the recipe's.
        """
        side = regime.image_size
        images = replace(
            data,
            image_size=side,
            num_train=regime.num_images + self.num_held_out,
            validation=self.num_held_out,
        )
        return recipe_config(
            "quick",
            network,
            data=images,
            method=method,
            base_channels=regime.width,
            epochs=regime.epochs,
            batch_size=self.batch_size,
            crop=side // _CROP_SHARE,
            cutout=side // _CUTOUT_SHARE if regime.has_policy else 0,
            precision=precision,
            **(self.policy if regime.has_policy else {"policy": NO_POLICY}),
            **settings,
        )
