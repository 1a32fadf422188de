"""Builds the networks of the paper by name, from their tables of layers."""

import torch
from torch import Tensor

from training.networks.network import Network, is_folded
from training.networks.resnet import ResNet18
from training.networks.tiny_conv import TinyConv
from training.spec.architectures import NetworkSpec

__all__ = ["LayeredNetwork", "Network", "build_model", "build_network", "network_from_state"]


class LayeredNetwork(Network):
    """The d-, s- and 3-fc networks: layer, BatchNorm, ReLU in a row, then the last layer."""

    def compute_logits(self, images: Tensor) -> Tensor:
        """The forward pass on images that `forward` has checked."""
        *hidden, last = self.table
        values = images
        for name in hidden:
            values = self.apply_layer(name, values, relu=True)
        return self.apply_layer(last, values)


def build_network(spec: NetworkSpec, *, dropout: float = 0.0, folded: bool = False) -> Network:
    """The network that `spec` describes, freshly initialised, in training mode.

    Args:
        spec: Name and sizes.
        dropout: Probability of dropping an input of the last two fc layers, in [0, 1).
        folded: Whether a scale and a shift per unit take the place of BatchNorm.

    >>> spec = NetworkSpec(name="s-conv", image_size=8, num_classes=10, base_channels=1)
    >>> [name for name, _ in build_network(spec).named_parameters()][:3]
    ['conv1.weight', 'conv1_norm.weight', 'conv1_norm.bias']
    """
    kinds: dict[str, type[Network]] = {"resnet18": ResNet18, "tiny-conv": TinyConv}
    kind = kinds.get(spec.name, LayeredNetwork)
    return kind(spec, dropout=dropout, folded=folded)


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
        base_channels: α, channels of the first convolution (tiny-conv: kernels of each); every
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
