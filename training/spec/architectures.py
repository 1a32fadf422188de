"""The networks as tables of layers (the paper's Tables 3 and 4, and two tiny ones), without torch.

Every other module reads the shape of a network from here: models are built from these layers,
weight counts and scaling formulas are summed over them, and nonzeros are reported by them.
"""

from dataclasses import dataclass, replace
from math import prod
from typing import Literal

from training.errors import ConfigError
from training.system.checks import check_count, shown

LayerKind = Literal["conv", "local", "dense"]
LayerGroup = Literal["conv", "fc"]
CONV_FAMILIES = ("d", "s")
KINDS: dict[str, LayerKind] = {"conv": "conv", "local": "local", "fc": "dense"}
NETWORKS = (
    "d-conv",
    "d-local",
    "d-fc",
    "s-conv",
    "s-local",
    "s-fc",
    "3-fc",
    "resnet18",
    "tiny-conv",
    "tiny-separable",
)
"""The codes number networks by their place here: new ones come last."""
PAPER_NETWORKS = NETWORKS[:8]
MAX_UNITS = 2**40
"""Most pixels a side, channels, units or classes that a network may be asked for."""
NUM_SYMMETRIES = 8
"""Symmetries of a square: each kernel of the tiny networks is used in all of its positions."""
# (kernel, channels as a multiple of α, stride) of each convolution, and the head's fc(multiple·α).
# fmt: off
_CONVOLUTIONS: dict[str, tuple[tuple[int, int, int], ...]] = {
    "d": (
        (3, 1, 1), (3, 2, 2), (3, 2, 1), (3, 4, 2), (3, 4, 1), (3, 8, 2), (3, 8, 1), (3, 16, 2),
    ),
    "s": ((9, 1, 2),),
}
# fmt: on
_HEAD_MULTIPLE = {"d": 64, "s": 24}
# (channels as a multiple of α, stride of its first convolution) of ResNet18's four stages.
_RESNET_STAGES = ((1, 1), (2, 2), (4, 2), (8, 2))
_RESNET_BLOCKS_PER_STAGE = 2
# (kernel, kernels as a multiple of α, stride, side of the max-pooling behind it) of the tiny
# networks' convolutions. Behind the first, those of tiny-separable look at one channel, or at one
# pixel, by turns, and the last has few kernels whatever α is.
_TINY_CONVOLUTIONS = {
    "tiny-conv": ((5, 1, 2, 1), (3, 1, 2, 1), (3, 1, 1, 2), (3, 1, 1, 2)),
    "tiny-separable": (
        (5, 1, 2, 1),
        (3, 1, 1, 1),
        (1, 2, 1, 2),
        (3, 2, 1, 1),
        (1, 3, 1, 2),
        (3, 3, 1, 1),
        (1, 0, 1, 2),
    ),
}
_FEW_KERNELS = 4


