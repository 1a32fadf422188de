"""The networks of the paper, built from their tables of layers, and folded."""

from abc import abstractmethod
from functools import cached_property
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from training.networks.fused_norm import normalize
from training.networks.layers import LocallyConnected2d, PixelwiseConv2d, ScaleShift
from training.networks.memory_layouts import flatten_units
from training.networks.symmetric import SymmetricBatchNorm2d, SymmetricConv2d
from training.spec.architectures import LayerSpec, NetworkSpec

BATCH_NORM_EPS = 1e-5
NUM_DROPPED_LAYERS = 2


class Network(nn.Module):
    """A network of the paper, built from the table of layers in `spec`.

    The state dict holds `<layer>.weight` of shape `LayerSpec.weight_shape` for every layer and
    `<layer>.bias` for the last one. Behind every other layer stands `<layer>_norm`: BatchNorm, or
    in the folded form a `ScaleShift` that holds one scale and one shift per unit. In the biased
    form every layer has a bias and nothing stands behind it: the folded one with the scales in the
    weights.

    BatchNorm goes per channel behind "conv" layers (per kernel in tiny networks) and per unit
    behind "local" and "dense" ones. It computes in the type of its own parameters, so under
    autocast it stays in float32.
    Weights and the last bias start from U(-1/√fan_in, 1/√fan_in), BatchNorm from 1 and 0.

    Args:
        spec: The network.
        dropout: Probability of dropping an input of the last two layers of group "fc" while
            training (ResNet18 has one such layer), in [0, 1).
        folded: Whether `ScaleShift` takes the place of BatchNorm.
        biased: Whether the layers' own biases do.

    Raises:
        ValueError: `dropout` outside [0, 1).
    """

    def __init__(
        self, spec: NetworkSpec, *, dropout: float = 0.0, folded: bool = False, biased: bool = False
    ) -> None:
        super().__init__()
        if not 0 <= dropout < 1:
            raise ValueError(f"dropout must lie in [0, 1), not {dropout}")
        self.spec = spec
        self.dropout = dropout
        self.drop = nn.Dropout(dropout)
        self.folded, self.biased = folded, biased
        self.table = {layer.name: layer for layer in spec.layers}
        head = [layer.name for layer in spec.layers if layer.group == "fc"]
        self._dropped = frozenset(head[-NUM_DROPPED_LAYERS:])
        for layer in spec.layers:
            self.add_module(layer.name, _make_layer(layer, bias=biased or not layer.normalized))
            if layer.normalized and not biased:
                self.add_module(f"{layer.name}_norm", _make_norm(layer, folded=folded))

    def forward(self, images: Tensor) -> Tensor:
        """Map images, floating point (N, in_channels, s, s), to logits (N, num_classes).

        Raises:
            ValueError: Images of another shape, or of integers.
        """
        self._check_images(images)
        return self.compute_logits(images)

    @abstractmethod
    def compute_logits(self, images: Tensor) -> Tensor:
        """The forward pass on images that `forward` has checked."""

    def apply_layer(
        self, name: str, values: Tensor, *, residual: Tensor | None = None, relu: bool = False
    ) -> Tensor:
        """One layer of the table, its normalisation, a residual sum and ReLU, as asked for.

        Takes values in the form that the layer before gave, (N, channels, s, s) or (N, units);
        gives (N, channels, s, s) behind "conv" and "local" layers and (N, units) behind "dense".
        Convolutions work with channels last in memory, local layers in CHWN, the batch innermost.
        """
        layer = self.table[name]
        if layer.kind == "dense":
            values = flatten_units(values)
        elif values.dim() == 2:
            values = values.view(-1, layer.in_channels, layer.in_size, layer.in_size)
        module = self.get_submodule(name)
        if isinstance(module, nn.Conv2d) and not layer.edge_padding:
            values = values.contiguous(memory_format=torch.channels_last)
        if name in self._dropped:
            values = self.drop(values)
        values = module(values)
        if not layer.normalized:
            return values
        if self.biased:
            values = values if residual is None else values + residual
            return F.relu(values) if relu else values
        return normalize(values, self.get_submodule(f"{name}_norm"), residual=residual, relu=relu)

    def _check_images(self, images: Tensor) -> None:
        spec = self.spec
        expected = (spec.in_channels, spec.image_size, spec.image_size)
        if images.dim() != 4 or tuple(images.shape[1:]) != expected:
            shape = ", ".join(str(size) for size in expected)
            raise ValueError(
                f"images must have shape (N, {shape}) for this {spec.name}, "
                f"not {tuple(images.shape)}"
            )
        if not images.is_floating_point():
            raise ValueError(f"images must be normalised floating point, not {images.dtype}")


