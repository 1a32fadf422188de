"""The networks of plain torch modules, as public code has them: the step's baseline."""

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from training.networks.layers import PixelwiseConv2d
from training.spec.architectures import LayerSpec, NetworkSpec

_NUM_STAGES = 4
_BLOCKS_PER_STAGE = 2


class NaiveLocal(nn.Module):
    """A locally connected layer by `F.unfold` and `einsum`."""

    def __init__(self, layer: LayerSpec) -> None:
        super().__init__()
        self.layer = layer
        bound = layer.fan_in**-0.5
        self.weight = nn.Parameter(torch.empty(layer.weight_shape).uniform_(-bound, bound))

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, s, s) to (N, channels, out_size, out_size)."""
        layer = self.layer
        patches = F.unfold(images, layer.kernel or 1, padding=layer.padding, stride=layer.stride)
        outputs = torch.einsum("nkp,pok->nop", patches, self.weight)
        return outputs.view(*outputs.shape[:2], layer.out_size, layer.out_size)


class NaiveResidual(nn.Module):
    """A block of ResNet18."""

    def __init__(self, first: LayerSpec, second: LayerSpec, shortcut: LayerSpec | None) -> None:
        super().__init__()
        self.body = nn.Sequential(*_modules(first), nn.ReLU(), *_modules(second))
        self.shortcut = nn.Sequential(*(() if shortcut is None else _modules(shortcut)))

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, s, s) to (N, channels, out_size, out_size)."""
        return F.relu(self.body(images) + self.shortcut(images))


def build_naive(spec: NetworkSpec) -> nn.Module:
    """A network from its table of layers; its weights are drawn as torch draws them.

    Raises:
        ValueError: tiny-conv, which plain modules do not make.
    """
    if spec.name == "tiny-conv":
        raise ValueError("tiny-conv has no naive form: its kernels turn")
    if spec.name == "resnet18":
        return _build_resnet(spec)
    modules: list[nn.Module] = []
    if spec.layers[0].kind == "dense":
        modules.append(nn.Flatten())
    for layer, following in pairwise((*spec.layers, None)):
        assert layer is not None
        modules += _modules(layer)
        if following is not None:
            modules.append(nn.ReLU())
            if layer.kind != "dense" and following.kind == "dense":
                modules.append(nn.Flatten())
    return nn.Sequential(*modules)


def _build_resnet(spec: NetworkSpec) -> nn.Module:
    table = {layer.name: layer for layer in spec.layers}
    modules: list[nn.Module] = [*_modules(table["conv1"]), nn.ReLU()]
    for stage in range(1, _NUM_STAGES + 1):
        for block in range(1, _BLOCKS_PER_STAGE + 1):
            name = f"stage{stage}_block{block}"
            modules.append(
                NaiveResidual(
                    table[f"{name}_conv1"], table[f"{name}_conv2"], table.get(f"{name}_shortcut")
                )
            )
    modules += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), *_modules(table["fc"])]
    return nn.Sequential(*modules)


def _modules(layer: LayerSpec) -> list[nn.Module]:
    """A layer and its BatchNorm, which is a channel's everywhere but behind dense layers."""
    if layer.kind == "dense":
        linear = nn.Linear(layer.in_features, layer.out_features, bias=not layer.normalized)
        return [linear, nn.BatchNorm1d(layer.out_features)] if layer.normalized else [linear]
    if layer.kind == "local":
        return [NaiveLocal(layer), nn.BatchNorm2d(layer.out_channels)]
    sizes = (layer.in_channels, layer.out_channels, layer.kernel or 1, layer.stride)
    # Plain torch's own crashes or hangs on some processors: see `PixelwiseConv2d`.
    is_pixelwise = layer.kernel == 1 or layer.in_size == 1
    conv = (
        PixelwiseConv2d(*sizes)
        if is_pixelwise
        else nn.Conv2d(*sizes, padding=layer.padding, bias=False)
    )
    return [conv, nn.BatchNorm2d(layer.out_channels)]
