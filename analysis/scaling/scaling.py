"""Tables 3 and 4 beside the exact numbers of weights, with every difference named.

The exact formulas are derived from the layer tables, the exact numbers are counted on them; where
the paper prints something else, the row carries the reason: a `Slip`.
"""

from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction

import sympy

from analysis.scaling.formulas import (
    PRINTED_LAYERS,
    PRINTED_TOTALS,
    TABLE_1_BASE_CHANNELS,
    TABLE_1_HIDDEN_UNITS,
    TABLE_1_IMAGE_SIZE,
    TABLE_1_IN_CHANNELS,
    TABLE_1_NUM_CLASSES,
    TABLE_1_SIZES,
    exact_layers,
    exact_total,
    substitute,
)
from analysis.scaling.growth import spec_of_width, width_of
from training.spec.architectures import LayerSpec, NetworkSpec


class Slip(StrEnum):
    """Why something printed differs from what is exact."""

    ERRATUM = "erratum"
    SMALL_TERMS = "small terms"
    CHANNELS = "channels"
    STRIDES = "strides"
    WIDTH = "width"


SLIP_REASONS: dict[Slip, str] = {
    Slip.ERRATUM: (
        "a local layer has kernel² · (input channels) weights for each output; the printed "
        "d-local column halves at every layer instead, which is right for d-fc only"
    ),
    Slip.SMALL_TERMS: "the printed total (≈) is not the sum of the printed layers",
    Slip.CHANNELS: "the printed formula assumes images of 3 channels",
    Slip.STRIDES: "the printed formula assumes that the strides divide s; sides round up",
    Slip.WIDTH: "d-conv's 1.45 M needs α = 15, where d-fc has 282 M; 256 M needs α ≈ 14.2",
}


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """One layer, or a total: what is printed beside what is exact.

    Attributes:
        layer: Name of the layer, or "total".
        printed: The paper's formula; None for a network that its tables leave out.
        exact: The derived formula; at a side that the strides do not divide it has ceilings.
        num_printed: Value of the printed formula, not always whole; None without one.
        num_exact: Weights counted on the layer table.
        slips: Why they differ; empty where they do not.
    """

    layer: str
    printed: sympy.Expr | None
    exact: sympy.Expr
    num_printed: Fraction | None
    num_exact: int
    slips: tuple[Slip, ...]


@dataclass(frozen=True, kw_only=True)
class NetworkScaling:
    """A network's layers and total, without biases and BatchNorm.

    Attributes:
        spec: The network.
        layers: One comparison a layer, in the order of the forward pass.
        total: The comparison of the sums.
        num_padding: Weights that look only at padding and so never act.
        num_convolutional: Weights of the layers that are, or correspond to, convolutions.
    """

    spec: NetworkSpec
    layers: tuple[Comparison, ...]
    total: Comparison
    num_padding: int
    num_convolutional: int


@dataclass(frozen=True, kw_only=True)
class PublishedComparison:
    """One size in Table 1 beside the exact one.

    Attributes:
        network: The row.
        column: "orig." or "fc-emb.".
        millions: Millions of weights as printed, with its digits.
        width: α (3-fc: h) at which the exact number is taken.
        num_exact: Weights at that width.
        slip: Why they differ by a unit of the last printed digit or more; None if they do not.
    """

    network: str
    column: str
    millions: str
    width: int
    num_exact: int
    slip: Slip | None


def compare(spec: NetworkSpec) -> NetworkScaling:
    """Compare what Tables 3 and 4 print for a network with what its layer table gives.

    >>> spec = NetworkSpec(name="d-local", image_size=32, num_classes=10, base_channels=15)
    >>> total = compare(spec).total
    >>> int(total.num_printed), total.num_exact, total.slips[0].value
    (3419520, 11713920, 'erratum')
    """
    ideal = exact_layers(spec.name, kernel_size=spec.kernel_size)
    exact = exact_layers(
        spec.name,
        in_channels=spec.in_channels,
        kernel_size=spec.kernel_size,
        image_size=spec.image_size,
    )
    rows = []
    for index, layer in enumerate(spec.layers):
        printed = PRINTED_LAYERS.get(spec.name, {}).get(layer.name)
        slips = []
        if printed is not None:
            if not _same(printed, ideal[layer.name]):
                slips.append(Slip.ERRATUM)
            if index == 0 and spec.in_channels != TABLE_1_IN_CHANNELS:
                slips.append(Slip.CHANNELS)
            if exact[layer.name].has(sympy.ceiling):
                slips.append(Slip.STRIDES)
        rows.append(
            Comparison(
                layer=layer.name,
                printed=printed,
                exact=exact[layer.name],
                num_printed=None if printed is None else _value(printed, spec),
                num_exact=layer.num_weights,
                slips=tuple(slips),
            )
        )
    return NetworkScaling(
        spec=spec,
        layers=tuple(rows),
        total=_compare_totals(spec, rows),
        num_padding=sum(num_padding_weights(layer) for layer in spec.layers),
        num_convolutional=sum(layer.num_weights for layer in spec.layers if layer.group == "conv"),
    )