def _make_layer(layer: LayerSpec, *, bias: bool) -> nn.Module:
    if layer.kind == "dense" or layer.kernel is None:
        return nn.Linear(layer.in_features, layer.out_features, bias=bias)
    channels, kernel, stride = (layer.in_channels, layer.out_channels), layer.kernel, layer.stride
    if layer.kind == "local":
        return LocallyConnected2d(*channels, layer.in_size, kernel, stride, bias=bias)
    if layer.symmetries > 1:
        return SymmetricConv2d(layer, bias=bias)
    if kernel == 1 or layer.in_size == 1:
        return PixelwiseConv2d(*channels, kernel, stride, bias=bias)
    return nn.Conv2d(*channels, kernel, stride, layer.padding, bias=bias)


def _make_norm(layer: LayerSpec, *, folded: bool) -> nn.Module:
    if folded:
        return ScaleShift(layer.num_norm_features)
    if layer.symmetries > 1:
        return SymmetricBatchNorm2d(layer.num_norm_features, eps=BATCH_NORM_EPS)
    norm = nn.BatchNorm2d if layer.kind == "conv" else nn.BatchNorm1d
    return norm(layer.num_norm_features, eps=BATCH_NORM_EPS)


def is_folded(state: dict[str, Tensor]) -> bool:
    """Whether a state dict is of the folded form, with a scale and a shift for BatchNorm.

    >>> import torch
    >>> is_folded({"conv1_norm.scale": torch.ones(1)}), is_folded({"conv1.weight": torch.ones(1)})
    (True, False)
    """
    return any(name.endswith("_norm.scale") for name in state)


class LayeredNetwork(Network):
    """The d-, s- and 3-fc networks: layer, BatchNorm, ReLU in a row, then the last layer."""

    def compute_logits(self, images: Tensor) -> Tensor:
        """The forward pass on images that `forward` has checked."""
        values = images
        for name in self.table:
            values = self.step(name, values)
        return values

    def step(self, name: str, values: Tensor) -> Tensor:
        """What the layer behind takes, from what this one takes; of the last layer, the logits."""
        return self.apply_layer(name, values, relu=self.table[name].normalized)


class ResNet18(Network):
    """He et al.'s ResNet18, but with a stride-1 first convolution and no max-pool.

    Eight basic blocks: y = ReLU(BN(conv2(ReLU(BN(conv1(x))))) + shortcut(x)). The shortcut is
    the identity, or a 1x1 convolution with BatchNorm where size or channels change. A global
    average over positions feeds the last layer.
    """

    def compute_logits(self, images: Tensor) -> Tensor:
        """The forward pass on images that `forward` has checked."""
        first, *block_layers, last = self.table
        values = self.apply_layer(first, images, relu=True)
        blocks = dict.fromkeys(name.rpartition("_")[0] for name in block_layers)
        for block in blocks:
            values = self._apply_block(block, values)
        return self.apply_layer(last, values.mean(dim=(2, 3)))

    def _apply_block(self, block: str, values: Tensor) -> Tensor:
        shortcut = values
        if f"{block}_shortcut" in self.table:
            shortcut = self.apply_layer(f"{block}_shortcut", values)
        values = self.apply_layer(f"{block}_conv1", values, relu=True)
        return self.apply_layer(f"{block}_conv2", values, residual=shortcut, relu=True)


class TinyNetwork(LayeredNetwork):
    """Convolutions whose kernels act in all eight positions of a square, and a dense layer.

    Layer, BatchNorm, ReLU in a row. Where the next layer's input is smaller than what a layer
    gives, 2x2 max-pooling stands between.
    """

    def step(self, name: str, values: Tensor) -> Tensor:
        """What the layer behind takes, from what this one takes; of the last layer, the logits."""
        values = super().step(name, values)
        return halve(values) if name in self._pooled else values

    @cached_property
    def _pooled(self) -> frozenset[str]:
        """The layers that give more than the next one takes."""
        pairs = pairwise(self.table.values())
        return frozenset(layer.name for layer, after in pairs if after.in_size < layer.out_size)


def halve(values: Tensor) -> Tensor:
    """2x2 max-pooling of values >= 0 (N, C, s, s) to side ⌈s/2⌉.

    With the channels last on a CPU, slices and maxima take less time than torch's own pooling,
    but their gradients take ten times as long; in other layouts torch's own is slow.

    >>> halve(torch.arange(9.0).view(1, 1, 3, 3))
    tensor([[[[4., 5.],
              [7., 8.]]]])
    """
    if values.requires_grad:
        return F.max_pool2d(values, 2, ceil_mode=True)
    if values.shape[-1] % 2:
        values = F.pad(values, (0, 1, 0, 1))
    rows = torch.maximum(values[:, :, 0::2], values[:, :, 1::2])
    return torch.maximum(rows[:, :, :, 0::2], rows[:, :, :, 1::2])


