"""Networks whose numbers are few levels: whole multiples of a step, learned straight through.

Every tensor of a folded network is described by small integers: weights are levels -L..L, the
shifts and the last bias are levels times a step, and a layer has one scale for all its units. What
is trained are real numbers, the latents; the network computes with the levels nearest to them, and
the gradient passes as if they had not been rounded (straight-through estimator).

With a prior, levels are described relative to the prior's at the same place, and so are the lengths
that the rate is made of: a level that the prior has is short where most are as the prior has them.

A unit's own scale s goes into its weights: s (w · x) + b = c ((s/c) w · x) + b, with c the layer's;
or, where it was normalised while it learned (`analysis.compress.normalized_qat`), it stays its own.
The last layer has no scale: all logits by the same factor are the same decisions, so its weights
are levels as they are, and its bias goes with them.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.func import functional_call

from analysis.codes.canonical_form import from_unit_rows, unit_rows
from training.networks.models import build_network
from training.spec.architectures import LayerSpec, NetworkSpec

MAX_SHIFT_LEVEL = 16
"""Of shifts and biases. With four significant bits, as e4m3fn has, all these levels are exact."""
_SHIFT_STEP = 0.25
_START_LEVEL = 1.4
_LEAST_POWER = 0.05  # of a layer with so few weights that all of them may start at level 0
_SMOOTHING = 0.5


@dataclass(frozen=True, kw_only=True)
class QATPlan:
    """How one layer is put into levels.

    Attributes:
        max_level: L >= 1, the weights' largest level.
        step: Of the weights, > 0: what a weight of level 1 was. It becomes the layer's scale; (u,)
            where each unit has its own.
        shift_step: Of shifts or biases, a power of two.
    """

    max_level: int
    step: float | Tensor
    shift_step: float


class QATNetwork(nn.Module):
    """A folded network in levels.

    All latents lie in one vector, tensor after tensor, so that what is done to each of them in a
    step is done to all at once. The layers compute with levels times their scale as weights and
    with shifts as biases, so that nothing stands between a layer and its ReLU.

    Args:
        spec: The network.
        plans: Layer name to plan.
        latents: Tensor name (`conv1.weight`, `conv1_norm.shift`, `fc.bias`) to real-valued levels.
        round_scale: Rounds scales to the numbers that the description has; None leaves them.
        prior_levels: Tensor name to the levels of a prior, for the lengths; None without one.

    Attributes:
        plans: As given.
        values: All latents, (n,).
        log_scales: ln of each layer's scale or scales, layer after layer; of the last layer, of the
            temperature of its logits, which changes the loss but no decision.
        tops: The largest level of each latent, (n,).
        lengths: Bits of each level of a tensor, -max..max, at present, one tensor's after the
            other's; with a prior such a row for each level that the prior may have. See
            `update_lengths`.
        statistics: What it keeps of the images that it learns from: nothing here.
    """

    tops: Tensor
    statistics: Tensor
    _origins: Tensor
    _row_of_cell: Tensor

    def __init__(
        self,
        spec: NetworkSpec,
        plans: Mapping[str, QATPlan],
        latents: Mapping[str, Tensor],
        *,
        round_scale: Callable[[Tensor], Tensor] | None = None,
        prior_levels: Mapping[str, Tensor] | None = None,
    ) -> None:
        super().__init__()
        self.spec = spec
        self._round_scale = round_scale
        self.plans = dict(plans)
        with torch.device("meta"):
            self._template = [build_network(spec, biased=True).eval()]  # hidden from parameters()
        self._shapes = {name: tensor.shape for name, tensor in latents.items()}
        self.values = nn.Parameter(torch.cat([each.flatten() for each in latents.values()]))
        steps = [torch.as_tensor(plans[layer.name].step).flatten() for layer in spec.layers]
        self._num_scales = [len(each) for each in steps]
        self.log_scales = nn.Parameter(torch.cat(steps).log())
        tops, origins, sizes, num_cells = [], [], [], 0
        for name, latent in latents.items():
            top = self.max_level(name)
            num = 2 * top + 1
            row = torch.zeros(latent.numel(), dtype=torch.int64)
            if prior_levels is not None:
                row = (prior_levels[name].flatten().clamp(-top, top) + top).long()
            tops.append(torch.full((latent.numel(),), float(top)))
            origins.append(row * num + (num_cells + top))
            sizes += [num] * (1 if prior_levels is None else num)
            num_cells = sum(sizes)
        self.register_buffer("tops", torch.cat(tops), persistent=False)
        # Of each latent, the cell in the table of lengths that belongs to level 0.
        self.register_buffer("_origins", torch.cat(origins), persistent=False)
        rows = torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes))
        self.register_buffer("_row_of_cell", rows, persistent=False)
        self.register_buffer("statistics", torch.empty(0), persistent=False)
        self.lengths = torch.empty(0)
        self.update_lengths()

    def max_level(self, name: str) -> int:
        """The largest level of a tensor."""
        layer = name.removesuffix(".weight")
        return self.plans[layer].max_level if name.endswith(".weight") else MAX_SHIFT_LEVEL

    @property
    def latents(self) -> dict[str, Tensor]:
        """Tensor name to its latents, which share memory with `values`, without gradients."""
        return self._split(self.values.detach())

    def folded(self, batches: Iterable[Tensor] = ()) -> "QATNetwork":
        """What is described and counted while it learns: itself here.

        Args:
            batches: Normalised images whose moments are to count.
        """
        return self

    def levels(self) -> dict[str, Tensor]:
        """Tensor name to its levels, integers in float32, without gradients."""
        with torch.no_grad():
            return self._split(self._round())

    def folded_state(self) -> dict[str, Tensor]:
        """The tensors of the folded network that this computes, but for the temperature."""
        levels, scales = self.levels(), self._scales()
        state = {}
        for layer, scale in zip(self.spec.layers, scales, strict=True):
            name, shift = layer.name, shift_name(layer)
            state[f"{name}.weight"] = levels[f"{name}.weight"].clone()
            if layer.normalized:
                all_units = scale.detach().expand(layer.num_norm_features)
                state[f"{name}_norm.scale"] = all_units.clone()
            state[shift] = levels[shift] * self.plans[name].shift_step
        return state

    def biased_state(self, dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
        """The tensors of the biased network, in the type that it is to compute in."""
        levels, state = self._split(self._round()), {}
        for layer, scale in zip(self.spec.layers, self._scales(), strict=True):
            weight, bias = levels[f"{layer.name}.weight"], levels[shift_name(layer)]
            if layer.normalized and len(scale) == 1:
                weight = weight * scale
            elif layer.normalized:
                weight = from_unit_rows(layer, unit_rows(layer, weight) * scale[:, None])
            state[f"{layer.name}.weight"] = weight.to(dtype)
            state[f"{layer.name}.bias"] = (bias * self.plans[layer.name].shift_step).to(dtype)
        return state

    def layer_names(self) -> list[str]:
        """Of each latent, the layer that it belongs to."""
        layers = {shift_name(layer): layer.name for layer in self.spec.layers}
        owners = {name: layers.get(name, name.removesuffix(".weight")) for name in self._shapes}
        return [owners[name] for name, shape in self._shapes.items() for _ in range(shape.numel())]

    def forward(self, images: Tensor) -> Tensor:
        """Logits (N, c) in float32 of normalised images, times the temperature.

        The products are taken in the type of the images: in bfloat16 the weights are rounded to
        it, which changes none where levels times a scale have eight significant bits.
        """
        state = self.biased_state(images.dtype)
        logits: Tensor = functional_call(self._template[0], state, (images,))
        return logits.float() * self.log_scales[-1].exp()

    def update_lengths(self) -> None:
        """Make each level's length -log2 of its present share of its tensor (plus 1/2 each).

        With a prior, of its share of the places where the prior has the same level.
        """
        with torch.no_grad():
            rows = self._row_of_cell
            cells = self._origins + self._round().long()
            shares = torch.bincount(cells, minlength=len(rows)).float() + _SMOOTHING
            sums = shares.new_zeros(int(rows[-1]) + 1).index_add_(0, rows, shares)
            self.lengths = -(shares / sums[rows]).log2()

    def level_bits(self, levels: Tensor) -> Tensor:
        """Present length of a level at each place, in bits, without a gradient.

        Args:
            levels: Integers in -max..max, (n,).
        """
        return self.lengths[self._origins + levels.long()]

    def rate(self) -> Tensor:
        """Bits of all tensors, interpolated between levels so that it has a gradient."""
        return self._rates().sum()

    def _rates(self) -> Tensor:
        """Of each latent, (n,)."""
        latents = self.values.clamp(-self.tops, self.tops)
        below = torch.minimum(latents.detach().floor(), self.tops - 1)
        cells = self._origins + below.long()
        shorter, longer = self.lengths[cells], self.lengths[cells + 1]
        return torch.lerp(shorter, longer, latents - below)

    def _split(self, flat: Tensor) -> dict[str, Tensor]:
        parts = torch.split(flat, [shape.numel() for shape in self._shapes.values()])
        shapes = self._shapes.items()
        return {name: part.view(shape) for (name, shape), part in zip(shapes, parts, strict=True)}

    def _round(self) -> Tensor:
        rounded: Tensor = _RoundThrough.apply(self.values, self.tops)  # type: ignore[no-untyped-call]
        return rounded

    def _scales(self) -> tuple[Tensor, ...]:
        """Of each layer its scale, (1,), or its units' scales, (u,)."""
        scales: Tensor = self.log_scales.exp()
        if self._round_scale is not None:
            scales = scales + (self._round_scale(scales.detach()) - scales.detach())
        return torch.split(scales, self._num_scales)


