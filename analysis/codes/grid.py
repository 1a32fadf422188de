"""How a tensor is laid out for its code: rows of planes of lines of positions.

A row holds the weights of one output unit. Where it looks at an image, planes are input channels
and lines are rows of pixels (or of the kernel); else a row is one plane of lines of 32 weights.
Layers that see an image also know where each unit's own place in it is: the middle of a kernel, or
the pixel that a dense unit's convolutional twin would stand on. All of this follows from the table
of layers, so it costs no bits.
"""

from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.typing import NDArray

from analysis.codes.kernels.support_kernel import FIXED_CENTRE, NO_CENTRE, UNIT_CENTRE
from training.spec.architectures import LayerSpec

PLAIN_WIDTH = 32
_SMALL_RADIUS = 1


@dataclass(frozen=True, kw_only=True)
class Grid:
    """Layout of a matrix of weights.

    Attributes:
        num_rows: Output units.
        num_columns: Weights of each, at most planes x lines x width; what is over is not there.
        num_planes: Input channels, or 1.
        num_lines: Lines of a plane.
        width: Weights of a line.
        centre: Whether rows have a place in the image: none, one for all, or one a unit.
        side: With one a unit, rows are units (channel, y, x) of side x side.
        stride: Pixels from one unit's place to the next one's.
        middle: With one for all, its line and its column.
        radius: Distances from the place fall into zones at 1, 2 and 4 times this.
    """

    num_rows: int
    num_columns: int
    num_planes: int
    num_lines: int
    width: int
    centre: int = NO_CENTRE
    side: int = 1
    stride: int = 1
    middle: int = 0
    radius: int = _SMALL_RADIUS

    @property
    def has_image(self) -> bool:
        """Whether its lines lie below one another in an image."""
        return self.num_lines * self.width * self.num_planes == self.num_columns and (
            self.centre != NO_CENTRE or self.width != PLAIN_WIDTH or self.num_planes > 1
        )

    def as_array(self) -> NDArray[np.int64]:
        """The fields in the order that the kernels know."""
        return np.array(
            [
                self.num_rows,
                self.num_columns,
                self.num_planes,
                self.num_lines,
                self.width,
                self.centre,
                self.side,
                self.stride,
                self.middle,
                self.radius,
            ],
            dtype=np.int64,
        )


def layer_grid(layer: LayerSpec) -> Grid:
    """The layout of a layer's weight tensor, as `LayerSpec.weight_shape` has it.

    >>> from training.spec.architectures import NetworkSpec
    >>> spec = NetworkSpec(name="s-fc", image_size=32, num_classes=10, base_channels=2)
    >>> grid = layer_grid(spec.layers[0])
    >>> grid.num_rows, grid.num_planes, grid.num_lines, grid.width, grid.side, grid.stride
    (512, 3, 32, 32, 16, 2)
    """
    shape = layer.weight_shape
    if layer.kind == "dense" or layer.kernel is None:
        rows = layer.out_features
        if layer.in_size == 1:
            return plain_grid(rows, layer.in_features)
        place = {}
        if layer.kernel is not None:
            place = {
                "centre": UNIT_CENTRE,
                "side": layer.out_size,
                "stride": layer.stride,
                "radius": max(layer.padding, _SMALL_RADIUS),
            }
        return _image_grid(rows, layer.in_channels, layer.in_size, layer.in_size, place)
    place = {"centre": FIXED_CENTRE, "middle": layer.kernel // 2}
    area = layer.kernel**2
    rows = shape[0] if layer.kind == "conv" else shape[0] * shape[1]
    num_planes = prod(shape) // rows // area
    return _image_grid(rows, num_planes, layer.kernel, layer.kernel, place)


def shape_grid(shape: tuple[int, ...]) -> Grid:
    """The layout of a tensor of which only the shape is known: four dimensions are kernels."""
    if len(shape) == 4:
        rows, planes, lines, width = shape
        return _image_grid(rows, planes, lines, width, {})
    return plain_grid(shape[0], prod(shape[1:]))


def plain_grid(num_rows: int, num_columns: int) -> Grid:
    """Rows without an image."""
    width = max(min(num_columns, PLAIN_WIDTH), 1)
    return Grid(
        num_rows=num_rows,
        num_columns=num_columns,
        num_planes=1,
        num_lines=-(-num_columns // width),
        width=width,
    )


def _image_grid(
    num_rows: int, num_planes: int, num_lines: int, width: int, place: dict[str, int]
) -> Grid:
    return Grid(
        num_rows=num_rows,
        num_columns=num_planes * num_lines * width,
        num_planes=num_planes,
        num_lines=num_lines,
        width=width,
        **place,
    )
