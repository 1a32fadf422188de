"""How many bits a target for the bound leaves to the description, at each training error. No torch.

The inverse of the binomial tail in B: the largest whole B with `binomial_tail(e, m, B, δ)` at or
below the target. The bound grows with B, so bisection finds it.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from analysis.bounds.bounds import binomial_tail
from analysis.bounds.tails import check_counts

# fmt: off
DEFAULT_ERRORS = (0.0, 0.005, 0.01, 0.015, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35,
                  0.4, 0.5, 0.6, 0.7, 0.8)
# fmt: on
"""Fractions of training errors that a table shows, as far as they are below its target."""


@dataclass(frozen=True, kw_only=True)
class BudgetRow:
    """The bits that one training error leaves.

    Attributes:
        num_errors: e.
        error: e/m.
        description_bits: The largest B whose bound is at most the target; None if none is.
        bits_per_point: How many bits fewer one more percent of errors would leave, or None.
    """

    num_errors: int
    error: float
    description_bits: int | None
    bits_per_point: int | None

    def to_dict(self) -> dict[str, int | float | None]:
        """Plain values, for JSON."""
        return asdict(self)


def bits_for_target(target: float, num_errors: int, num_samples: int, delta: float) -> int | None:
    """The largest whole B for which the binomial tail is at most `target`; None if not even B = 0.

    Args:
        target: Bound on the true error, in (0, 1).
        num_errors: e, in 0..m.
        num_samples: m >= 1.
        delta: δ, in (0, 1).

    Raises:
        ValueError: A value outside its range.

    >>> bits_for_target(0.116, 1200, 60_000, 0.05)
    5704
    >>> bits_for_target(0.01, 1200, 60_000, 0.05) is None
    True
    """
    if not 0 < target < 1:
        raise ValueError(f"target must lie in (0, 1), not {target!r}")
    check_counts(num_errors, num_samples)

    def holds(bits: int) -> bool:
        return binomial_tail(num_errors, num_samples, bits, delta) <= target

    if not holds(0):
        return None
    high = 1
    while holds(high):
        high *= 2
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low if holds(low) else 0


def budget_table(
    target: float, num_samples: int, delta: float, errors: Sequence[float] = DEFAULT_ERRORS
) -> list[BudgetRow]:
    """A row for each training error below the target.

    Args:
        target: Bound on the true error, in (0, 1).
        num_samples: m >= 1.
        delta: δ, in (0, 1).
        errors: Fractions of training errors, each in [0, 1].

    Raises:
        ValueError: A value outside its range.
    """
    rows = []
    for error in errors:
        if not 0 <= error <= 1:
            raise ValueError(f"errors must lie in [0, 1], not {error!r}")
        if error >= target:
            continue
        count = round(error * num_samples)
        bits = bits_for_target(target, count, num_samples, delta)
        more = round((error + 0.01) * num_samples)
        fewer = bits_for_target(target, more, num_samples, delta) if more < num_samples else None
        rows.append(
            BudgetRow(
                num_errors=count,
                error=count / num_samples,
                description_bits=bits,
                bits_per_point=None if bits is None or fewer is None else bits - fewer,
            )
        )
    return rows
