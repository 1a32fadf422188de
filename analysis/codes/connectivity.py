"""Which layer reads which: the hidden units of a network, what feeds them and what they feed.

A hidden unit is what one scale and one shift belong to: a channel behind a "conv" layer, a single
unit behind "local" and "dense" ones. Only layers whose units feed one other layer and nothing else
are listed; behind a residual sum there are none.
"""

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from training.networks.embedding import input_units
from training.spec.architectures import LayerSpec, NetworkSpec


@dataclass(frozen=True, kw_only=True)
class Link:
    """A layer with hidden units, and the one layer that reads them.

    Attributes:
        source: The layer with the units.
        target: The layer that reads them, after their ReLU.
    """

    source: LayerSpec
    target: LayerSpec

    @property
    def num_groups(self) -> int:
        """Units may change places within a group: positions of a "local" layer are groups.

        Unit u is in group u % num_groups.
        """
        return self.source.out_size**2 if self.source.kind == "local" else 1

    @property
    def is_spatial(self) -> bool:
        """Whether the target sees the units as an image, although any order would do."""
        return self.source.kind == "dense" and self.target.in_size > 1

    def target_units(self) -> Tensor:
        """The unit behind each weight of the target, int64, of a shape that broadcasts to it.

        -1 where a weight sees padding only.
        """
        source, target = self.source, self.target
        if target.kind == "conv":
            return torch.arange(target.in_channels).view(1, -1, 1, 1)
        if target.kind == "local":
            return input_units(target)[:, None, :]
        units = torch.arange(target.in_features)[None, :]
        return units // target.in_size**2 if source.kind == "conv" else units

    def reorder_target(self, weight: Tensor, order: Tensor) -> Tensor:
        """The target's weight when unit u is what was unit order[u]."""
        source, target = self.source, self.target
        if target.kind == "local":
            area = (target.kernel or 1) ** 2
            entries = torch.arange(weight.shape[-1])
            units = input_units(target)
            channels = order[units.clamp(min=0)] // target.in_size**2
            places = torch.where(units >= 0, channels * area + entries % area, entries)
            return weight.gather(2, places[:, None, :].expand_as(weight))
        if target.kind == "dense" and source.kind == "conv":
            parts = weight.view(weight.shape[0], target.in_channels, -1)
            return parts[:, order].reshape(weight.shape)
        return weight[:, order]


def list_links(spec: NetworkSpec) -> tuple[Link, ...]:
    """The links of a network, in the order of the forward pass.

    >>> spec = NetworkSpec(name="s-fc", image_size=8, num_classes=2, base_channels=1)
    >>> [(link.source.name, link.target.name) for link in list_links(spec)]
    [('conv1', 'fc1'), ('fc1', 'fc2')]
    """
    layers = spec.layers
    if spec.name == "resnet18":
        return tuple(
            Link(source=first, target=second)
            for first, second in pairwise(layers)
            if first.name.endswith("_conv1")
        )
    if spec.family is None and spec.name != "3-fc":
        return ()
    return tuple(Link(source=first, target=second) for first, second in pairwise(layers))


def unit_rows(layer: LayerSpec, weight: Tensor) -> Tensor:
    """The weights that feed each unit, as rows (units, fan_in) in the order of scale and shift."""
    if layer.kind == "local":
        return weight.transpose(0, 1).reshape(layer.out_features, -1)
    return weight.flatten(1)


def from_unit_rows(layer: LayerSpec, rows: Tensor) -> Tensor:
    """The weight tensor, contiguous, whose `unit_rows` these are."""
    if layer.kind == "local":
        channels = rows.view(layer.out_channels, layer.out_size**2, -1)
        return channels.transpose(0, 1).contiguous()
    return rows.reshape(layer.weight_shape).contiguous()
