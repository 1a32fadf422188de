"""A made-up s-fc checkpoint of a given density: what the lines of files and bits work on."""

import torch

from mdl.bench.settings import IMAGE_SIZE
from training.checkpoint.checkpoint import Checkpoint
from training.networks.models import build_network
from training.spec.architectures import NetworkSpec
from training.spec.normalization import Normalization

DENSITY = 0.01


def make_checkpoint(base_channels: int, *, density: float = DENSITY) -> Checkpoint:
    """An s-fc with each weight kept with probability `density`, the others zero.

    Args:
        base_channels: α.
        density: In (0, 1].
    """
    spec = NetworkSpec(
        name="s-fc", image_size=IMAGE_SIZE, num_classes=10, base_channels=base_channels
    )
    generator = torch.Generator().manual_seed(0)
    state = build_network(spec).state_dict()
    for layer in spec.layers:
        weight = state[f"{layer.name}.weight"]
        weight.masked_fill_(torch.rand(weight.shape, generator=generator) >= density, 0)
    return Checkpoint(
        network=spec,
        state=state,
        normalization=Normalization(mean=(0.5,) * 3, std=(0.25,) * 3, source="fixed"),
    )


def state_bytes(checkpoint: Checkpoint) -> int:
    """Bytes of the dense state."""
    return sum(tensor.nbytes for tensor in checkpoint.state.values())
