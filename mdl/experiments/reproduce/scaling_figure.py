"""What Figure 1 shows, gathered from the formulas: diagrams, and weights by width and by side."""

from analysis.scaling.formulas import (
    TABLE_1_BASE_CHANNELS,
    TABLE_1_IMAGE_SIZE,
    TABLE_1_IN_CHANNELS,
    TABLE_1_NUM_CLASSES,
)
from analysis.scaling.growth import (
    BYTES_PER_WEIGHT,
    V100_MEMORY_GIB,
    curves_by_side,
    curves_by_width,
    describe_blocks,
    max_weights,
)
from figures.scaling import ScalingFigure

_CURVE_WIDTHS = tuple(2**power for power in range(11))
_CURVE_SIDES = (16, 32, 64, 128, 256)


def scaling_figure(
    *,
    image_size: int = TABLE_1_IMAGE_SIZE,
    num_classes: int = TABLE_1_NUM_CLASSES,
    in_channels: int = TABLE_1_IN_CHANNELS,
    base_channels: int | None = None,
    memory_gib: float = V100_MEMORY_GIB,
    bytes_per_weight: float = BYTES_PER_WEIGHT,
) -> ScalingFigure:
    """Figure 1, as in the paper where nothing else is asked for.

    Args:
        image_size: s, side of the images in pixels.
        num_classes: c.
        in_channels: Channels of the images.
        base_channels: α of the curves by side; None for 15 and 150, as in Table 1.
        memory_gib: Memory of the GPU in units of 2³⁰ bytes.
        bytes_per_weight: What training keeps for a weight.

    Raises:
        ValueError: A value outside its range.
    """
    widths = TABLE_1_BASE_CHANNELS
    width_note = ", ".join(f"{family}-: α = {width}" for family, width in widths.items())
    if base_channels is not None:
        widths = dict.fromkeys(widths, base_channels)
        width_note = f"α = {base_channels}"
    return ScalingFigure(
        diagrams={
            name: describe_blocks(
                name, image_size=image_size, num_classes=num_classes, in_channels=in_channels
            )
            for name in ("d-conv", "s-conv")
        },
        by_width=curves_by_width(
            _CURVE_WIDTHS, image_size=image_size, num_classes=num_classes, in_channels=in_channels
        ),
        by_side=curves_by_side(
            _CURVE_SIDES, num_classes=num_classes, in_channels=in_channels, base_channels=widths
        ),
        width_note=f"s = {image_size}, c = {num_classes}",
        side_note=f"{width_note}, c = {num_classes}",
        limit=max_weights(memory_gib, bytes_per_weight),
        limit_note=f"16-bit V100\n{memory_gib:g} GiB at {bytes_per_weight:g} bytes a weight",
    )
