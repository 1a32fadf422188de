"""Tails of the binomial law in log space, inverted so that rounding never helps a bound.

Every probability here is a logarithm, in nats: a certificate of B bits asks for tails near 2^-B,
and from B = 1,075 on such numbers are 0 as floats. Every root is rounded upward: an inverse
returns a p of which it is certain, rounding errors counted, that it lies at or above the true one.
"""

import math
from collections.abc import Callable

_EPSILON = math.ulp(1.0)
_ROUNDING = 8 * _EPSILON  # a generous bound on the relative rounding error of a few operations
_MAX_TERMS = 20_000  # of a series whose remainder is bounded from above anyway
_HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)


def binary_kl(q: float, p: float) -> float:
    """kl(q, p) = q ln(q/p) + (1-q) ln((1-q)/(1-p)), in nats; infinite where p rules out q.

    Args:
        q: Observed frequency, in [0, 1].
        p: Supposed probability, in [0, 1].

    >>> round(binary_kl(0.5, 0.25), 6), binary_kl(0.0, 0.0), binary_kl(0.5, 1.0)
    (0.143841, 0.0, inf)
    """
    _check_fraction("q", q)
    _check_fraction("p", p)
    return max(0.0, _cross_term(q, p) + _cross_term(1 - q, 1 - p))


def _cross_term(x: float, y: float) -> float:
    if x == 0:
        return 0.0
    return math.inf if y == 0 else x * math.log(x / y)


def kl_inverse(q: float, nats: float) -> float:
    """sup{p >= q : kl(q, p) <= nats}, rounded upward and at most 1.

    Args:
        q: Observed frequency, in [0, 1].
        nats: Right-hand side, finite and >= 0.

    >>> round(kl_inverse(0.1, 0.02), 4), kl_inverse(0.3, 1e6), kl_inverse(1.0, 0.0)
    (0.1704, 1.0, 1.0)
    """
    _check_fraction("q", q)
    if not (math.isfinite(nats) and nats >= 0):
        raise ValueError(f"nats must be finite and >= 0, not {nats!r}")
    if q == 0:
        return _zero_error_root(nats)

    def is_beyond(p: float) -> bool:
        first, second = _cross_term(q, p), _cross_term(1 - q, 1 - p)
        slack = _ROUNDING * (1 + abs(first) + abs(second) + nats)
        return first + second - slack > nats

    return _smallest_beyond(is_beyond, q, 1.0)


def log_binomial_cdf(num_errors: int, num_samples: int, p: float) -> float:
    """The log of P[Bin(m, p) <= e] in nats, never below its true value by more than rounding.

    The largest term is taken in its saddle-point form, ln C(m, e) p^e (1-p)^(m-e) = -m kl(e/m, p) +
    ½ ln(m / (2π e (m-e))) + corrections of Stirling's formula, which does not cancel; the others
    follow by their ratios, and what is left out is bounded by a geometric series.

    Args:
        num_errors: e, in 0..m.
        num_samples: m >= 1.
        p: Probability, in (0, 1).

    >>> round(log_binomial_cdf(1, 3, 0.5), 12) == round(math.log(0.5), 12)
    True
    """
    errors, samples = num_errors, num_samples
    if errors == samples:
        return 0.0
    if errors == 0:
        return samples * math.log1p(-p)
    rest = samples - errors
    log_pmf = (
        -errors * math.log(errors / (samples * p))
        - rest * math.log(rest / (samples * (1 - p)))
        + 0.5 * (math.log(samples) - math.log(errors) - math.log(rest))
        - _HALF_LOG_2PI
        + _stirling_error(samples)
        - _stirling_error(errors)
        - _stirling_error(rest)
    )
    return min(0.0, log_pmf + math.log(_sum_of_ratios(errors, samples, p)))


