"""Numbers of weights as formulas: as the paper prints them, exact, and as text.

What is printed (Tables 3 and 4, the sizes in Table 1) is data and not corrected;
`analysis.scaling.scaling` compares it with the exact formulas. These are derived from the tables of
layers alone: kernels, multiples of α and strides are read off `training.spec.architectures`. The
paper assumes images of 3 channels and strides that divide the side s; it and we leave out biases
and BatchNorm. Expressions are kept unevaluated (9·2²·α² stays that) and print in the paper's style:
9·2²α², 3s⁴α/4, (27 + 64c)α. SymPy's own printers order factors by the alphabet and work products
out; ours keep the numbers as written, put s before c before α, and divide by a trailing number.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import sympy

from training.spec.architectures import LayerSpec, NetworkSpec

ALPHA, SIDE, CLASSES = sympy.symbols("alpha s c", positive=True, integer=True)
HIDDEN = sympy.Symbol("h", positive=True, integer=True)  # units of each hidden layer of 3-fc

APPROXIMATE_TOTALS = frozenset({"d-conv", "d-local", "d-fc"})  # printed with "≈"
TABLE_1_BASE_CHANNELS = {"d": 15, "s": 150}  # the widths that come closest to Table 1's sizes
TABLE_1_HIDDEN_UNITS = 14_533  # of 3-fc: the widest with no more than 256 million weights
TABLE_1_IMAGE_SIZE, TABLE_1_NUM_CLASSES, TABLE_1_IN_CHANNELS = 32, 10, 3
# A side that every stride divides and no layer shrinks to 1; ratios of sides are read off it.
_PROBE_SIZE = 64
_SUPERSCRIPTS = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")
_SYMBOL_ORDER = ("s", "c", "h", "alpha")  # the order of factors in a term
_WIDTHS = ("alpha", "h")  # a sum is a polynomial in one of these, highest power first


def product(*factors: Any) -> sympy.Expr:
    """A product that keeps its factors as written.

    >>> product(9, power(2, 3), ALPHA**2).args
    (9, 2**3, alpha**2)
    """
    return sympy.Mul(*map(sympy.sympify, factors), evaluate=False)


def power(base: int, exponent: int) -> sympy.Expr:
    """A power of numbers that is not worked out, unless the exponent is 1."""
    return sympy.Integer(base) if exponent == 1 else sympy.Pow(base, exponent, evaluate=False)


def _sum(*terms: Any) -> sympy.Expr:
    return sympy.Add(*map(sympy.sympify, terms), evaluate=False)


def _over(divisor: int) -> sympy.Rational:
    return sympy.Rational(1, divisor)


def _deep(conv1: sympy.Expr, later: list[sympy.Expr]) -> dict[str, sympy.Expr]:
    layers = {f"conv{index}": layer for index, layer in enumerate([conv1, *later], start=1)}
    return layers | {"fc1": product(4, SIDE**2, ALPHA**2), "fc2": product(64, CLASSES, ALPHA)}


def _shallow(conv1: sympy.Expr) -> dict[str, sympy.Expr]:
    return {
        "conv1": conv1,
        "fc1": product(6, SIDE**2, ALPHA**2),
        "fc2": product(24, CLASSES, ALPHA),
    }


# Tables 3 and 4, a column a network. The d-local column halves at every layer: see `Slip.ERRATUM`.
PRINTED_LAYERS: dict[str, dict[str, sympy.Expr]] = {
    "d-conv": _deep(product(9, 3, ALPHA), [product(9, power(2, i), ALPHA**2) for i in range(1, 8)]),
    "d-local": _deep(
        product(9, 3, SIDE**2, ALPHA),
        [product(9, SIDE**2, ALPHA**2, _over(2**i)) for i in range(1, 8)],
    ),
    "d-fc": _deep(
        product(3, SIDE**4, ALPHA), [product(SIDE**4, ALPHA**2, _over(2**i)) for i in range(1, 8)]
    ),
    "s-conv": _shallow(product(81, 3, ALPHA)),
    "s-local": _shallow(product(81, 3, SIDE**2, ALPHA, _over(4))),
    "s-fc": _shallow(product(3, SIDE**4, ALPHA, _over(4))),
}

PRINTED_TOTALS: dict[str, sympy.Expr] = {
    "d-conv": _sum(
        product(_sum(product(9, power(2, 8)), 4 * SIDE**2), ALPHA**2),
        product(_sum(27, 64 * CLASSES), ALPHA),
    ),
    "d-local": _sum(
        product(13, SIDE**2, ALPHA**2), product(_sum(27 * SIDE**2, 64 * CLASSES), ALPHA)
    ),
    "d-fc": _sum(
        product(_sum(SIDE**4, 4 * SIDE**2), ALPHA**2),
        product(_sum(3 * SIDE**4, 64 * CLASSES), ALPHA),
    ),
    "s-conv": _sum(product(6, SIDE**2, ALPHA**2), product(_sum(243, 24 * CLASSES), ALPHA)),
    "s-local": _sum(
        product(6, SIDE**2, ALPHA**2),
        product(_sum(product(243, SIDE**2, _over(4)), 24 * CLASSES), ALPHA),
    ),
    "s-fc": _sum(
        product(6, SIDE**2, ALPHA**2),
        product(_sum(product(3, SIDE**4, _over(4)), 24 * CLASSES), ALPHA),
    ),
}


@dataclass(frozen=True, kw_only=True)
class PublishedSize:
    """Sizes of a network in Table 1, in millions of weights, with the digits that it prints.

    Attributes:
        original: Column "orig.".
        fc_embedding: Column "fc-emb.": the fully-connected network that contains it.
    """

    original: str
    fc_embedding: str


TABLE_1_SIZES: dict[str, PublishedSize] = {
    "d-conv": PublishedSize(original="1.45", fc_embedding="256"),
    "d-local": PublishedSize(original="3.42", fc_embedding="256"),
    "d-fc": PublishedSize(original="256", fc_embedding="256"),
    "s-conv": PublishedSize(original="138", fc_embedding="256"),
    "s-local": PublishedSize(original="147", fc_embedding="256"),
    "s-fc": PublishedSize(original="256", fc_embedding="256"),
    "3-fc": PublishedSize(original="256", fc_embedding="256"),
}


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
    wider = replace(probe, hidden_units=2) if is_3fc else replace(probe, base_channels=2)
    first, last = probe.layers[0].name, probe.layers[-1].name
    return {
        layer.name: _layer_formula(
            layer,
            width_symbol(name) ** _num_widths(layer, twice_as_wide),
            is_first=layer.name == first,
            is_last=layer.name == last,
            image_size=image_size,
        )
        for layer, twice_as_wide in zip(probe.layers, wider.layers, strict=True)
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
    layer: LayerSpec, widths: sympy.Expr, *, is_first: bool, is_last: bool, image_size: int | None
) -> sympy.Expr:
    """One layer of a probe of width 1, times the power of the width that it grows with."""
    factors: list[sympy.Expr] = []
    coefficient = sympy.Integer(layer.channels_seen)
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
    return product(*factors, widths)


def _num_widths(layer: LayerSpec, twice_as_wide: LayerSpec) -> int:
    """The power of the width that a layer's number of weights grows with."""
    return (twice_as_wide.num_weights // layer.num_weights).bit_length() - 1


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


@dataclass(frozen=True)
class _Dialect:
    names: dict[str, str]
    times: str
    minus: str
    ceiling: str
    group: str
    superscript: Callable[[Any], str]
    space: str


_UNICODE = _Dialect(
    names={"alpha": "α"},
    times="·",
    minus="−",
    ceiling="⌈{}⌉",
    group="({})",
    superscript=lambda exponent: str(exponent).translate(_SUPERSCRIPTS),
    space="",
)
_LATEX = _Dialect(
    names={"alpha": r"\alpha"},
    times=r" \cdot ",
    minus="-",
    ceiling=r"\lceil {} \rceil",
    group=r"\left({}\right)",
    superscript=lambda exponent: f"^{{{exponent}}}",
    space=" ",
)


def to_unicode(expression: sympy.Expr) -> str:
    """The expression for a terminal.

    >>> s, alpha = sympy.symbols("s alpha")
    >>> to_unicode(3 * alpha * s**4 / 4 + 27)
    '3s⁴α/4 + 27'
    """
    return _render(expression, _UNICODE)


def to_latex(expression: sympy.Expr) -> str:
    r"""The expression for LaTeX's math mode.

    >>> s, alpha = sympy.symbols("s alpha")
    >>> to_latex(3 * alpha * s**4 / 4)
    '3 s^{4} \\alpha/4'
    """
    return _render(expression, _LATEX)


def _render(expression: sympy.Expr, dialect: _Dialect) -> str:
    if isinstance(expression, sympy.Add):
        return _render_sum(expression, dialect)
    if isinstance(expression, (sympy.Mul, sympy.Rational)):
        return _render_product(expression, dialect)
    return _render_factor(expression, dialect)


def _render_sum(expression: sympy.Add, dialect: _Dialect) -> str:
    text = ""
    for term in sorted(expression.args, key=_term_order):
        negative = term.could_extract_minus_sign()
        part = _render(-term if negative else term, dialect)
        sign = dialect.minus if negative else "+"
        text = f"{text} {sign} {part}" if text else (f"{sign}{part}" if negative else part)
    return text


def _render_product(expression: sympy.Expr, dialect: _Dialect) -> str:
    numbers: list[str] = []
    others: list[sympy.Expr] = []
    divisor = 1
    for factor in sympy.Mul.make_args(expression):
        if isinstance(factor, sympy.Rational):
            divisor *= factor.q
            if factor.p != 1:
                numbers.append(str(factor.p))
        elif factor.is_number:
            numbers.append(_render_factor(factor, dialect))
        else:
            others.append(factor)
    symbols = [_render_factor(factor, dialect) for factor in sorted(others, key=_factor_order)]
    text = dialect.space.join([*filter(None, [dialect.times.join(numbers)]), *symbols]) or "1"
    return f"{text}/{divisor}" if divisor != 1 else text


def _render_factor(factor: sympy.Expr, dialect: _Dialect) -> str:
    base, exponent = factor.as_base_exp() if isinstance(factor, sympy.Pow) else (factor, 1)
    text = str(base)
    if isinstance(base, sympy.Symbol):
        text = dialect.names.get(base.name, base.name)
    elif isinstance(base, sympy.ceiling):
        text = dialect.ceiling.format(_render(base.args[0], dialect))
    elif isinstance(base, sympy.Add):
        text = dialect.group.format(_render(base, dialect))
    return text if exponent == 1 else text + dialect.superscript(exponent)


def _factor_order(factor: sympy.Expr) -> tuple[int, bool, int, str]:
    """Sums first, then s, ceilings of s, c and the width."""
    names = [symbol.name for symbol in factor.free_symbols]
    ranks = [_SYMBOL_ORDER.index(name) if name in _SYMBOL_ORDER else -1 for name in names]
    rank = -1 if isinstance(factor, sympy.Add) else max(ranks, default=-1)
    return (rank, factor.has(sympy.ceiling), len(str(factor)), str(factor))


def _term_order(term: sympy.Expr) -> tuple[int, bool, int, bool, int, str]:
    """Powers of the width first, then plain numbers, then powers of the side, then the rest."""
    width = sum(_degree(term, name) for name in _WIDTHS)
    is_plain_number = width == 0 and term.is_number
    text = str(term)
    return (
        -width,
        not is_plain_number,
        -_degree(term, "s"),
        term.has(sympy.ceiling),
        len(text),
        text,
    )


def _degree(term: sympy.Expr, name: str) -> int:
    powers = term.doit().as_powers_dict()
    return sum(
        int(exponent)
        for base, exponent in powers.items()
        if any(symbol.name == name for symbol in base.free_symbols)
    )
