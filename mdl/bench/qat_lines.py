"""A step of quantization-aware training against its layers alone, with ready-made weights."""

from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from analysis.compress.qat_network import new_qat_network
from analysis.compress.qat_training import QATSettings, QATTraining
from mdl.bench.lines import Line
from mdl.bench.settings import DTYPES, IMAGE_SIZE, BenchSettings
from mdl.bench.step_lines import NORMALIZATION, NUM_CLASSES, random_images
from mdl.timing.floors import MatmulPeak, make_copy, step_flop
from mdl.timing.rounds import time_rounds
from training.data.input_map import InputMap
from training.spec.architectures import LayerSpec, NetworkSpec
from training.spec.config import Precision

_STEPS_PER_EPOCH = 16
_PENALTY = 1e-5
_LAYERS, _MATMUL, _COPY = "layers", "matmul", "copy"


def measure_qat(settings: BenchSettings, peaks: dict[str, MatmulPeak]) -> Iterator[Line]:
    """tiny-conv's step in each arithmetic that it has here.

    The floor is the layers' products, forward and backward, by torch's own functions from weights
    and inputs that are ready. The facts have the operations and bytes of these products and how
    long the matmul peak and a copy take for them.

    Args:
        settings: Width and batch.
        peaks: The fastest matrix product by arithmetic.
    """
    width, batch_size = settings.qat
    spec = NetworkSpec(
        name="tiny-conv", image_size=IMAGE_SIZE, num_classes=NUM_CLASSES, base_channels=width
    )
    for precision in settings.precisions:
        if precision in ("bf16", "fp32"):
            yield _measure_step(spec, batch_size, precision, settings, peaks[precision])


def _measure_step(
    spec: NetworkSpec,
    batch_size: int,
    precision: Precision,
    settings: BenchSettings,
    peak: MatmulPeak,
) -> Line:
    dtype = DTYPES[precision]
    flop, num_bytes = step_flop(spec, batch_size), _product_bytes(spec, batch_size, dtype)
    images = random_images(_STEPS_PER_EPOCH * batch_size, settings.device)
    training = QATTraining(
        new_qat_network(spec, max_level=1, seed=0).to(settings.device),
        images,
        InputMap(NORMALIZATION),
        QATSettings(epochs=10**6, batch_size=batch_size, ramp=0.0, precision=precision),
        penalty=lambda *_: _PENALTY,
    )
    for _ in range(_STEPS_PER_EPOCH):  # the first epoch has no penalty
        training.take_step()
    layers = [_make_products(layer, batch_size, dtype, settings.device) for layer in spec.layers]
    timings = time_rounds(
        {
            "step": training.take_step,
            _LAYERS: lambda: [run() for run in layers],
            _MATMUL: peak.run,
            _COPY: make_copy(num_bytes, settings.device),
        },
        settings.pace,
    )
    step, products = timings["step"], timings[_LAYERS]
    return Line(
        piece=f"{spec.name} α={spec.base_channels}, batch {batch_size}, {precision}",
        amount=batch_size,
        unit="images",
        timing=step,
        floor="the layers' products alone, forward and backward, with ready-made weights",
        floor_s=products.median,
        facts={
            "network": spec.name,
            "num_weights": spec.num_weights,
            "precision": precision,
            "flop": flop,
            "bytes": num_bytes,
            "peak_seconds": flop * timings[_MATMUL].median / peak.flop,
            "copy_seconds": timings[_COPY].median,
        },
    )


def _product_bytes(spec: NetworkSpec, batch_size: int, dtype: torch.dtype) -> int:
    """What the products read and write of inputs, outputs and their gradients, each once a product.

    The first layer's inputs need no gradient.
    """
    first = spec.layers[0]
    values = sum(3 * (layer.in_features + layer.out_features) for layer in spec.layers)
    return batch_size * dtype.itemsize * (values - first.in_features - first.out_features)


def _make_products(
    layer: LayerSpec, batch_size: int, dtype: torch.dtype, device: torch.device
) -> Callable[[], object]:
    """A layer forward and backward: gradients of weights, bias and, but for the first, inputs."""
    if layer.kernel is None:
        shapes: list[tuple[int, ...]] = [(batch_size, layer.in_features), layer.weight_shape]
        padding = 0
    else:
        padding = 0 if layer.edge_padding else layer.padding
        side = layer.in_size + 2 * (layer.padding - padding)
        kernel = (layer.out_channels, layer.in_channels, layer.kernel, layer.kernel)
        shapes = [(batch_size, layer.in_channels, side, side), kernel]
    shapes.append((shapes[1][0],))
    tensors: list[Tensor] = []
    for shape in shapes:
        tensor = torch.randn(shape, device=device).to(dtype)
        if len(shape) == 4:
            tensor = tensor.contiguous(memory_format=torch.channels_last)
        tensors.append(tensor.requires_grad_())
    inputs, weight, bias = tensors
    inputs.requires_grad_(not layer.edge_padding)

    def run() -> Tensor:
        if layer.kernel is None:
            return F.linear(inputs, weight, bias)
        return F.conv2d(inputs, weight, bias, layer.stride, padding)

    gradient = torch.randn_like(run())
    wanted = [each for each in tensors if each.requires_grad]
    return lambda: torch.autograd.grad(run(), wanted, gradient)
