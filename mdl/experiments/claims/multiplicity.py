"""Several comparisons in one claim: Holm's step-down test, as a level for each comparison."""

from collections.abc import Sequence


def holm_levels(p_values: Sequence[float], alpha: float) -> list[float]:
    """The level at which Holm's procedure tests each hypothesis.

    The smallest of m p-values is tested at α / m, the next at α / (m − 1), and so on until one is
    not below its level; the rest is tested at that level too. A hypothesis is rejected if and
    only if its p-value is at most its level, so an interval at 1 − level tells the same. The
    chance of any false rejection is at most α.

    Args:
        p_values: Of the hypotheses.
        alpha: For all together.

    Returns:
        Levels, in the order of `p_values`.

    >>> [round(level, 3) for level in holm_levels([0.001, 0.04, 0.03], 0.06)]
    [0.02, 0.06, 0.03]
    >>> [round(level, 3) for level in holm_levels([0.001, 0.04, 0.05], 0.06)]
    [0.02, 0.03, 0.03]
    """
    levels = [0.0] * len(p_values)
    level, all_rejected = alpha, True
    for rank, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        if all_rejected:
            level = alpha / (len(p_values) - rank)
            all_rejected = p_values[index] <= level
        levels[index] = level
    return levels
