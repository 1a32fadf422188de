"""The base of every network: modules from the table of layers, one step of the forward pass."""

from abc import abstractmethod

import torch
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
    in the folded form a `ScaleShift` that holds one scale and one shift per unit.

    BatchNorm goes per channel behind "conv" layers (per kernel in tiny-conv) and per unit behind
    "local" and "dense" ones.
    It computes in the type of its own parameters, so under autocast it stays in float32.
    Weights and the last bias start from U(-1/√fan_in, 1/√fan_in), BatchNorm from 1 and 0.

    Args:
        spec: The network.
        dropout: Probability of dropping an input of the last two layers of group "fc" while
            training (ResNet18 has one such layer), in [0, 1).
        folded: Whether `ScaleShift` takes the place of BatchNorm.

    Raises:
        ValueError: `dropout` outside [0, 1).
    """

    def __init__(self, spec: NetworkSpec, *, dropout: float = 0.0, folded: bool = False) -> None:
        super().__init__()
        if not 0 <= dropout < 1:
            raise ValueError(f"dropout must lie in [0, 1), not {dropout}")
        self.spec = spec
        self.dropout = dropout
        self.drop = nn.Dropout(dropout)
        self.folded = folded
        self.table = {layer.name: layer for layer in spec.layers}
        head = [layer.name for layer in spec.layers if layer.group == "fc"]
        self._dropped = frozenset(head[-NUM_DROPPED_LAYERS:])
        for layer in spec.layers:
            self.add_module(layer.name, _make_layer(layer))
            if layer.normalized:
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
        if layer.kind == "conv":
            values = values.contiguous(memory_format=torch.channels_last)
        if name in self._dropped:
            values = self.drop(values)
        values = self.get_submodule(name)(values)
        if not layer.normalized:
            return values
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


def _make_layer(layer: LayerSpec) -> nn.Module:
    if layer.kind == "dense" or layer.kernel is None:
        return nn.Linear(layer.in_features, layer.out_features, bias=not layer.normalized)
    if layer.kind == "local":
        return LocallyConnected2d(
            layer.in_channels, layer.out_channels, layer.in_size, layer.kernel, layer.stride
        )
    if layer.symmetries > 1:
        return SymmetricConv2d(layer)
    if layer.kernel == 1 or layer.in_size == 1:
        return PixelwiseConv2d(layer.in_channels, layer.out_channels, layer.kernel, layer.stride)
    return nn.Conv2d(
        layer.in_channels, layer.out_channels, layer.kernel, layer.stride, layer.padding, bias=False
    )


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
