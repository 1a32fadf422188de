"""One training step of a network, each of its products held against float64.

The tensors are those that really went into a layer and came back to it in `TrainingState`'s own
step, in the memory layout that the network chose; so is the arithmetic.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

import training.networks.models
from tests.products.reference import layer_outputs, scaled, standardized
from training.data.image_set import ImageSet
from training.data.input_map import InputMap
from training.distributed.run_options import RunOptions
from training.run.state import TrainingState
from training.spec.config import TrainConfig
from training.spec.normalization import fixed_normalization

NUM_CLASSES = 10
PRECISIONS = ("fp32", "bf16")
_TOLERANCES = {"fp32": 5e-4, "bf16": 2e-2}
"""In float32 a serial sum over 16,384 pixels of which a tenth is left was off by 2.1e-4."""
_NORM_TOLERANCE = 1e-3  # torch adds up a channel's float32 values one by one, channels last.
_CANCELLED = 0.1
"""What is left of a sum's terms below which its rounding is measured by the terms. So it is with
the gradient of a scale whose layer the next BatchNorm makes invariant to it."""


@dataclass(frozen=True, kw_only=True)
class StepCase:
    """A step of one network.

    Attributes:
        network: Its name.
        width: α, or the hidden units of 3-fc.
        precision: "fp32" or "bf16".
        image_size: s.
        in_channels: Channels of the images.
        batch_size: Images of the step.
        kernel_size: ResNet18's.
    """

    network: str
    width: int
    precision: str
    image_size: int = 32
    in_channels: int = 3
    batch_size: int = 64
    kernel_size: int | None = None

    def __str__(self) -> str:
        kernel = "" if self.kernel_size is None else f" k={self.kernel_size}"
        return (
            f"{self.network} width {self.width}{kernel}, {self.in_channels}x{self.image_size}x"
            f"{self.image_size}, batch {self.batch_size}, {self.precision}"
        )


@dataclass
class _Record:
    """Tensors of one layer or normalisation: what went in, came out, and came back."""

    module: nn.Module
    inputs: Tensor
    outputs: Tensor
    weight: Tensor
    bias: Tensor | None = None
    residual: Tensor | None = None
    has_relu: bool = False
    gradients: dict[str, Tensor] = field(default_factory=dict)

    def keep(self, name: str, tensor: Tensor) -> None:
        """Keep the gradient that comes to `tensor`, if one does."""
        if tensor.requires_grad:
            tensor.register_hook(lambda grad: self.gradients.__setitem__(name, grad.clone()))


def tolerance(product: str, precision: str) -> float:
    """Largest distance from float64 that is right, as a share of the reference's norm.

    bfloat16 rounds results by 2⁻⁹. Faults of the kind that is sought here are near 1 or far above.
    """
    return max(_TOLERANCES[precision], _NORM_TOLERANCE if "_norm " in product else 0)


def measure_step(case: StepCase) -> dict[str, float]:
    """Take one step and measure all its products.

    Returns:
        "conv1 weight gradient" and the like to the distance from float64, as a share of the
        reference's norm; NaN counts as infinitely far.
    """
    state = _make_state(case)
    state.begin_epoch()
    with _recording(state.network) as records:
        state.take_step()
    return {
        f"{name} {what}": error
        for name, record in records.items()
        for what, error in _compare(record).items()
    }


def _make_state(case: StepCase) -> TrainingState:
    settings: dict[str, Any] = {
        "hidden_units" if case.network == "3-fc" else "base_channels": case.width
    }
    config = TrainConfig(
        network=case.network,
        method="sgd",
        lr=1e-3,
        batch_size=case.batch_size,
        seed=1,
        kernel_size=case.kernel_size,
        precision=case.precision,
        **settings,  # type: ignore[arg-type]
    )
    generator = torch.Generator().manual_seed(0)
    shape = (case.batch_size, case.in_channels, case.image_size, case.image_size)
    images = torch.randint(256, shape, generator=generator, dtype=torch.uint8)
    labels = torch.randint(NUM_CLASSES, (case.batch_size,), generator=generator)
    spec = config.network_spec(
        image_size=case.image_size, num_classes=NUM_CLASSES, in_channels=case.in_channels
    )
    return TrainingState(
        config=config,
        spec=spec,
        train_set=ImageSet(images, labels),
        inputs=InputMap(fixed_normalization(case.in_channels)),
        options=RunOptions(),
    )


@contextmanager
def _recording(network: nn.Module) -> Iterator[dict[str, _Record]]:
    """Records of the next step by layer, and by "<layer>_norm"."""
    records: dict[str, _Record] = {}
    names = {module: name for name, module in network.named_modules()}

    def before(module: nn.Module, inputs: tuple[Tensor]) -> tuple[Tensor]:
        # An alias of its own, so that its gradient is what this layer alone gives back.
        return (inputs[0].view_as(inputs[0]),)

    def after(module: nn.Module, inputs: tuple[Tensor], outputs: Tensor) -> None:
        weight, bias = module.weight, getattr(module, "bias", None)
        assert isinstance(weight, Tensor)
        record = _Record(
            module,
            _copy(inputs[0]),
            _copy(outputs),
            _copy(weight),
            None if bias is None else _copy(bias),
        )
        for kind, tensor in (("input", inputs[0]), ("output", outputs), ("weight", weight)):
            record.keep(kind, tensor)
        records[names[module]] = record

    def normalize(
        values: Tensor, norm: nn.Module, *, residual: Tensor | None = None, relu: bool = True
    ) -> Tensor:
        values = values.view_as(values)
        if residual is not None:
            residual = residual.view_as(residual)
        weight, bias = norm.weight, norm.bias
        assert isinstance(weight, Tensor) and isinstance(bias, Tensor)
        # The values before the call: ReLU may work in place.
        record = _Record(
            norm,
            _copy(values),
            values,
            _copy(weight),
            _copy(bias),
            None if residual is None else _copy(residual),
            relu,
        )
        outputs = plain_normalize(values, norm, residual=residual, relu=relu)
        record.outputs = _copy(outputs)
        kept = {"input": values, "output": outputs, "weight": weight, "bias": bias}
        for kind, tensor in (kept if residual is None else {**kept, "residual": residual}).items():
            record.keep(kind, tensor)
        records[names[norm]] = record
        return outputs

    layers = [module for module in network.modules() if _is_layer(module)]
    hooks = [layer.register_forward_pre_hook(before) for layer in layers]
    hooks += [layer.register_forward_hook(after) for layer in layers]
    plain_normalize = training.networks.models.normalize
    training.networks.models.normalize = normalize
    try:
        yield records
    finally:
        training.networks.models.normalize = plain_normalize
        for hook in hooks:
            hook.remove()


def _is_layer(module: nn.Module) -> bool:
    return isinstance(getattr(module, "weight", None), Tensor) and not _is_norm(module)


def _is_norm(module: nn.Module) -> bool:
    return isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d)


def _copy(tensor: Tensor) -> Tensor:
    return tensor.detach().clone()


def _compare(record: _Record) -> dict[str, float]:
    """Distances of outputs and gradients from those of the reference, by what they are of."""
    parts = {
        "input": record.inputs,
        "weight": record.weight,
        "bias": record.bias,
        "residual": record.residual,
    }
    leaves = {
        name: tensor.double().requires_grad_()
        for name, tensor in parts.items()
        if tensor is not None
    }
    upstream = record.gradients["output"].double()
    wanted = [name for name in leaves if name in record.gradients]
    outputs, gradients = _differentiate(record, leaves, upstream, wanted)
    # The same sums with nothing that cancels: what their rounding is measured by.
    sizes = {
        name: (leaf if _is_norm(record.module) and name == "input" else leaf.abs())
        .detach()
        .requires_grad_()
        for name, leaf in leaves.items()
    }
    output_sizes, gradient_sizes = _differentiate(
        record, sizes, upstream.abs(), wanted, in_size=True
    )
    errors = {"outputs": _distance(record.outputs, outputs, output_sizes)}
    for name in wanted:
        found = record.gradients[name]
        errors[f"{name} gradient"] = _distance(found, gradients[name], gradient_sizes[name])
    return errors


def _differentiate(
    record: _Record,
    leaves: dict[str, Tensor],
    upstream: Tensor,
    wanted: list[str],
    *,
    in_size: bool = False,
) -> tuple[Tensor, dict[str, Tensor]]:
    """Outputs and the gradients of some leaves, in float64."""
    if _is_norm(record.module):
        values = standardized(leaves["input"], record.module, in_size=in_size)
        outputs = scaled(values, leaves["weight"], leaves["bias"]).view_as(record.outputs)
        if "residual" in leaves:
            outputs = outputs + leaves["residual"]
        if record.has_relu:
            outputs = outputs * (record.outputs > 0)  # as rounding decided who is negative
    else:
        outputs = layer_outputs(record.module, leaves["input"], leaves["weight"])
        if "bias" in leaves:
            outputs = outputs + leaves["bias"]
    gradients = torch.autograd.grad(outputs, [leaves[name] for name in wanted], upstream)
    return outputs, dict(zip(wanted, gradients, strict=True))


def _distance(found: Tensor, expected: Tensor, sizes: Tensor) -> float:
    """How far from the reference, as a share of its norm, or of its terms' if they cancel."""
    difference = (found.double() - expected.detach()).norm()
    scale = max(expected.detach().norm(), _CANCELLED * sizes.detach().norm())
    return float(torch.nan_to_num(difference / scale, nan=float("inf")))
