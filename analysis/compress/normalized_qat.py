"""Networks in levels that are normalised while they learn.

Deep networks of few levels learn badly without a normalisation, and a description has none. Here
each unit's sums are normalised by the batch's moments, as by BatchNorm, and what comes out is
folded into a scale and a shift of each unit. Both are rounded to the description's numbers at every
step, so that training meets what folding costs.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from analysis.compress.qat_network import (
    MAX_SHIFT_LEVEL,
    QATNetwork,
    QATPlan,
    new_qat_network,
    shift_name,
)
from training.networks.models import BATCH_NORM_EPS, build_network
from training.spec.architectures import LayerSpec, NetworkSpec

_MOMENTUM = 0.1
_SHIFT_STEP = 0.125
_LARGEST_SCALE = 4.0

Round = Callable[[Tensor], Tensor]


class NormalizedQATNetwork(QATNetwork):
    """A network in levels whose units are normalised by the moments of each batch.

    A unit's scale is that of its normalised sums, and its shift what is added to them, a latent in
    their unit and not in steps, so that it learns as fast as a weight. `folded` makes those of the
    description of them. Scales stay in 1/4..4: what a layer that normalises does with its input
    hardly depends on them, so they would drift away in a long training.

    Args:
        spec: The network.
        plans: Layer name to plan; of the steps only the last layer's counts.
        latents: Tensor name to real-valued levels.
        round_scale: Rounds scales to the numbers that the description has; None leaves them.

    Attributes:
        statistics: Running moments: every unit's mean, then every unit's variance.
    """

    _counted: Tensor

    def __init__(
        self,
        spec: NetworkSpec,
        plans: Mapping[str, QATPlan],
        latents: Mapping[str, Tensor],
        *,
        round_scale: Round | None = None,
    ) -> None:
        self._normalized = [layer for layer in spec.layers if layer.normalized]
        units = {layer.name: torch.ones(layer.num_norm_features) for layer in self._normalized}
        plans = {
            name: replace(plan, step=units.get(name, plan.step)) for name, plan in plans.items()
        }
        super().__init__(spec, plans, latents, round_scale=round_scale)
        shifts = {shift_name(layer) for layer in self._normalized}
        counted = [
            torch.full((each.numel(),), name not in shifts) for name, each in latents.items()
        ]
        self.register_buffer("_counted", torch.cat(counted), persistent=False)
        ones = torch.cat(list(units.values()))
        self.statistics = torch.cat([torch.zeros_like(ones), ones])
        with torch.device("meta"):
            template = self._template[0] = build_network(spec)
        for layer in self._normalized:
            norm = _Norm(layer, round_scale, plans[layer.name].shift_step)
            setattr(template, f"{layer.name}_norm", norm)

    def forward(self, images: Tensor) -> Tensor:
        """Logits (N, c) in float32 of normalised images, times the temperature.

        Every call moves the running moments a little towards those of its images.
        """
        dtype = images.dtype
        levels, latents = self._split(self._round()), self._split(self.values)
        last = self.spec.layers[-1]
        bias = levels[shift_name(last)] * self.plans[last.name].shift_step
        state = {f"{last.name}.bias": bias.to(dtype)}
        for layer in self.spec.layers:
            state[f"{layer.name}.weight"] = levels[f"{layer.name}.weight"].to(dtype)
        for layer, scale, mean, variance in self._norms():
            name = f"{layer.name}_norm"
            state[f"{name}.computes_in"] = images.new_empty(len(scale))
            state[f"{name}.shift"], state[f"{name}.scale"] = latents[shift_name(layer)], scale
            state[f"{name}.mean"], state[f"{name}.variance"] = mean, variance
        logits: Tensor = functional_call(self._template[0], state, (images,))
        return logits.float() * self.log_scales[-1].exp()

    @torch.no_grad()
    def folded(self, batches: Iterable[Tensor] = ()) -> QATNetwork:
        """The network in levels with moments in its scales and shifts.

        Args:
            batches: Normalised images whose moments they are; with none, the running ones, which
                lag behind the levels while these still change.
        """
        running = self.statistics
        moments = [self._moments_of(batch) for batch in batches] or [running]
        self.statistics = torch.stack(moments).mean(dim=0)
        latents, log_scales = self.latents, self.log_scales.detach().clone()
        scales = []
        for layer, scale, mean, variance in self._norms():
            scales.append(scale * (variance + BATCH_NORM_EPS).rsqrt())
            rounded = _round_with(self._round_scale, scales[-1])
            step = self.plans[layer.name].shift_step
            latents[shift_name(layer)] = (latents[shift_name(layer)] - mean * rounded) / step
        self.statistics = running
        log_scales[:-1] = torch.cat(scales).log()
        on_cpu = {name: latent.cpu() for name, latent in latents.items()}
        network = QATNetwork(self.spec, self.plans, on_cpu, round_scale=self._round_scale)
        network.log_scales.copy_(log_scales)
        return network.to(self.values.device)

    def folded_state(self) -> dict[str, Tensor]:
        """Those of `folded`."""
        return self.folded().folded_state()

    def biased_state(self, dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
        """Those of `folded`."""
        return self.folded().biased_state(dtype)

    def rate(self) -> Tensor:
        """Bits of weights and the last bias; what the shifts take depends on the moments, too."""
        return (self._rates() * self._counted).sum()

    def _moments_of(self, images: Tensor) -> Tensor:
        running = self.statistics
        self.statistics = torch.zeros_like(running)
        self(images)
        # From 0 they have moved by their momentum.
        found, self.statistics = self.statistics / _MOMENTUM, running
        return found

    def _norms(self) -> list[tuple[LayerSpec, Tensor, Tensor, Tensor]]:
        """Each normalised layer with its units' scales, running means and variances."""
        sizes = self._num_scales[:-1]
        means, variances = self.statistics.chunk(2)
        limit = math.log(_LARGEST_SCALE)
        vectors = (self.log_scales[:-1].clamp(-limit, limit).exp(), means, variances)
        parts = (torch.split(vector, sizes) for vector in vectors)
        return list(zip(self._normalized, *parts, strict=True))


