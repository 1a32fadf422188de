"""What the paper prints about sizes, as data: Tables 3 and 4, and the sizes in Table 1.

Nothing here is corrected; `analysis.scaling.scaling` compares it with the exact formulas. The paper
assumes images of 3 channels and strides that divide the side s, and leaves out biases and
BatchNorm. The expressions are kept unevaluated (9·2²·α² stays that) so that they print as in the
paper.
"""

from dataclasses import dataclass
from typing import Any

import sympy

ALPHA, SIDE, CLASSES = sympy.symbols("alpha s c", positive=True, integer=True)


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
APPROXIMATE_TOTALS = frozenset({"d-conv", "d-local", "d-fc"})  # printed with "≈"


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
TABLE_1_BASE_CHANNELS = {"d": 15, "s": 150}  # the widths that come closest to Table 1's sizes
TABLE_1_HIDDEN_UNITS = 14_533  # of 3-fc: the widest with no more than 256 million weights
TABLE_1_IMAGE_SIZE, TABLE_1_NUM_CLASSES, TABLE_1_IN_CHANNELS = 32, 10, 3
