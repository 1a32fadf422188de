"""One layer of a network as sizes, without torch: what tables of layers are made of."""

from dataclasses import dataclass
from math import prod
from typing import Literal

LayerKind = Literal["conv", "local", "dense"]
LayerGroup = Literal["conv", "fc"]


@dataclass(frozen=True, kw_only=True)
class LayerSpec:
    """One layer with weights, on square inputs of side `in_size` and outputs of side `out_size`.

    Attributes:
        name: The layer's name; its weight is `<name>.weight` in a state dict.
        kind: "conv" shares its kernel over positions, "local" has a kernel a position, "dense"
            connects every input with every output.
        group: "conv" for layers that are, or correspond to, a convolution; "fc" for the head.
        in_channels: Channels of the input.
        in_size: Side of the input in pixels (1 for a vector).
        out_channels: Channels of the output.
        out_size: Side of the output in pixels (1 for a vector).
        kernel: Side of the (corresponding) convolution's kernel; None in the head.
        stride: Stride of the (corresponding) convolution.
        normalized: Whether BatchNorm follows (ReLU or a residual sum comes after it).
        symmetries: Channels of the output that share one kernel, each with it turned or mirrored
            in another way, and one scale and one shift: 1, or 8 in a "conv" layer of tiny-conv.
        input_symmetries: The same of the layer that the input comes from.
        edge_padding: Whether the border is padded with its own pixels, not with zeros.
    """

    name: str
    kind: LayerKind
    group: LayerGroup
    in_channels: int
    in_size: int
    out_channels: int
    out_size: int
    kernel: int | None = None
    stride: int = 1
    normalized: bool = True
    symmetries: int = 1
    input_symmetries: int = 1
    edge_padding: bool = False

    @property
    def in_features(self) -> int:
        """Input units: channels x side²."""
        return self.in_channels * self.in_size**2

    @property
    def out_features(self) -> int:
        """Output units: channels x side²."""
        return self.out_channels * self.out_size**2

    @property
    def padding(self) -> int:
        """Zero padding on each side: (kernel - 1) / 2 gives out_size = ceil(in_size / stride)."""
        return 0 if self.kernel is None else (self.kernel - 1) // 2

    @property
    def fan_in(self) -> int:
        """Weights that feed one output unit."""
        if self.kind == "dense" or self.kernel is None:
            return self.in_features
        return self.in_channels * self.kernel**2

    @property
    def weight_shape(self) -> tuple[int, ...]:
        """Shape of the weight tensor.

        conv: (out_channels / symmetries, in_channels, kernel, kernel), as torch has it.
        local: (positions, out_channels, in_channels·kernel²), positions row by row.
        dense: (out_features, in_features), units in (channel, row, column) order.
        """
        if self.kind == "dense" or self.kernel is None:
            return (self.out_features, self.in_features)
        if self.kind == "local":
            return (self.out_size**2, self.out_channels, self.fan_in)
        num_kernels = self.out_channels // self.symmetries
        return (num_kernels, self.in_channels, self.kernel, self.kernel)

    @property
    def num_weights(self) -> int:
        """Entries of the weight tensor, without bias and BatchNorm."""
        return prod(self.weight_shape)

    @property
    def num_norm_features(self) -> int:
        """Units that BatchNorm treats apart: kernels of "conv", every unit otherwise.

        Per unit in "local" and "dense" layers keeps conv ⊂ local ⊂ fc; the paper leaves it open.
        """
        if not self.normalized:
            return 0
        if self.kind == "conv":
            return self.out_channels // self.symmetries
        return self.out_features
