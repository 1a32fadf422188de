"""Operations of one training step, from a network's table of layers. No torch."""

from training.spec.architectures import LayerSpec, NetworkSpec


def multiplications(layer: LayerSpec) -> int:
    """Multiply-accumulates of a layer for one image: weights, times positions where shared."""
    return layer.out_features * layer.fan_in


def step_flop(spec: NetworkSpec, batch_size: int) -> int:
    """Operations of the matrix products of a step: 2 a multiply-accumulate.

    The forward pass takes one product a layer, the backward pass two: gradients of weights and of
    inputs. The first layer's inputs are images, which need none.

    >>> spec = NetworkSpec(name="s-fc", image_size=32, num_classes=10, base_channels=150)
    >>> round(step_flop(spec, 512) / 1e9)
    666
    """
    first, *rest = spec.layers
    products = 2 * multiplications(first) + 3 * sum(multiplications(layer) for layer in rest)
    return 2 * batch_size * products
