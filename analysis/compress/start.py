"""From a checkpoint to a first network in levels: thresholds, number of levels and rounding.

Each unit's scale goes into its weights first, so that a layer has one scale. Then, for every number
of levels L and every threshold on offer, weights below threshold · rms become 0 and the others the
nearest of 1..L times the step that fits them best; the rms is that of the layer's nonzeros. The
candidate with the best bound, errors counted on some training images and bits estimated by the
levels' frequencies, is where fine-tuning starts.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product

import torch
from torch import Tensor

from analysis.codes.canonical_form import from_unit_rows, unit_rows
from analysis.compress.qat_network import (
    MAX_SHIFT_LEVEL,
    QATNetwork,
    QATPlan,
    power_of_two,
    shift_name,
)
from analysis.compress.qat_training import count_wrong, evaluate_quantized
from analysis.compress.rate_penalty import score
from analysis.quantize.formats import NumberFormat
from training.data.image_set import ImageSet
from training.data.input_map import InputMap
from training.spec.architectures import NetworkSpec

LEVELS = (1, 2, 4)
THRESHOLDS = (0.0, 0.5, 1.0, 1.5, 2.0, 2.5)
_FITTING_STEPS = 8
_LARGEST_SHIFT_STEP = 16.0
_SMALLEST_SHIFT_STEP = 2.0**-6
_HALF = 0.5
_FINEST_SHIFT_STEP = 0.25


@dataclass(frozen=True, kw_only=True)
class Start:
    """One candidate and what it came to.

    Attributes:
        max_level: L.
        threshold: In units of the rms of a layer's nonzeros.
        num_errors: Scaled up to all training images.
        bits: Estimated.
        score: The bound, or above 1 where it says nothing.
    """

    max_level: int
    threshold: float
    num_errors: int
    bits: float
    score: float


def try_starts(
    spec: NetworkSpec,
    state: dict[str, Tensor],
    number_format: NumberFormat,
    images: ImageSet,
    inputs: InputMap,
    *,
    num_samples: int,
    delta: float,
    levels: Sequence[int] = LEVELS,
    on_batch: Callable[[], None] = lambda: None,
) -> list[Start]:
    """All candidates, by number of levels and `THRESHOLDS`.

    Args:
        spec: The network.
        state: Its folded tensors.
        number_format: Scales are rounded to it.
        images: Training images to count errors on, all of them or some.
        inputs: What they are put through.
        num_samples: m of the bound.
        delta: δ.
        levels: Numbers of levels to try, each in 1..16.
        on_batch: Called often; what it raises ends the search.

    Raises:
        ValueError: A number of levels outside its range.
    """
    tried = []
    for max_level, threshold in product(levels, THRESHOLDS):
        network = qat_network(spec, state, number_format, max_level=max_level, threshold=threshold)
        logits = evaluate_quantized(network, images, inputs, on_batch=on_batch)
        share = count_wrong(logits, images.labels) / len(images)
        errors, bits = round(share * num_samples), float(network.rate().detach())
        tried.append(
            Start(
                max_level=max_level,
                threshold=threshold,
                num_errors=errors,
                bits=bits,
                score=score(errors, num_samples, bits, delta),
            )
        )
    return tried


def qat_network(
    spec: NetworkSpec,
    state: dict[str, Tensor],
    number_format: NumberFormat,
    *,
    max_level: int,
    threshold: float,
) -> QATNetwork:
    """A folded network put into levels.

    Args:
        spec: The network.
        state: Its folded tensors.
        number_format: Scales are rounded to it.
        max_level: L, in 1..16.
        threshold: In units of the rms of a layer's nonzeros, >= 0; weights below it become 0.

    Raises:
        ValueError: A value outside its range.
    """
    if not 1 <= max_level <= MAX_SHIFT_LEVEL:
        raise ValueError(f"max_level must lie in 1..{MAX_SHIFT_LEVEL}, not {max_level}")
    if not threshold >= 0:
        raise ValueError(f"threshold must be >= 0, not {threshold}")
    plans, latents = {}, {}
    for layer in spec.layers:
        weight = state[f"{layer.name}.weight"].float()
        if layer.normalized:
            scale = state[f"{layer.name}_norm.scale"].float()
            rows = unit_rows(layer, weight) * scale[:, None]
            weight = from_unit_rows(layer, rows)
        step, latent = _fit_levels(weight, max_level, threshold)
        shift = state[shift_name(layer)].float()
        # The last layer's logits are divided by its step, its bias with them.
        shift = shift if layer.normalized else shift / step
        shift_step = _shift_step(shift)
        plans[layer.name] = QATPlan(max_level=max_level, step=step, shift_step=shift_step)
        latents[f"{layer.name}.weight"] = latent
        latents[shift_name(layer)] = shift / shift_step
    return QATNetwork(spec, plans, latents, round_scale=number_format.round)


def _fit_levels(weight: Tensor, max_level: int, threshold: float) -> tuple[float, Tensor]:
    """The step of least squared error, by Lloyd's iterations, and the latents."""
    sizes = weight.abs()
    nonzero = sizes[sizes > 0]
    if not len(nonzero):
        return 1.0, torch.zeros_like(weight)
    kept = nonzero[nonzero >= threshold * nonzero.square().mean().sqrt()]
    if not len(kept):
        kept = nonzero.max().view(1)
    limit = float(kept.min())
    step = float(kept.mean()) * 2 / (max_level + 1)
    for _ in range(_FITTING_STEPS):
        level = (kept / step).round().clamp(1, max_level)
        step = float((kept * level).sum() / level.square().sum())
    latent = weight / step
    below, above = latent.abs().clamp(max=_HALF - 0.01), latent.abs().clamp(min=_HALF + 0.01)
    return step, torch.where(sizes >= limit, above, below) * latent.sign()


