"""A bound on any classifier, by way of a short described one that mostly agrees with it. No torch.

Let f be any classifier, the target, and g a described one, its surrogate. Where f is wrong, g is
wrong too or the two differ, so R(f) <= R(g) + P[f != g], for every pair and every distribution of
images and labels. The first term is bounded by g's bits and its errors on the m samples: that bound
holds for all described g at once, so the samples may have chosen g, and f. The second is the chance
of an event that needs no labels. It is bounded by the binomial tail of the differences among fresh
images, which holds for a pair that these images did not choose: had they chosen f or g, the
differences on them would be too few. Each of the two bounds fails with probability δ/2 at most, so
by the union bound their sum fails with probability δ at most.

Nothing is asked of f but to be one function of the image: its predictions on the fresh images say
all that the bound needs.
"""

import math

from analysis.bounds.bounds import binomial_tail, hold_out


def surrogate(
    num_errors: int,
    num_samples: int,
    description_bits: float,
    delta: float,
    *,
    num_disagreements: int,
    num_fresh: int,
) -> float:
    """R(f) <= R(g) + P[f != g], each of the two terms at δ/2.

    Args:
        num_errors: e, errors of the surrogate g on the samples.
        num_samples: m, samples, which may have chosen both.
        description_bits: B of the surrogate.
        delta: δ, in (0, 1), of the result.
        num_disagreements: Fresh images on which f and g differ.
        num_fresh: Fresh images, which chose neither.

    Returns:
        The bound on the target's true error; at most 1.

    >>> round(surrogate(1311, 60_000, 2039, 0.05, num_disagreements=200, num_fresh=10_000), 4)
    0.0924
    """
    parts = (
        binomial_tail(num_errors, num_samples, description_bits, delta / 2),
        hold_out(num_disagreements, num_fresh, 0, delta / 2),
    )
    return min(1.0, math.nextafter(sum(parts), math.inf))
