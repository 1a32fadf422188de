"""The first layer of an external network, told by the shape of its weight.

Of a state dict only names and shapes are known. A weight of four dimensions with at most four input
channels is a convolution that sees an image; one of two dimensions with as many inputs as an image
of one or three channels has pixels is a dense layer that may; and one of three, positions by
channels by the entries of a kernel, a locally connected layer. What was taken is to be said.
"""

from collections.abc import Mapping
from math import isqrt

from training.errors import ConfigError
from training.spec.architectures import LayerSpec
from training.system.text import shorten

_MOST_CHANNELS = 4
_CHANNELS = [3, 1]


def choose_first_layer(
    shapes: Mapping[str, tuple[int, ...]],
    *,
    layer: str | None = None,
    image_size: int | None = None,
    channels: int | None = None,
) -> LayerSpec:
    """The layer whose weights act on the image; its `name` is the name of its weight.

    Where no image size is known, a convolution's image is its own kernel.

    Args:
        shapes: Of the weights by name, in the order of the file.
        layer: The name of the weight, or of its layer; None chooses.
        image_size: Side of the images in pixels, if it is known.
        channels: Channels of the images, if they are known.

    Raises:
        ConfigError: There is no such weight, or its shape does not say that it sees an image.
    """
    if layer is not None:
        names = [name for name in shapes if layer in (name, name.rpartition(".")[0])]
        if not names:
            weights = [name for name, shape in shapes.items() if len(shape) in (2, 4)]
            listed = ", ".join(map(shorten, weights[:5])) + (", ..." if len(weights) > 5 else "")
            raise ConfigError.naming(
                "{layer} {} is no weight of it; it has {}", shorten(layer), listed
            )
        found = next(
            (
                found
                for name in names
                if (found := _layer(name, shapes[name], image_size, channels))
            ),
            None,
        )
        if found is None:
            raise ConfigError.naming(
                "{layer}: {} has shape {}, which is no layer on images; give {image_size} and "
                "{channels} of them, or another {layer}",
                shorten(names[0]),
                "x".join(map(str, shapes[names[0]])),
            )
        return found
    convolutions = {name: shape for name, shape in shapes.items() if len(shape) == 4}
    matrices = [
        name
        for name, shape in shapes.items()
        if (len(shape) == 2 and "embed" not in name.lower()) or _local_kernel(shape, channels)
    ]
    for most in (3, _MOST_CHANNELS):  # a depthwise kernel has one channel too
        for name, shape in convolutions.items():
            fits = shape[1] == channels if channels else shape[1] == 3 or most == _MOST_CHANNELS
            if (
                fits
                and shape[1] <= _MOST_CHANNELS
                and (found := _layer(name, shape, image_size, channels))
            ):
                return found
    for name in matrices[:1]:  # those behind it see what it makes of the image
        if found := _layer(name, shapes[name], image_size, channels):
            return found
    raise ConfigError.naming(
        "no weight has a shape that sees an image: a kernel of at most {} channels, or, in the "
        "first matrix, as many inputs as an image of 1 or 3 channels has pixels; give {image_size} "
        "and {channels}, or {layer}",
        _MOST_CHANNELS,
    )


def _layer(
    name: str, shape: tuple[int, ...], image_size: int | None, channels: int | None
) -> LayerSpec | None:
    """The layer of a weight; None where its shape does not fit the images."""
    if len(shape) not in (2, 3, 4) or min(shape) < 1:
        return None
    make = {2: _dense, 3: _local, 4: _convolution}[len(shape)]
    return make(name, shape, image_size, channels)


def _convolution(
    name: str, shape: tuple[int, ...], image_size: int | None, channels: int | None
) -> LayerSpec | None:
    kernel = max(shape[2:])
    if channels not in (None, shape[1]) or (image_size or kernel) < kernel:
        return None
    return LayerSpec(
        name=name,
        kind="conv",
        group="conv",
        in_channels=shape[1],
        in_size=image_size or kernel,
        out_channels=shape[0],
        out_size=image_size or 2 * ((kernel - 1) // 2) + 1,
        kernel=kernel,
    )


def _local(
    name: str, shape: tuple[int, ...], image_size: int | None, channels: int | None
) -> LayerSpec | None:
    kernel = _local_kernel(shape, channels)
    if kernel is None or image_size is None:
        return None
    side = isqrt(shape[0])
    stride = max(1, round(image_size / side))
    if -(-image_size // stride) != side:
        return None
    return LayerSpec(
        name=name,
        kind="local",
        group="conv",
        in_channels=kernel[0],
        in_size=image_size,
        out_channels=shape[1],
        out_size=side,
        kernel=kernel[1],
        stride=stride,
    )


def _dense(
    name: str, shape: tuple[int, ...], image_size: int | None, channels: int | None
) -> LayerSpec | None:
    for number in [channels] if channels else _CHANNELS:
        side = isqrt(shape[1] // number)
        if number * side**2 == shape[1] and side > 1 and image_size in (None, side):
            return LayerSpec(
                name=name,
                kind="dense",
                group="fc",
                in_channels=number,
                in_size=side,
                out_channels=shape[0],
                out_size=1,
            )
    return None


def _local_kernel(shape: tuple[int, ...], channels: int | None) -> tuple[int, int] | None:
    """Input channels and kernel of a locally connected layer, (positions, channels, entries)."""
    if len(shape) != 3 or min(shape) < 1 or shape[0] == 1 or isqrt(shape[0]) ** 2 != shape[0]:
        return None
    for number in [channels] if channels else _CHANNELS:
        kernel = isqrt(shape[2] // number)
        if number * kernel**2 == shape[2] and kernel > 1 and kernel % 2:
            return number, kernel
    return None