@dataclass(frozen=True, kw_only=True)
class LayerSpec:
    """One layer with weights, on square inputs of side `in_size` and outputs of side `out_size`.

    Attributes:
        name: The layer's name; its weight is `<name>.weight` in a state dict.
        kind: "conv" shares its kernel over positions, "local" has a kernel per position, "dense"
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
            in another way, and one scale and one shift: 1, or 8 in a tiny network's "conv" layer.
        input_symmetries: The same of the layer that the input comes from.
        edge_padding: Whether the border is padded with its own pixels, not with zeros.
        depthwise: Whether each channel of the output looks at the same one of the input alone.
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
    depthwise: bool = False

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
        return self.channels_seen * self.kernel**2

    @property
    def channels_seen(self) -> int:
        """Channels of the input that a channel of the output looks at."""
        return 1 if self.depthwise else self.in_channels

    @property
    def weight_shape(self) -> tuple[int, ...]:
        """Shape of the weight tensor.

        conv: (out_channels / symmetries, channels_seen, kernel, kernel), as torch has it.
        local: (positions, out_channels, in_channels·kernel²), positions row by row.
        dense: (out_features, in_features), units in (channel, row, column) order.
        """
        if self.kind == "dense" or self.kernel is None:
            return (self.out_features, self.in_features)
        if self.kind == "local":
            return (self.out_size**2, self.out_channels, self.fan_in)
        num_kernels = self.out_channels // self.symmetries
        return (num_kernels, self.channels_seen, self.kernel, self.kernel)

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


@dataclass(frozen=True, kw_only=True)
class NetworkSpec:
    """A network: all that `training.networks.models.build_network` needs.

    Attributes:
        name: One of `NETWORKS`.
        image_size: s, side of the square input in pixels, >= 1; all sizes are at most 2^40.
        num_classes: c, >= 2.
        in_channels: Channels of the input, >= 1 (the paper's formulas assume 3).
        base_channels: α, channels of the first convolution (tiny networks: its kernels), >= 1;
            every network but 3-fc needs it.
        hidden_units: Units of each hidden layer of 3-fc, >= 1; only 3-fc takes it.
        kernel_size: Side of ResNet18's kernels (all but its 1x1 shortcuts), odd; only ResNet18
            takes it (3 if not given).

    Raises:
        ValueError: A value outside its range, or one that this network does not take or lacks.

    >>> NetworkSpec(name="s-fc", image_size=32, num_classes=10, base_channels=150).num_weights
    256240800
    """

    name: str
    image_size: int
    num_classes: int
    in_channels: int = 3
    base_channels: int | None = None
    hidden_units: int | None = None
    kernel_size: int | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or self.name not in NETWORKS:
            raise ConfigError.naming(
                "{network} must be one of {}, not {}", ", ".join(NETWORKS), shown(self.name)
            )
        if self.name == "resnet18" and self.kernel_size is None:
            object.__setattr__(self, "kernel_size", 3)
        for field, lowest in (("image_size", 1), ("num_classes", 2), ("in_channels", 1)):
            check_count(field, getattr(self, field), lowest, MAX_UNITS)
        width, other = ("base_channels", "hidden_units")
        if self.name == "3-fc":
            width, other = other, width
        if getattr(self, width) is None:
            raise ConfigError.naming(f"{{}} needs {{{width}}}", self.name)
        check_count(width, getattr(self, width), 1, MAX_UNITS)
        if getattr(self, other) is not None:
            raise ConfigError.naming(
                f"{{}} takes no {{{other}}}; its width is {{{width}}}", self.name
            )
        if self.name != "resnet18" and self.kernel_size is not None:
            raise ConfigError.naming("{} takes no {kernel_size}; only resnet18 does", self.name)
        if self.kernel_size is not None:
            check_count("kernel_size", self.kernel_size, 1, MAX_UNITS)
            if self.kernel_size % 2 == 0:
                raise ConfigError.naming(
                    "{kernel_size} must be odd (same padding on both sides), not {}",
                    self.kernel_size,
                )

    @property
    def family(self) -> str | None:
        """The letter d or s of a network with conv, local and fc twins; None for the others."""
        family = self.name.split("-")[0]
        return family if family in CONV_FAMILIES else None

    @property
    def layers(self) -> tuple[LayerSpec, ...]:
        """The layers with weights, in the order of the forward pass.

        >>> spec = NetworkSpec(name="s-fc", image_size=32, num_classes=10, base_channels=150)
        >>> sum(layer.num_weights for layer in spec.layers)
        256240800
        """
        if self.name == "3-fc":
            return _fully_connected_layers(self)
        if self.name == "resnet18":
            return _resnet_layers(self)
        if self.name in _TINY_CONVOLUTIONS:
            return _tiny_layers(self)
        return _family_layers(self)

    @property
    def num_weights(self) -> int:
        """Weights of all layers, without biases and BatchNorm."""
        return sum(layer.num_weights for layer in self.layers)

    def twin(self, kind: str) -> "NetworkSpec":
        """The same network with its convolutions as "conv", "local" or "fc" layers.

        Raises:
            ValueError: The network has no twins (3-fc, ResNet18), or `kind` is unknown.
        """
        if self.family is None:
            raise ValueError(f"{self.name} has no conv, local and fc twins; d- and s- networks do")
        if kind not in KINDS:
            raise ValueError(f"kind must be one of {', '.join(KINDS)}, not {kind!r}")
        return replace(self, name=f"{self.family}-{kind}")


def _ceil_div(size: int, stride: int) -> int:
    return -(-size // stride)


def _head_layer(name: str, in_channels: int, in_size: int, units: int, *, last: bool) -> LayerSpec:
    return LayerSpec(
        name=name,
        kind="dense",
        group="fc",
        in_channels=in_channels,
        in_size=in_size,
        out_channels=units,
        out_size=1,
        normalized=not last,
    )


def _family_layers(spec: NetworkSpec) -> tuple[LayerSpec, ...]:
    family, suffix = spec.name.split("-")
    alpha = spec.base_channels or 0
    layers = []
    channels, size = spec.in_channels, spec.image_size
    for index, (kernel, multiple, stride) in enumerate(_CONVOLUTIONS[family], start=1):
        out_size = _ceil_div(size, stride)
        layers.append(
            LayerSpec(
                name=f"conv{index}",
                kind=KINDS[suffix],
                group="conv",
                in_channels=channels,
                in_size=size,
                out_channels=multiple * alpha,
                out_size=out_size,
                kernel=kernel,
                stride=stride,
            )
        )
        channels, size = multiple * alpha, out_size
    units = _HEAD_MULTIPLE[family] * alpha
    layers.append(_head_layer("fc1", channels, size, units, last=False))
    layers.append(_head_layer("fc2", units, 1, spec.num_classes, last=True))
    return tuple(layers)


def _fully_connected_layers(spec: NetworkSpec) -> tuple[LayerSpec, ...]:
    hidden = spec.hidden_units or 0
    return (
        _head_layer("fc1", spec.in_channels, spec.image_size, hidden, last=False),
        _head_layer("fc2", hidden, 1, hidden, last=False),
        _head_layer("fc3", hidden, 1, spec.num_classes, last=True),
    )


def _resnet_layers(spec: NetworkSpec) -> tuple[LayerSpec, ...]:
    alpha, kernel = spec.base_channels or 0, spec.kernel_size or 3

    def conv(
        name: str, in_channels: int, in_size: int, out_channels: int, *, side: int, stride: int
    ) -> LayerSpec:
        return LayerSpec(
            name=name,
            kind="conv",
            group="conv",
            in_channels=in_channels,
            in_size=in_size,
            out_channels=out_channels,
            out_size=_ceil_div(in_size, stride),
            kernel=side,
            stride=stride,
        )

    layers = [conv("conv1", spec.in_channels, spec.image_size, alpha, side=kernel, stride=1)]
    channels, size = alpha, spec.image_size
    for stage, (multiple, first_stride) in enumerate(_RESNET_STAGES, start=1):
        width = multiple * alpha
        for block in range(1, _RESNET_BLOCKS_PER_STAGE + 1):
            prefix = f"stage{stage}_block{block}"
            stride = first_stride if block == 1 else 1
            first = conv(f"{prefix}_conv1", channels, size, width, side=kernel, stride=stride)
            second = conv(f"{prefix}_conv2", width, first.out_size, width, side=kernel, stride=1)
            layers += [first, second]
            if stride != 1 or channels != width:
                layers.append(
                    conv(f"{prefix}_shortcut", channels, size, width, side=1, stride=stride)
                )
            channels, size = width, first.out_size
    layers.append(_head_layer("fc", channels, 1, spec.num_classes, last=True))
    return tuple(layers)


def _tiny_layers(spec: NetworkSpec) -> tuple[LayerSpec, ...]:
    channels, size, symmetries = spec.in_channels, spec.image_size, 1
    convolutions, is_separable = _TINY_CONVOLUTIONS[spec.name], spec.name == "tiny-separable"
    layers = []
    for index, (kernel, multiple, stride, pool) in enumerate(convolutions, start=1):
        width = (multiple * (spec.base_channels or 0) or _FEW_KERNELS) * NUM_SYMMETRIES
        layers.append(
            LayerSpec(
                name=f"conv{index}",
                kind="conv",
                group="conv",
                in_channels=channels,
                in_size=size,
                out_channels=width,
                out_size=_ceil_div(size, stride),
                kernel=kernel,
                stride=stride,
                symmetries=NUM_SYMMETRIES,
                input_symmetries=symmetries,
                edge_padding=index == 1,
                depthwise=is_separable and index > 1 and kernel > 1,
            )
        )
        channels, size, symmetries = width, _ceil_div(layers[-1].out_size, pool), NUM_SYMMETRIES
    layers.append(_head_layer("fc", channels, size, spec.num_classes, last=True))
    return tuple(layers)