def _shift_step(shift: Tensor) -> float:
    """A power of two of which the largest shift is at most 16."""
    largest = float(shift.abs().max())
    if largest == 0:
        return 0.25
    step = power_of_two(largest / MAX_SHIFT_LEVEL * 1.4)
    return min(max(step, _SMALLEST_SHIFT_STEP), _LARGEST_SHIFT_STEP)


def prior_network(
    spec: NetworkSpec, state: dict[str, Tensor], number_format: NumberFormat, *, max_level: int = 1
) -> QATNetwork:
    """A prior that is in levels already, as the network in levels that it is.

    Its weights are integers, the units of a layer have one scale or each its own, and shifts are up
    to 16 times a step, a power of two: as a compressed network is. Nothing is rounded, so what
    training leaves alone stays as the prior has it.

    Args:
        spec: The network.
        state: The prior's folded tensors in its shapes.
        number_format: Scales are rounded to it.
        max_level: L at least; more where the prior has more.

    Raises:
        ValueError: It is not in levels.
    """
    plans, latents = {}, {}
    for layer in spec.layers:
        weight, shift = state[f"{layer.name}.weight"], state[shift_name(layer)]
        top = max(max_level, int(weight.abs().max()))
        shift_step = _common_step(shift, _FINEST_SHIFT_STEP if layer.normalized else 1.0)
        steps = torch.tensor([1 / math.sqrt(layer.fan_in)])  # the last layer's first temperature
        if layer.normalized:
            scales = state[f"{layer.name}_norm.scale"]
            steps = scales[:1] if bool((scales == scales[0]).all()) else scales
        in_range = bool((steps > 0).all()) and top <= MAX_SHIFT_LEVEL
        if not in_range or shift_step is None or bool((weight % 1).any()):
            raise ValueError(
                f"the prior's {layer.name} is not in levels (integers, scales > 0, steps of a "
                "power of two), so training cannot start at it; take what mdl compress --levels 1 "
                "wrote"
            )
        plans[layer.name] = QATPlan(max_level=top, step=steps, shift_step=shift_step)
        latents[f"{layer.name}.weight"] = weight
        latents[shift_name(layer)] = shift / shift_step
    return QATNetwork(spec, plans, latents, round_scale=number_format.round, prior_levels=latents)


def _common_step(shift: Tensor, finest: float) -> float | None:
    """The largest power of two, `finest` at most, of which all are multiples; None above 16 times.

    >>> _common_step(torch.tensor([-1.5, 0.5]), 1.0), _common_step(torch.tensor([64.0, 0.5]), 1.0)
    (0.5, None)
    """
    largest = float(shift.abs().max())
    step = finest
    while largest / step > MAX_SHIFT_LEVEL:
        step *= 2
    while bool((shift % step).any()) and largest / step <= MAX_SHIFT_LEVEL:
        step /= 2
    return step if largest / step <= MAX_SHIFT_LEVEL else None
