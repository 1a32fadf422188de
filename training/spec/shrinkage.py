"""Total shrinkage: λ of β-lasso in units of a run's length, its rate and its initial weights.

No torch.

A weight whose gradients average out moves by λη toward zero at every step. Over a whole run that is
λ Σ η, and beside the size σ of the weights at the start it is the *total shrinkage*

    τ = λ Σ_t η_t / σ,        Σ_t η_t = η (T + 1) / 2  for the cosine schedule of T steps.

At τ = 1 a weight of that size, and no use, is gone when the run ends; at τ = 10 ten times over, so
that only weights which gradients hold against λ are left.

The threshold beside σ is βλ / σ = βτ / Σ η, larger the shorter a run is. Near 1 it ends most
weights in the first step, so in short runs it, and not τ, limits λ: see "Carrying over" in
`docs/reproduction.md`.
"""

import math
from collections.abc import Iterable
from dataclasses import replace

from training.spec.architectures import LayerGroup, LayerSpec, NetworkSpec
from training.spec.config import TrainConfig


def count_steps(config: TrainConfig, num_images: int) -> int:
    """T, steps of a run: full batches of every epoch; one batch of all where images are fewer.

    >>> count_steps(TrainConfig(network="s-fc", epochs=3, batch_size=512), 20_000)
    117
    """
    return config.epochs * (num_images // min(config.batch_size, num_images))


def initial_size(layers: Iterable[LayerSpec]) -> float:
    """σ, the root mean square of the initial weights of some layers together; 0 for none.

    Every layer draws from U(-1/√fan_in, 1/√fan_in), of variance 1 / (3 fan_in).

    >>> spec = NetworkSpec(name="s-fc", image_size=32, num_classes=10, base_channels=8)
    >>> round(initial_size(spec.layers[:1]) * math.sqrt(3 * 3072), 12)
    1.0
    """
    layers = tuple(layers)
    squares = sum(layer.num_weights / (3 * layer.fan_in) for layer in layers)
    return math.sqrt(squares / sum(layer.num_weights for layer in layers)) if layers else 0.0


def fill_penalties(config: TrainConfig, spec: NetworkSpec, num_images: int) -> TrainConfig:
    """The configuration with λ of both groups, where it has total shrinkages in their place.

    Args:
        config: Of the run; without `shrinkage` it is returned as it is.
        spec: Its network.
        num_images: Training images, without those held out, >= 1.
    """
    if config.shrinkage is None:
        return config
    largest = math.inf
    if config.max_threshold is not None and config.beta > 0:
        largest = config.max_threshold / config.beta
    conv, fc = (
        min(shrinkage * unit, largest * size)
        for shrinkage, unit, size in zip(
            config.shrinkage, _units(config, spec, num_images), _sizes(spec), strict=True
        )
    )
    return replace(config, l1_conv=conv, l1_fc=fc)


def shrinkages(config: TrainConfig, spec: NetworkSpec, num_images: int) -> tuple[float, float]:
    """τ of the conv-like and of the fc layers that a run's λ amount to; 0 where there are none."""
    return _over((config.l1_conv, config.l1_fc), _units(config, spec, num_images))


def thresholds(config: TrainConfig, spec: NetworkSpec) -> tuple[float, float]:
    """βλ / σ of the conv-like and of the fc layers; 0 where there are none."""
    return _over((config.beta * config.l1_conv, config.beta * config.l1_fc), _sizes(spec))


def _units(config: TrainConfig, spec: NetworkSpec, num_images: int) -> tuple[float, float]:
    """λ of each group at τ = 1."""
    total_rate = config.lr * (count_steps(config, num_images) + 1) / 2
    conv, fc = _sizes(spec)
    return conv / total_rate, fc / total_rate


def _sizes(spec: NetworkSpec) -> tuple[float, float]:
    """σ of each group."""

    def size(group: LayerGroup) -> float:
        return initial_size(layer for layer in spec.layers if layer.group == group)

    return size("conv"), size("fc")


def _over(values: tuple[float, float], units: tuple[float, float]) -> tuple[float, float]:
    conv, fc = (value / unit if unit else 0.0 for value, unit in zip(values, units, strict=True))
    return conv, fc