def new_normalized_network(
    spec: NetworkSpec, *, max_level: int, seed: int, round_scale: Round | None = None
) -> NormalizedQATNetwork:
    """Such a network to be trained from scratch, with arguments and levels of `new_qat_network`."""
    start = new_qat_network(spec, max_level=max_level, seed=seed)
    plans = start.plans
    for layer in spec.layers:
        if layer.normalized:
            plans[layer.name] = replace(plans[layer.name], shift_step=_SHIFT_STEP)
    return NormalizedQATNetwork(spec, plans, start.latents, round_scale=round_scale)


class _Norm(nn.Module):
    """A layer's normalisation; its tensors are given anew with every call of the network."""

    mean: Tensor
    variance: Tensor

    def __init__(self, layer: LayerSpec, round_scale: Round | None, shift_step: float) -> None:
        super().__init__()
        # The first parameter's type is what the norm computes in; the others stay in float32.
        for name in ("computes_in", "shift", "scale"):
            vector = torch.empty(layer.num_norm_features, device="meta")
            self.register_parameter(name, nn.Parameter(vector))
        for name in ("mean", "variance"):
            self.register_buffer(name, torch.empty(layer.num_norm_features, device="meta"))
        self.settings = (round_scale, shift_step)

    def forward(self, values: Tensor) -> Tensor:
        """Normalised sums of a batch, (N, channels, s, s) or (N, units)."""
        outputs, mean, variance = _Normalize.apply(  # type: ignore[no-untyped-call]
            values, self.scale, self.shift, self.settings
        )
        self.mean.lerp_(mean, _MOMENTUM)
        self.variance.lerp_(variance, _MOMENTUM)
        normalized: Tensor = outputs
        return normalized


class _Normalize(torch.autograd.Function):
    """scale (x - mean) / sqrt(variance + ε) + shift, rounded as a description would have it.

    A unit's moments are those of all its positions, and of all eight channels of a kernel that
    turns; they are taken in float32 at least. Gradients pass the rounding as if it were not there,
    and a shift out of range as far as they would bring it back.
    """

    @staticmethod
    def forward(ctx: Any, *inputs: Any) -> tuple[Tensor, Tensor, Tensor]:
        values, scale, shift, (round_scale, shift_step) = inputs
        columns, number = _columns(values), len(shift)
        wide = _widen(columns)
        mean = _unit_sums(wide, number) / (wide.numel() // number)
        square = _unit_sums(wide.square(), number) / (wide.numel() // number)
        variance = (square - mean.square()).clamp(min=0)
        spread = (variance + BATCH_NORM_EPS).rsqrt()
        rounded = _round_with(round_scale, scale * spread)
        levels = ((shift - mean * rounded) / shift_step).round()
        added = levels.clamp(-MAX_SHIFT_LEVEL, MAX_SHIFT_LEVEL) * shift_step
        layout = torch.contiguous_format if values.dim() == 2 else torch.channels_last
        outputs = torch.empty_like(values, memory_format=layout)
        torch.addcmul(
            _of_columns(added, columns),
            columns,
            _of_columns(rounded, columns),
            out=_columns(outputs),
        )
        ctx.save_for_backward(values, mean, spread, scale, rounded, levels)
        ctx.mark_non_differentiable(mean, variance)
        return outputs, mean, variance

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> tuple[Tensor | None, ...]:
        values, mean, spread, scale, rounded, levels = ctx.saved_tensors
        columns, own = _columns(values), _columns(gradients[0])
        number = len(mean)
        count = columns.numel() // number
        to_shift = _unit_sums(_widen(own), number)
        to_product = _unit_sums(_widen(own * columns), number) - to_shift * mean
        by_value = -to_product * scale * spread**3 / count
        constant = -rounded * to_shift / count - by_value * mean
        to_values = torch.addcmul(
            _of_columns(constant, columns), own, _of_columns(rounded, columns)
        )
        to_values.addcmul_(columns, _of_columns(by_value, columns))
        passes = (levels.abs() < MAX_SHIFT_LEVEL + 0.5) | (to_shift * levels > 0)
        return _as_values(to_values, values), to_product * spread, to_shift * passes, None


def _columns(values: Tensor) -> Tensor:
    """Values with a column for each channel or unit; a view if the channels are last in memory."""
    return values if values.dim() == 2 else values.permute(0, 2, 3, 1).flatten(0, 2)


def _as_values(columns: Tensor, values: Tensor) -> Tensor:
    """Back from `_columns` to the shape of the values."""
    if values.dim() == 2:
        return columns
    number, _, *sides = values.shape
    return columns.view(number, *sides, -1).permute(0, 3, 1, 2)


def _widen(values: Tensor) -> Tensor:
    return values if values.dtype == torch.float64 else values.float()


def _unit_sums(columns: Tensor, number: int) -> Tensor:
    """Sums over rows and over the columns of each unit.

    As a product, which takes a fraction of the time of a sum along the rows.
    """
    sums = columns.t() @ columns.new_ones(len(columns))
    return sums.view(number, -1).sum(dim=1)


def _of_columns(units: Tensor, columns: Tensor) -> Tensor:
    """A unit's number for each of its columns, in their type."""
    return units.to(columns.dtype).repeat_interleave(columns.shape[1] // len(units))


def _round_with(round_scale: Round | None, scale: Tensor) -> Tensor:
    return scale if round_scale is None else round_scale(scale)
