"""Training as public code has it, right and slow: plain networks, optimizers and steps."""

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from training.data.image_set import ImageSet
from training.networks.layers import PixelwiseConv2d
from training.spec.architectures import LayerSpec, NetworkSpec
from training.spec.config import TrainConfig

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
        ValueError: A tiny network, which plain modules do not make.
    """
    if spec.layers[0].symmetries > 1:
        raise ValueError(f"{spec.name} has no naive form: its kernels turn")
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


@torch.no_grad()
def step_by_indexing(
    params: Sequence[Tensor], *, lr: float, l1_coef: float, threshold: float
) -> None:
    """One step of Algorithm 1 in place: temporaries, then a boolean index for what is cut.

    The usual form: right, and many times slower than memory.
    """
    for param in params:
        step = _gradient(param) + l1_coef * torch.sign(param)
        param.copy_(param - lr * step)
        param[torch.abs(param) < threshold] = 0.0


@torch.no_grad()
def step_by_mask(params: Sequence[Tensor], *, lr: float, l1_coef: float, threshold: float) -> None:
    """In place where it is easy, then a product with a mask."""
    for param in params:
        param.sub_(lr * (_gradient(param) + l1_coef * torch.sign(param)))
        param.mul_((param.abs() >= threshold).to(param.dtype))


@torch.no_grad()
def step_by_foreach(
    params: Sequence[Tensor], *, lr: float, l1_coef: float, threshold: float
) -> None:
    """Operations on lists of tensors, one pass over all of them for each."""
    weights = list(params)
    steps = torch._foreach_sign(weights)
    torch._foreach_mul_(steps, l1_coef)
    torch._foreach_add_(steps, [_gradient(param) for param in weights])
    torch._foreach_mul_(steps, lr)
    torch._foreach_sub_(weights, steps)
    sizes = torch._foreach_abs(weights)
    masks = [(size >= threshold).to(size.dtype) for size in sizes]
    torch._foreach_mul_(weights, masks)


NAIVE_FORMS = {
    "temporaries, boolean index": step_by_indexing,
    "product with a mask": step_by_mask,
    "_foreach": step_by_foreach,
}


def _gradient(param: Tensor) -> Tensor:
    if param.grad is None:
        raise ValueError("a parameter has no gradient; run a backward pass first")
    return param.grad


class NaiveStep:
    """One step on inputs that are normalised already; call it to take it.

    The loader is left out of it, which in public code is not free: the augmentation's lines have
    it. β-lasso is the form with temporaries and boolean indices; SGD is torch's own.

    Args:
        spec: The network.
        config: Its optimizer's values.
        batch: The images of every step.
        precision: "bf16" or "fp16" under autocast, or "fp32".
    """

    def __init__(
        self, spec: NetworkSpec, config: TrainConfig, batch: ImageSet, *, precision: str
    ) -> None:
        device = batch.images.device
        self.config = config
        self.inputs: Tensor = (batch.images.to(torch.float32) / 255 - 0.5) / 0.25
        self.labels = batch.labels
        self.network = build_naive(spec).to(device)
        self.low = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(precision)
        self.sgd = torch.optim.SGD(
            self.network.parameters(),
            lr=config.lr,
            momentum=config.momentum,
            weight_decay=config.weight_decay,
        )

    def __call__(self) -> None:
        """Forward, backward, optimizer."""
        config, device = self.config, self.inputs.device
        self.network.zero_grad()
        with torch.autocast(device.type, dtype=self.low, enabled=self.low is not None):
            loss = F.cross_entropy(self.network(self.inputs), self.labels)
        loss.backward()  # type: ignore[no-untyped-call]
        if config.method == "sgd":
            self.sgd.step()
            return
        step_by_indexing(
            list(self.network.parameters()),
            lr=config.lr,
            l1_coef=config.l1_conv,
            threshold=config.beta * config.l1_conv,
        )
