"""Networks whose numbers are few levels: whole multiples of a step, learned straight through.

Every tensor of a folded network is described by small integers: weights are levels -L..L, the
shifts and the last bias are levels times a step, and a layer has one scale for all its units. What
is trained are real numbers, the latents; the network computes with the levels nearest to them, and
the gradient passes as if they had not been rounded (straight-through estimator).

With a prior, levels are described relative to the prior's at the same place, and so are the lengths
that the rate is made of: a level that the prior has is short where most are as the prior has them.

A unit's own scale s goes into its weights: s (w · x) + b = c ((s/c) w · x) + b, with c the layer's.
The last layer has no scale: all logits by the same factor are the same decisions, so its weights
are levels as they are, and its bias goes with them.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.func import functional_call

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
        step: Of the weights, > 0: what a weight of level 1 was. It becomes the layer's scale.
        shift_step: Of shifts or biases, a power of two.
    """

    max_level: int
    step: float
    shift_step: float


class QATNetwork(nn.Module):
    """A folded network in levels.

    Args:
        spec: The network.
        plans: Layer name to plan.
        latents: Tensor name (`conv1.weight`, `conv1_norm.shift`, `fc.bias`) to real-valued levels.
        round_scale: Rounds scales to the numbers that the description has; None leaves them.
        prior_levels: Tensor name to the levels of a prior, for the lengths; None without one.

    Attributes:
        plans: As given.
        latents: Parameters, by tensor name with "." written as "/".
        log_scales: ln of each layer's scale; of the last layer, of the temperature of its logits,
            which changes the loss but no decision.
        lengths: Bits of each level of a tensor, -max..max, at present, (1, levels); with a prior a
            row for each level that the prior may have. See `update_lengths`.
    """

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
        self._prior_levels = dict(prior_levels or {})
        self.spec = spec
        self._round_scale = round_scale
        self.plans = dict(plans)
        with torch.device("meta"):
            self._template = [build_network(spec, folded=True).eval()]  # hidden from parameters()
        self.latents = nn.ParameterDict(
            {_key(name): nn.Parameter(tensor.clone()) for name, tensor in latents.items()}
        )
        self.log_scales = nn.ParameterDict(
            {name: nn.Parameter(torch.tensor(math.log(p.step))) for name, p in plans.items()}
        )
        self.lengths: dict[str, Tensor] = {}
        self.update_lengths()

    def max_level(self, name: str) -> int:
        """The largest level of a tensor."""
        layer = name.removesuffix(".weight")
        return self.plans[layer].max_level if name.endswith(".weight") else MAX_SHIFT_LEVEL

    def levels(self) -> dict[str, Tensor]:
        """Tensor name to its levels, integers in float32, without gradients."""
        with torch.no_grad():
            return {name: self._round(name) for name in self._names()}

    def folded_state(self) -> dict[str, Tensor]:
        """The tensors of the folded network that this computes, but for the temperature."""
        with torch.no_grad():
            state = self._state()
            return {name: state[name].clone() for name in self._template[0].state_dict()}

    def forward(self, images: Tensor) -> Tensor:
        """Logits (N, c) of normalised images, times the temperature."""
        *_, last = self.spec.layers
        logits: Tensor = functional_call(self._template[0], self._state(), (images,))
        temperature: Tensor = self.log_scales[last.name].exp()
        return logits.float() * temperature

    def update_lengths(self) -> None:
        """Make each level's length -log2 of its present share of its tensor (plus 1/2 each).

        With a prior, of its share of the places where the prior has the same level.
        """
        for name, levels in self.levels().items():
            num = 2 * self.max_level(name) + 1
            rows = num if self._prior_levels else 1
            counts = torch.bincount(self._cells(name, levels).flatten(), minlength=rows * num)
            shares = counts.view(rows, num).float() + _SMOOTHING
            self.lengths[name] = -(shares / shares.sum(dim=1, keepdim=True)).log2()

    def level_bits(self, name: str, levels: Tensor) -> Tensor:
        """Present length of a level at each place of a tensor, in bits, without a gradient.

        Args:
            name: The tensor.
            levels: Integers in -max..max, in the tensor's shape.
        """
        return self.lengths[name].flatten()[self._cells(name, levels)]

    def rate(self) -> Tensor:
        """Bits of all tensors, interpolated between levels so that it has a gradient."""
        total = torch.zeros((), device=next(self.parameters()).device)
        for name in self._names():
            top = self.max_level(name)
            latent = self.latents[_key(name)].clamp(-top, top)
            below = latent.detach().floor().clamp(-top, top - 1)
            share = latent - below
            shorter, longer = self.level_bits(name, below), self.level_bits(name, below + 1)
            total = total + (shorter * (1 - share) + longer * share).sum()
        return total

    def _cells(self, name: str, levels: Tensor) -> Tensor:
        """Index into the flat table of lengths, int64 in the tensor's shape."""
        top = self.max_level(name)
        index = (levels + top).long()
        if not self._prior_levels:
            return index
        own = self._prior_levels[name].to(index.device).clamp(-top, top)
        return (own + top).long() * (2 * top + 1) + index

    def _names(self) -> list[str]:
        return [key.replace("/", ".") for key in self.latents]

    def _round(self, name: str) -> Tensor:
        top = self.max_level(name)
        rounded: Tensor = _RoundThrough.apply(self.latents[_key(name)], top)  # type: ignore[no-untyped-call]
        return rounded

    def _scale(self, name: str) -> Tensor:
        scale: Tensor = self.log_scales[name].exp()
        if self._round_scale is None:
            return scale
        return scale + (self._round_scale(scale.detach()) - scale.detach())

    def _state(self) -> dict[str, Tensor]:
        state = {}
        for layer in self.spec.layers:
            plan, name = self.plans[layer.name], layer.name
            state[f"{name}.weight"] = self._round(f"{name}.weight")
            vector = shift_name(layer)
            state[vector] = self._round(vector) * plan.shift_step
            if layer.normalized:
                state[f"{name}_norm.scale"] = self._scale(name).expand(layer.num_norm_features)
        return state


class _RoundThrough(torch.autograd.Function):
    """Nearest level; the gradient passes where the latent is in range or would come back."""

    @staticmethod
    def forward(ctx, latent: Tensor, top: int) -> Tensor:  # type: ignore[no-untyped-def]
        ctx.save_for_backward(latent)
        ctx.top = top
        return latent.round().clamp(-top, top)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, None]:  # type: ignore[no-untyped-def]
        (latent,) = ctx.saved_tensors
        passes = (latent.abs() < ctx.top + 0.5) | (gradient * latent > 0)
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


def _key(name: str) -> str:
    return name.replace(".", "/")