def build_network(
    spec: NetworkSpec, *, dropout: float = 0.0, folded: bool = False, biased: bool = False
) -> Network:
    """The network that `spec` describes, freshly initialised, in training mode.

    Args:
        spec: Name and sizes.
        dropout: Probability of dropping an input of the last two fc layers, in [0, 1).
        folded: Whether a scale and a shift per unit take the place of BatchNorm.
        biased: Whether a bias of every layer does, with the scales in the weights.

    >>> spec = NetworkSpec(name="s-conv", image_size=8, num_classes=10, base_channels=1)
    >>> [name for name, _ in build_network(spec).named_parameters()][:3]
    ['conv1.weight', 'conv1_norm.weight', 'conv1_norm.bias']
    """
    kinds: dict[str, type[Network]] = {
        "resnet18": ResNet18,
        "tiny-conv": TinyNetwork,
        "tiny-separable": TinyNetwork,
    }
    kind = kinds.get(spec.name, LayeredNetwork)
    return kind(spec, dropout=dropout, folded=folded, biased=biased)


def build_model(
    name: str,
    *,
    image_size: int,
    num_classes: int,
    in_channels: int = 3,
    base_channels: int | None = None,
    hidden_units: int | None = None,
    kernel_size: int | None = None,
    dropout: float = 0.0,
) -> Network:
    """The network of that name and size, freshly initialised, in training mode.

    Args:
        name: One of `training.spec.architectures.NETWORKS`.
        image_size: s, side of the square images in pixels.
        num_classes: c, >= 2.
        in_channels: Channels of the images.
        base_channels: α, channels of the first convolution (tiny networks: its kernels); every
            network but 3-fc needs it.
        hidden_units: Units of each hidden layer of 3-fc, which alone takes it.
        kernel_size: Side of ResNet18's kernels, odd; ResNet18 alone takes it (3 if not given).
        dropout: Probability of dropping an input of the last two fc layers, in [0, 1).

    Raises:
        ValueError: A value outside its range, or one that this network does not take or lacks.

    >>> with torch.device("meta"):
    ...     model = build_model("s-fc", base_channels=150, image_size=32, num_classes=10)
    >>> sum(weight.numel() for name, weight in model.named_parameters() if weight.dim() > 1)
    256240800
    """
    spec = NetworkSpec(
        name=name,
        image_size=image_size,
        num_classes=num_classes,
        in_channels=in_channels,
        base_channels=base_channels,
        hidden_units=hidden_units,
        kernel_size=kernel_size,
    )
    return build_network(spec, dropout=dropout)


def network_from_state(
    spec: NetworkSpec, state: dict[str, Tensor], *, dropout: float = 0.0
) -> Network:
    """The network with the tensors of `state` as its own: nothing is initialised or copied.

    Takes plain and folded states, in the state's own types and on its devices. The network shares
    memory with `state`. Parameters ask for gradients; the network is in training mode.

    Raises:
        ValueError: A tensor missing, left over or of the wrong shape.
    """
    with torch.device("meta"):
        network = build_network(spec, dropout=dropout, folded=is_folded(state))
    try:
        network.load_state_dict(state, assign=True)
    except RuntimeError as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"the state does not fit {spec.name}: {reason}") from error
    return network


def fold_batch_norm(network: Network) -> Network:
    """The same function of images as `network` in eval mode, without running statistics.

    With BatchNorm's weight γ, bias β, running mean μ and running variance σ²,

        γ (x - μ) / √(σ² + ε) + β = scale · x + shift,
        scale = γ / √(σ² + ε),  shift = β - μ · scale.

    Both are computed in float64 and given in the network's own type. The result is a copy, in
    eval mode and without dropout; a network that is folded already comes back as a copy.
    """
    folded = network_from_state(network.spec, fold_state(network.spec, network.state_dict()))
    return folded.eval()


def fold_state(spec: NetworkSpec, state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The state dict of `fold_batch_norm`, for a state dict of the network `spec`; all copies.

    Raises:
        ValueError: A tensor of BatchNorm is missing.
    """
    if is_folded(state):
        return {name: tensor.detach().clone() for name, tensor in state.items()}
    norms = {f"{layer.name}_norm" for layer in spec.layers if layer.normalized}
    folded = {}
    for name, tensor in state.items():
        owner, _, field = name.rpartition(".")
        if owner not in norms:
            folded[name] = tensor.detach().clone()
        elif field == "weight":
            folded[f"{owner}.scale"], folded[f"{owner}.shift"] = _fold(owner, state)
    return folded


def _fold(norm: str, state: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    fields = ("weight", "bias", "running_mean", "running_var")
    missing = [f"{norm}.{field}" for field in fields if f"{norm}.{field}" not in state]
    if missing:
        raise ValueError(f"the state lacks {', '.join(missing)}")
    weight, bias, mean, variance = (
        state[f"{norm}.{field}"].detach().to(torch.float64) for field in fields
    )
    scale = weight / torch.sqrt(variance + BATCH_NORM_EPS)
    dtype = state[f"{norm}.weight"].dtype
    return scale.to(dtype), (bias - mean * scale).to(dtype)
