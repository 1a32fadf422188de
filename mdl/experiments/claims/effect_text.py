"""Effects in words and numbers for people: points with a sign, ratios with a cross."""

from mdl.experiments.claims.claim import Effect, Unit


def effect_text(effect: Effect) -> str:
    """One effect with its interval in a line."""
    ends = f"{value_text(effect.low, effect.unit)} to {value_text(effect.high, effect.unit)}"
    return (
        f"{effect.label} {value_text(effect.estimate, effect.unit)} ({ends}){wanted_text(effect)}"
    )


def wanted_text(effect: Effect) -> str:
    """What decides about an effect where it is not "above none", by the interval; "" where it is.

    The text starts with a comma, to stand behind the numbers.
    """
    if effect.within is not None:
        return f", within ∓{100 * effect.within:g} points is the same"
    if effect.unit is Unit.TAU:
        return f", as far from 0 in {100 * effect.p_value:.2g} % of all orders"
    plain = 1.0 if effect.unit is Unit.RATIO else 0.0
    if effect.above == plain:
        return ""
    return f", above {value_text(effect.above, effect.unit)} was asked"


def value_text(value: float, unit: Unit) -> str:
    """A number in its unit.

    >>> value_text(-0.0123, Unit.POINTS), value_text(1.8512, Unit.RATIO), value_text(1, Unit.TAU)
    ('−1.23', '×1.85', '+1.00')
    """
    if unit is Unit.RATIO:
        return f"×{value:.2f}" if value < 100 else f"×{value:,.0f}"
    scaled = 100 * value if unit is Unit.POINTS else value
    return f"{scaled:+.2f}".replace("-", "−")
