"""Counting errors in exact integers against a float32 forward pass of the same network."""

from collections.abc import Iterator

import torch

from analysis.certify.errors import count_certified_errors
from mdl.bench.lines import Line
from mdl.bench.settings import IMAGE_SIZE, BenchSettings
from mdl.bench.step_lines import NORMALIZATION, NUM_CLASSES, random_images
from mdl.timing.rounds import time_rounds
from training.data.input_map import InputMap
from training.networks.models import Network, build_model, fold_batch_norm

_COUNTED = (
    ("s-fc", 1.0),
    ("s-fc", 0.04),
    ("s-fc", 0.01),
    ("s-local", 1.0),
    ("s-conv", 1.0),
    ("resnet18", 1.0),
)
"""Networks, and the share of the weights that are not zero in all layers but the last."""
_NUM_IMAGES = 512
_COUNT, _FORWARD = "count", "forward"


def measure_counts(settings: BenchSettings) -> Iterator[Line]:
    """The stated evaluation of random images, from a network in float32 to its number of errors.

    The floor is torch's forward pass of the same images, in float32 and dense whatever the zeros.

    Args:
        settings: α of the networks.
    """
    cpu = torch.device("cpu")
    images, inputs = random_images(_NUM_IMAGES, cpu), InputMap(NORMALIZATION)
    for name, density in _COUNTED:
        network = _make_network(name, settings.coded_channels, density)
        batch = inputs(images.images)
        with torch.no_grad():
            timings = time_rounds(
                {
                    _COUNT: lambda: count_certified_errors(network, images, inputs),  # noqa: B023
                    _FORWARD: lambda: network(batch),  # noqa: B023  # called in this round alone
                },
                settings.cpu_pace,
            )
        yield Line(
            piece=f"count errors, {name} α={settings.coded_channels} at {density:.0%} density",
            amount=_NUM_IMAGES,
            unit="images",
            timing=timings[_COUNT],
            floor="dense float32 forward pass of the same network in torch",
            floor_s=timings[_FORWARD].median,
        )


def _make_network(name: str, base_channels: int, density: float) -> Network:
    generator = torch.Generator().manual_seed(0)
    network = build_model(
        name, image_size=IMAGE_SIZE, num_classes=NUM_CLASSES, base_channels=base_channels
    )
    for layer in network.spec.layers[:-1]:
        weight = network.get_parameter(f"{layer.name}.weight")
        weight.data[torch.rand(weight.shape, generator=generator) >= density] = 0
    return fold_batch_norm(network.eval())
