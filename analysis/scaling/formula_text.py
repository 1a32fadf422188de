"""SymPy expressions as compact text in the paper's style: 9·2²α², 3s⁴α/4, (27 + 64c)α.

SymPy's own printers order factors by the alphabet and work products out; these keep the numbers
as written, put s before c before α, and divide by a trailing number.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import sympy

_SUPERSCRIPTS = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")
_SYMBOL_ORDER = ("s", "c", "h", "alpha")  # the order of factors in a term
_WIDTHS = ("alpha", "h")  # a sum is a polynomial in one of these, highest power first


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