class _RoundThrough(torch.autograd.Function):
    """Nearest level; the gradient passes where the latent is in range or would come back."""

    @staticmethod
    def forward(ctx, latents: Tensor, tops: Tensor) -> Tensor:  # type: ignore[no-untyped-def]
        ctx.save_for_backward(latents, tops)
        return latents.round().clamp(-tops, tops)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, None]:  # type: ignore[no-untyped-def]
        latents, tops = ctx.saved_tensors
        passes = (latents.abs() < tops + 0.5) | (gradient * latents > 0)
        return gradient * passes, None


def shift_name(layer: LayerSpec) -> str:
    """The vector that is added behind a layer: its norm's shift, or the last layer's bias."""
    return f"{layer.name}_norm.shift" if layer.normalized else f"{layer.name}.bias"


def new_qat_network(
    spec: NetworkSpec,
    *,
    max_level: int,
    seed: int,
    round_scale: Callable[[Tensor], Tensor] | None = None,
) -> QATNetwork:
    """A network in levels to be trained from scratch.

    Latents are uniform in ±1.4 (±L if that is less), scales keep the variance of a layer's sums
    at that of its inputs, shifts are 0 and in steps of 1/4 of the inputs' unit.

    Args:
        spec: The network.
        max_level: L of every layer.
        seed: Of the latents.
        round_scale: As `QATNetwork` has it.
    """
    generator = torch.Generator().manual_seed(seed)
    plans, latents = {}, {}
    for layer in spec.layers:
        start = min(_START_LEVEL, max_level)
        weight = (torch.rand(layer.weight_shape, generator=generator) * 2 - 1) * start
        power = max(float(weight.round().square().mean()), _LEAST_POWER)
        spread = math.sqrt(layer.fan_in * power)
        step = _SHIFT_STEP if layer.normalized else power_of_two(_SHIFT_STEP * spread)
        plans[layer.name] = QATPlan(max_level=max_level, step=1 / spread, shift_step=step)
        latents[f"{layer.name}.weight"] = weight
        num = layer.num_norm_features if layer.normalized else layer.out_features
        latents[shift_name(layer)] = torch.zeros(num)
    return QATNetwork(spec, plans, latents, round_scale=round_scale)


def power_of_two(value: float) -> float:
    """The power of two nearest to a value > 0, on a logarithmic scale.

    >>> power_of_two(0.3), power_of_two(3.0)
    (0.25, 4.0)
    """
    return float(2.0 ** round(math.log2(value)))