def compare_published() -> list[PublishedComparison]:
    """Table 1's sizes beside the exact ones at s = 32, c = 10 and 3 channels.

    Agreement means less than a unit of the last printed digit apart: the paper rounds 1.446 to
    1.45 but cuts 147.6 to 147.
    """
    rows = []
    for name, published in TABLE_1_SIZES.items():
        spec = published_spec(name)
        embedding = spec if spec.family is None else spec.twin("fc")
        for column, millions, network in (
            ("orig.", published.original, spec),
            ("fc-emb.", published.fc_embedding, embedding),
        ):
            slip = None
            if not _agrees(millions, network.num_weights):
                printed = PRINTED_TOTALS.get(network.name)
                follows = printed is not None and _agrees(millions, _value(printed, network))
                slip = Slip.ERRATUM if follows else Slip.WIDTH
            rows.append(
                PublishedComparison(
                    network=name,
                    column=column,
                    millions=millions,
                    width=width_of(spec),
                    num_exact=network.num_weights,
                    slip=slip,
                )
            )
    return rows


def published_spec(name: str) -> NetworkSpec:
    """A network of Table 1 at the width that comes closest to its printed sizes."""
    return spec_of_width(
        name,
        TABLE_1_HIDDEN_UNITS if name == "3-fc" else TABLE_1_BASE_CHANNELS[name[0]],
        image_size=TABLE_1_IMAGE_SIZE,
        num_classes=TABLE_1_NUM_CLASSES,
        in_channels=TABLE_1_IN_CHANNELS,
    )


def num_padding_weights(layer: LayerSpec) -> int:
    """Weights of a layer that look only at zero padding, whatever the image: they never act.

    Rows and columns are alike and independent, so it is enough to count along one axis the
    (position, tap) pairs of a local layer, or the taps of a shared kernel, that meet the image.

    >>> spec = published_spec("s-local")
    >>> round(num_padding_weights(spec.layers[0]) / spec.layers[0].num_weights, 2)
    0.13
    """
    if layer.kind == "dense" or layer.kernel is None:
        return 0
    meets = [
        [
            0 <= position * layer.stride + tap - layer.padding < layer.in_size
            for tap in range(layer.kernel)
        ]
        for position in range(layer.out_size)
    ]
    if layer.kind == "local":
        num_acting = sum(map(sum, meets))
    else:
        num_acting = sum(map(any, zip(*meets, strict=True)))
    num_kernels = layer.out_channels // layer.symmetries
    return layer.num_weights - num_acting**2 * layer.channels_seen * num_kernels


def _compare_totals(spec: NetworkSpec, rows: list[Comparison]) -> Comparison:
    printed = PRINTED_TOTALS.get(spec.name)
    slips = {slip for row in rows for slip in row.slips}
    if printed is not None:
        layers = PRINTED_LAYERS[spec.name].values()
        if not _same(printed, sum(layer.doit() for layer in layers)):
            slips.add(Slip.SMALL_TERMS)
    exact = exact_total(
        spec.name,
        in_channels=spec.in_channels,
        kernel_size=spec.kernel_size,
        image_size=spec.image_size,
    )
    return Comparison(
        layer="total",
        printed=printed,
        exact=exact,
        num_printed=None if printed is None else _value(printed, spec),
        num_exact=spec.num_weights,
        slips=tuple(slip for slip in Slip if slip in slips),
    )


def _value(formula: sympy.Expr, spec: NetworkSpec) -> Fraction:
    value = substitute(
        formula, image_size=spec.image_size, num_classes=spec.num_classes, width=width_of(spec)
    )
    return Fraction(int(value.p), int(value.q))


def _agrees(millions: str, num_weights: int | Fraction) -> bool:
    num_decimals = len(millions.partition(".")[2])
    last_digit = Fraction(1, 10**num_decimals)
    return abs(Fraction(millions) - Fraction(num_weights) / 10**6) < last_digit


def _same(left: sympy.Expr, right: sympy.Expr) -> bool:
    return bool(sympy.expand(left.doit() - right.doit()) == 0)
