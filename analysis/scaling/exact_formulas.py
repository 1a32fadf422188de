"""Exact numbers of weights as formulas in s, α and c, derived from the layer tables.

Nothing here comes from the paper's Tables 3 and 4: kernels, multiples of α and strides are read off
`training.spec.architectures`. Biases and BatchNorm are left out, as in the paper.
"""

from collections import Counter

import sympy

from analysis.scaling.printed_formulas import ALPHA, CLASSES, SIDE, power, product
from training.spec.architectures import LayerSpec, NetworkSpec

HIDDEN = sympy.Symbol("h", positive=True, integer=True)  # units of each hidden layer of 3-fc
# A side that every stride divides and no layer shrinks to 1; ratios of sides are read off it.
_PROBE_SIZE = 64


def width_symbol(name: str) -> sympy.Symbol:
    """The symbol that scales a network: α, or h for 3-fc."""
    return HIDDEN if name == "3-fc" else ALPHA


def exact_layers(
    name: str,
    *,
    in_channels: int = 3,
    kernel_size: int | None = None,
    image_size: int | None = None,
) -> dict[str, sympy.Expr]:
    """Weights of each layer as formulas in s, c and α (3-fc: h).

    A convolution has kernel²·C_in·C_out weights, its local twin one such kernel for each of its
    out_size² positions, its dense twin (C_in·in_size²)·(C_out·out_size²).

    Args:
        name: One of `training.spec.architectures.NETWORKS`.
        in_channels: Channels of the images, >= 1.
        kernel_size: Kernel of ResNet18 (3 if not given); None for the others.
        image_size: A side s: where strides do not divide it the formula has a ceiling. None for
            the formulas that hold when all strides divide s.

    Returns:
        Layer name to formula, factors as written (9·2³·α²); `.doit()` works it out.

    Raises:
        ValueError: A value that `NetworkSpec` refuses.

    >>> exact_layers("d-local")["conv3"].doit()
    9*alpha**2*s**2
    """
    is_3fc = name == "3-fc"
    probe = NetworkSpec(
        name=name,
        image_size=_PROBE_SIZE,
        num_classes=2,
        in_channels=in_channels,
        base_channels=None if is_3fc else 1,
        hidden_units=1 if is_3fc else None,
        kernel_size=kernel_size,
    )
    first, last = probe.layers[0].name, probe.layers[-1].name
    return {
        layer.name: _layer_formula(
            layer,
            width_symbol(name),
            is_first=layer.name == first,
            is_last=layer.name == last,
            image_size=image_size,
        )
        for layer in probe.layers
    }


def exact_total(
    name: str,
    *,
    in_channels: int = 3,
    kernel_size: int | None = None,
    image_size: int | None = None,
) -> sympy.Expr:
    """Sum of `exact_layers` (same arguments), as a polynomial in α (3-fc: h).

    >>> exact_total("s-conv").doit()
    6*alpha**2*s**2 + alpha*(24*c + 243)
    """
    layers = exact_layers(
        name, in_channels=in_channels, kernel_size=kernel_size, image_size=image_size
    )
    total = sympy.expand(sum(layer.doit() for layer in layers.values()))
    terms = sympy.collect(total, width_symbol(name), evaluate=False)
    return sympy.Add(
        *(product(*sympy.Mul.make_args(factor), width) for width, factor in terms.items()),
        evaluate=False,
    )


def substitute(
    formula: sympy.Expr, *, image_size: int, num_classes: int, width: int | None = None
) -> sympy.Expr:
    """Put numbers for s, c and, if given, the width (α or h)."""
    values = {SIDE: image_size, CLASSES: num_classes}
    if width is not None:
        values |= {ALPHA: width, HIDDEN: width}
    return formula.doit().subs(values)


def _layer_formula(
    layer: LayerSpec, width: sympy.Symbol, *, is_first: bool, is_last: bool, image_size: int | None
) -> sympy.Expr:
    """One layer of a probe of width 1, so that its channels are the multiples of the width."""
    factors: list[sympy.Expr] = []
    coefficient = sympy.Integer(layer.in_channels)
    has_kernel = layer.kind != "dense" and layer.kernel not in (None, 1)
    if has_kernel:
        factors.append(sympy.Integer(layer.kernel) ** 2)
    if not is_last:
        coefficient *= layer.out_channels // layer.symmetries
    sides = _sides(layer)
    bases: Counter[sympy.Expr] = Counter()
    for side in sides:
        ratio = _PROBE_SIZE // side
        if image_size is None or image_size % ratio == 0:
            coefficient /= ratio**2
            bases[SIDE] += 2
        else:
            bases[sympy.ceiling(SIDE / ratio)] += 2
    if has_kernel and not is_first and not sides:
        coefficient = _as_power_of_two(coefficient)
    if coefficient != 1:
        factors.append(coefficient)
    factors += [base**exponent for base, exponent in bases.items()]
    if is_last:
        factors.append(CLASSES)
    num_widths = (not is_first) + (not is_last)
    return product(*factors, width**num_widths)


def _sides(layer: LayerSpec) -> list[int]:
    """Sides whose squares multiply the number of weights, as they are in the probe."""
    if layer.kind == "conv":
        return []
    both = [layer.in_size, layer.out_size] if layer.kind == "dense" else [layer.out_size]
    return [side for side in both if side > 1]


def _as_power_of_two(number: sympy.Expr) -> sympy.Expr:
    """2³ for 8, so that it prints as the paper has it; other numbers as they are."""
    exponent = int(number).bit_length() - 1
    return power(2, exponent) if number == 2**exponent and exponent >= 1 else number