def _sum_of_ratios(errors: int, samples: int, p: float) -> float:
    """P[Bin <= e] / P[Bin = e], from above: 1 + r_e + r_e r_(e-1) + ..."""
    odds = (1 - p) / p
    total, term = 1.0, 1.0
    for step, j in enumerate(range(errors, 0, -1)):
        ratio = j * odds / (samples - j + 1)  # P[Bin = j-1] / P[Bin = j], falling with j
        if ratio < 1:
            remainder = term * ratio / (1 - ratio)
            if remainder <= _EPSILON * total or step >= _MAX_TERMS:
                return total + remainder
        term *= ratio
        total += term
    return total


def binomial_tail_inverse(num_errors: int, num_samples: int, log_probability: float) -> float:
    """sup{p : P[Bin(m, p) <= e] >= exp(log_probability)}, rounded upward and at most 1.

    Args:
        num_errors: e, in 0..m.
        num_samples: m >= 1.
        log_probability: ln of the smallest tail still believed, in nats, finite and < 0.

    >>> tail = binomial_tail_inverse(0, 30_000, math.log(0.05))
    >>> round(tail, 8) == round(1 - 0.05 ** (1 / 30_000), 8)
    True
    """
    check_counts(num_errors, num_samples)
    if not (math.isfinite(log_probability) and log_probability < 0):
        raise ValueError(f"log_probability must be finite and < 0, not {log_probability!r}")
    if num_errors == num_samples:
        return 1.0
    if num_errors == 0:
        return _zero_error_root(-log_probability / num_samples)

    def is_beyond(p: float) -> bool:
        # Rounding of log_binomial_cdf: e ln and (m-e) ln carry relative errors in their arguments.
        slack = _ROUNDING * (num_samples - log_probability)
        return log_binomial_cdf(num_errors, num_samples, p) + slack < log_probability

    # Chernoff: P[Bin <= e] <= exp(-m kl(e/m, p)) for p >= e/m, so its root lies beyond this one.
    frequency = num_errors / num_samples
    highest = kl_inverse(frequency, -log_probability / num_samples)
    # At p = e/m the median is e: only a tail above one half has its root below e/m.
    lowest = frequency if log_probability < -math.log(2) else 0.0
    return _smallest_beyond(is_beyond, lowest, highest)


def check_counts(num_errors: int, num_samples: int) -> None:
    """Refuse counts that are not e errors among m samples.

    Raises:
        ValueError: Not integers, m < 1, or e outside 0..m.
    """
    check_count("num_samples", num_samples, 1)
    check_count("num_errors", num_errors, 0)
    if num_errors > num_samples:
        raise ValueError(f"num_errors must lie in 0..{num_samples} (num_samples), not {num_errors}")


def check_count(name: str, value: object, lowest: int) -> None:
    """Refuse what is not an integer from `lowest` on; True and False are none.

    Raises:
        ValueError: Names the value.
    """
    if not isinstance(value, int) or isinstance(value, bool) or value < lowest:
        raise ValueError(f"{name} must be an integer >= {lowest}, not {value!r}")


def round_up(value: float) -> float:
    """A float that is certain to be at or above a value >= 0 found by a few operations."""
    return value + _ROUNDING * value


def _zero_error_root(nats: float) -> float:
    """The p with (1-p) = exp(-nats): both inverses at no error at all, in closed form."""
    return min(1.0, round_up(-math.expm1(-nats)))


def _smallest_beyond(is_beyond: Callable[[float], bool], low: float, high: float) -> float:
    """Bisect to neighbouring floats; `high` counts as beyond, and what is returned is beyond."""
    while low < (middle := low + (high - low) / 2) < high:
        if is_beyond(middle):
            high = middle
        else:
            low = middle
    return high


def _stirling_error(count: int) -> float:
    """What Stirling's formula leaves out: ln n! - ((n + ½) ln n - n + ½ ln 2π), for n >= 1."""
    if count <= 16:
        exact = math.log(math.factorial(count))
        return exact - ((count + 0.5) * math.log(count) - count + _HALF_LOG_2PI)
    square = 1 / (count * count)
    series = 1 / 12 - square * (1 / 360 - square * (1 / 1260 - square * (1 / 1680 - square / 1188)))
    return series / count


def _check_fraction(name: str, value: float) -> None:
    if not 0 <= value <= 1:
        raise ValueError(f"{name} must lie in [0, 1], not {value!r}")
