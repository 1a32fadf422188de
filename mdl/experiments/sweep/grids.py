"""The settings that sweeps try: Appendix A's grid, a small one, and one for screening. No torch."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from training.spec.config import Method, TrainConfig

DROPOUT = 0.5
"""With dropout. Appendix A gives no probability; this is the usual one for hidden units."""
_WITHOUT_CONVOLUTIONS = ("3-fc",)  # λ of the conv-like layers has nothing to act on
_PAPER_L1 = (1e-6, 2e-6, 5e-6, 1e-5, 2e-5)


@dataclass(frozen=True, kw_only=True)
class Grid:
    """Values to try. Every pair is tried with every dropout.

    Attributes:
        name: What `--grid` takes.
        about: One sentence for people.
        recipe: Of `training.spec.recipes`: everything that the grid does not set.
        source: The images, as `training.spec.config.DataConfig` names them, if none are asked for.
        l1: Pairs (λ of the conv-like layers, λ of the fc layers), for β-lasso.
        shrinkage: Pairs of total shrinkages in place of λ; a grid has the one or the other.
        max_threshold: With them; None for no limit.
        lasso_lr: Learning rates of β-lasso; none for the configuration's own.
        sgd: Pairs (momentum, weight decay), for SGD.
        sgd_lr: Its learning rates, each with every pair; none for the configuration's own.
        dropout: Probabilities of dropping an input of the last two fc layers.
        validation: Training images held out where the configuration holds out none, >= 1.
    """

    name: str
    about: str
    recipe: str
    source: str = "cifar10"
    l1: tuple[tuple[float, float], ...] = ()
    shrinkage: tuple[tuple[float, float], ...] = ()
    max_threshold: float | None = None
    lasso_lr: tuple[float, ...] = ()
    sgd: tuple[tuple[float, float], ...]
    sgd_lr: tuple[float, ...] = ()
    dropout: tuple[float, ...]
    validation: int


GRIDS = {
    grid.name: grid
    for grid in (
        Grid(
            name="paper",
            about="Appendix A: 5x5 λ for β-lasso, 2 momenta x 5 weight decays for SGD, each with "
            "and without dropout.",
            recipe="paper-400",
            l1=tuple(itertools.product(_PAPER_L1, _PAPER_L1)),
            sgd=tuple(itertools.product((0.0, 0.9), (0.0, 1e-4, 2e-4, 5e-4, 1e-3))),
            dropout=(0.0, DROPOUT),
            validation=5000,
        ),
        Grid(
            name="small",
            about="For a laptop: 6 pairs of total shrinkages, from which λ follow, or 4 pairs of "
            "momentum and weight decay; no dropout.",
            recipe="quick",
            source="glyphs",
            shrinkage=tuple(itertools.product((3.0, 10.0, 20.0), (3.0, 10.0))),
            max_threshold=0.25,
            sgd=((0.9, 0.0), (0.9, 5e-4), (0.9, 1e-3), (0.0, 1e-3)),
            dropout=(0.0,),
            validation=2000,
        ),
    )
}


def grid(
    network: str,
    method: Method,
    choice: Grid | str,
    base: TrainConfig,
    *,
    learning_rates: Sequence[float] = (),
    shrinkages: Sequence[tuple[float, float]] = (),
    seeds: Sequence[int] = (),
) -> list[TrainConfig]:
    """The trials of a sweep, always in the same order: learning rate, pair, dropout, seed.

    Args:
        network: What to train.
        method: By which method; decides which pairs are tried.
        choice: A grid, or the name of one of `GRIDS`.
        base: Everything else, β among it. Its λ, momentum, weight decay and dropout are replaced.
            If it holds out no validation images, the grid's number is held out, but at most a
            tenth of `num_train`.
        learning_rates: Values of η in place of the grid's; the base's own if neither has any.
        shrinkages: Pairs of total shrinkages, for β-lasso, in place of the grid's own pairs.
        seeds: Every setting is trained once with each; the base's own if none are given.

    Returns:
        Configurations that all differ, each with validation images.

    Raises:
        ValueError: An unknown grid, or a value outside its range.

    >>> base = TrainConfig(network="s-fc", base_channels=150)
    >>> trials = grid("s-fc", "beta-lasso", "paper", base)
    >>> len(trials), trials[1].l1_conv, trials[1].l1_fc, trials[1].dropout
    (50, 1e-06, 1e-06, 0.5)
    >>> len(grid("s-fc", "sgd", "paper", base))
    20
    """
    chosen = find_grid(choice) if isinstance(choice, str) else choice
    if shrinkages:
        chosen = replace(chosen, l1=(), shrinkage=tuple(shrinkages), max_threshold=None)
    settings = _sgd_settings(chosen) if method == "sgd" else _penalties(chosen, network)
    data = replace(base.data, validation=base.data.validation or _held_out(chosen, base))
    untuned = replace(
        base,
        network=network,
        method=method,
        data=data,
        l1_conv=0.0,
        l1_fc=0.0,
        shrinkage=None,
        max_threshold=None,
        momentum=0.0,
        weight_decay=0.0,
    )
    own_rates = chosen.sgd_lr if method == "sgd" else chosen.lasso_lr
    rates, all_seeds = (
        tuple(learning_rates) or own_rates or (base.lr,),
        tuple(seeds) or (base.seed,),
    )
    return [
        replace(untuned, **setting, lr=lr, dropout=dropout, seed=seed)
        for lr, setting, dropout, seed in itertools.product(
            dict.fromkeys(rates), settings, chosen.dropout, dict.fromkeys(all_seeds)
        )
    ]


def _sgd_settings(chosen: Grid) -> list[dict[str, Any]]:
    return [{"momentum": momentum, "weight_decay": decay} for momentum, decay in chosen.sgd]


def _penalties(chosen: Grid, network: str) -> list[dict[str, Any]]:
    """λ or total shrinkages, each different one once: 3-fc has no layers for the first."""
    pairs = chosen.shrinkage or chosen.l1
    if network in _WITHOUT_CONVOLUTIONS:
        pairs = tuple(dict.fromkeys((0.0, fc) for _, fc in pairs))
    if chosen.shrinkage:
        return [{"shrinkage": pair, "max_threshold": chosen.max_threshold} for pair in pairs]
    return [{"l1_conv": conv, "l1_fc": fc} for conv, fc in pairs]


def find_grid(name: str) -> Grid:
    """The grid of a name.

    Raises:
        ValueError: There is none.
    """
    if name not in GRIDS:
        raise ValueError(f"grid must be one of {', '.join(GRIDS)}, not {name!r}")
    return GRIDS[name]


def _held_out(chosen: Grid, base: TrainConfig) -> int:
    num_train = base.data.num_train
    return (
        chosen.validation if num_train is None else max(1, min(chosen.validation, num_train // 10))
    )


@dataclass(frozen=True, kw_only=True)
class ScreeningGrid:
    """Values of λ, α and the learning rate, each tried with the other two as they usually are.

    Attributes:
        epochs: Of every run.
        l1: Values of λ, of all layers.
        widths: Values of α.
        rates: Values of the learning rate.
        usual_l1: λ where it is not what varies.
        usual_rate: The learning rate where it is not what varies.
    """

    epochs: int
    l1: tuple[float, ...]
    widths: tuple[int, ...]
    rates: tuple[float, ...]
    usual_l1: float = 2e-5
    usual_rate: float = 0.1


@dataclass(frozen=True, kw_only=True)
class Factor:
    """One setting that varies.

    Attributes:
        name: As figures have it.
        steps: Each value, ascending, with the fields of `TrainConfig` that say it.
    """

    name: str
    steps: tuple[tuple[float, dict[str, Any]], ...]


def factors(choice: ScreeningGrid, *, width: int) -> list[Factor]:
    """λ, α and the learning rate, the usual value of each among its values.

    Args:
        choice: The values.
        width: The usual α.

    >>> grid = ScreeningGrid(epochs=1, l1=(1e-4,), widths=(4, 16), rates=(0.1,))
    >>> for factor in factors(grid, width=8):
    ...     print(factor.name, [value for value, _ in factor.steps])
    λ [2e-05, 0.0001]
    α [4, 8, 16]
    learning rate [0.1]
    """
    usual = {
        "l1_conv": choice.usual_l1,
        "l1_fc": choice.usual_l1,
        "base_channels": width,
        "lr": choice.usual_rate,
    }
    values: tuple[tuple[str, Sequence[float], tuple[str, ...]], ...] = (
        ("λ", (*choice.l1, choice.usual_l1), ("l1_conv", "l1_fc")),
        ("α", (*choice.widths, width), ("base_channels",)),
        ("learning rate", (*choice.rates, choice.usual_rate), ("lr",)),
    )
    return [
        Factor(
            name=name,
            steps=tuple((each, usual | dict.fromkeys(fields, each)) for each in sorted(set(tried))),
        )
        for name, tried, fields in values
    ]
