"""Bounds on the true 0-1 error of one classifier that has a description of B bits. No torch.

Each function takes e (num_errors, of the *decoded* classifier), m (num_samples), B
(description_bits, the length of a prefix-free description fixed before the data) and δ (delta).
With probability at least 1 - δ over the m i.i.d. samples the true error is at most what it
returns, for all classifiers of the language at once. Errors are fractions. Nothing rounds in the
bound's favour. Formulas "as printed" may exceed 1; the inverses stop at 1. At 1 and above a bound
says nothing, and is called vacuous.

B is in bits, every other logarithm is natural. That reading is the book's: its proof has
B ln 2 + ln(2/δ) nats and relaxes B ln 2 to B; the formulas as printed keep this loss.

>>> for bound in compare_bounds(1200, 60_000, 2000, 0.05):
...     print(f"{bound.title}: {bound.value:.4f}")
Theorem 1, as printed: 0.1492
Occam-Hoeffding: 0.1276
Maurer: 0.0660
Chernoff-kl: 0.0659
binomial tail: 0.0658
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from analysis.bounds.lengths import DescriptionLength, index_bits
from analysis.bounds.tails import binomial_tail_inverse, check_counts, kl_inverse, round_up
from training.system.notebook import html_table

_LN_2 = math.log(2)
MIN_SAMPLES_MAURER = 8


def theorem_1(num_errors: int, num_samples: int, description_bits: float, delta: float) -> float:
    """Theorem 1, as printed: e/m + sqrt((B + ln(2/δ)) / 2m).

    >>> round(theorem_1(1200, 60_000, 2000, 0.05), 3)
    0.149
    """
    _check(num_errors, num_samples, description_bits, delta)
    return _root_bound(num_errors, num_samples, description_bits + math.log(2 / delta))


def theorem_2(
    num_errors: int,
    num_samples: int,
    delta: float,
    *,
    value_bits: float,
    map_bits: float,
    num_weights: int,
) -> float:
    """Theorem 2, as printed: e/m + sqrt((kb + |d(g)| + ln(2n/δ)) / 2m).

    The natural logarithm of 2n/δ is enough: the proof spends log2 n bits on k, which are ln n nats.

    Args:
        num_errors: e, in 0..m.
        num_samples: m >= 1.
        delta: δ, in (0, 1).
        value_bits: kb, bits of the k distinct values.
        map_bits: |d(g)|, bits of the map from weights to values.
        num_weights: n >= 1.
    """
    _check(num_errors, num_samples, value_bits, delta)
    _check(num_errors, num_samples, map_bits, delta)
    if num_weights < 1:
        raise ValueError(f"num_weights must be >= 1, not {num_weights}")
    excess = value_bits + map_bits + math.log(2 * num_weights / delta)
    return _root_bound(num_errors, num_samples, excess)


def occam_hoeffding(
    num_errors: int, num_samples: int, description_bits: float, delta: float
) -> float:
    """Occam-Hoeffding, one-sided and in nats: e/m + sqrt((B ln 2 + ln(1/δ)) / 2m).

    >>> round(occam_hoeffding(1200, 60_000, 2000, 0.05), 3)
    0.128
    """
    nats = _nats(num_errors, num_samples, description_bits, delta)
    return _root_bound(num_errors, num_samples, nats)


def maurer(num_errors: int, num_samples: int, description_bits: float, delta: float) -> float:
    """Maurer / Langford-Seeger: the inverse of kl at (B ln 2 + ln(2 sqrt(m)/δ)) / m; m >= 8.

    >>> round(maurer(1200, 60_000, 2000, 0.05), 4)
    0.066
    """
    nats = _nats(num_errors, num_samples, description_bits, delta)
    if num_samples < MIN_SAMPLES_MAURER:
        raise ValueError(
            f"num_samples must be >= {MIN_SAMPLES_MAURER} for Maurer's bound, not {num_samples}"
        )
    return _kl_bound(num_errors, num_samples, nats + math.log(2 * math.sqrt(num_samples)))


def chernoff_kl(num_errors: int, num_samples: int, description_bits: float, delta: float) -> float:
    """Chernoff in its kl form: the inverse of kl at (B ln 2 + ln(1/δ)) / m.

    >>> round(chernoff_kl(1200, 60_000, 2000, 0.05), 4)
    0.0659
    """
    nats = _nats(num_errors, num_samples, description_bits, delta)
    return _kl_bound(num_errors, num_samples, nats)


def binomial_tail(
    num_errors: int, num_samples: int, description_bits: float, delta: float
) -> float:
    """The tightest for one classifier: sup{p : P[Bin(m, p) <= e] >= δ 2^-B}.

    >>> round(binomial_tail(1200, 60_000, 2000, 0.05), 4)
    0.0658
    """
    nats = _nats(num_errors, num_samples, description_bits, delta)
    return binomial_tail_inverse(num_errors, num_samples, -nats)


def hold_out(num_errors: int, num_samples: int, description_bits: float, delta: float) -> float:
    """The binomial tail on held-out samples, which are e errors among m of theirs.

    Args:
        num_errors: Errors on the held-out samples.
        num_samples: Held-out samples, that training did not see.
        description_bits: 0 if these samples chose nothing; log2(candidates) if they chose the
            classifier among that many.
        delta: δ, in (0, 1). To quote the better of this and another: `better_of_two`.

    >>> round(hold_out(0, 100, 0, 0.05), 4)  # 1 - 0.05**(1/100)
    0.0295
    """
    return binomial_tail(num_errors, num_samples, description_bits, delta)


def better_of_two(
    num_errors: int,
    num_samples: int,
    description_bits: float,
    delta: float,
    *,
    num_held_out_errors: int,
    num_held_out_samples: int,
    hold_out_bits: float = 0.0,
) -> float:
    """The smaller of the binomial tail and the hold-out bound, each at δ/2: both may be looked at.

    Args:
        num_errors: e, on the training samples.
        num_samples: m, training samples.
        description_bits: B, for the training samples.
        delta: δ, in (0, 1), of the result.
        num_held_out_errors: Errors on the held-out samples.
        num_held_out_samples: Held-out samples.
        hold_out_bits: As in `hold_out`.

    >>> better_of_two(0, 100, 0, 0.1, num_held_out_errors=0, num_held_out_samples=50) == hold_out(
    ...     0, 100, 0, 0.05)
    True
    """
    return min(
        binomial_tail(num_errors, num_samples, description_bits, delta / 2),
        hold_out(num_held_out_errors, num_held_out_samples, hold_out_bits, delta / 2),
    )


@dataclass(frozen=True, kw_only=True)
class ErrorCount:
    """Errors of one network on one set of images.

    Attributes:
        num_errors: e, from 0 to m.
        num_samples: m >= 1.

    Raises:
        ValueError: Counts that are not e errors among m samples.
    """

    num_errors: int
    num_samples: int

    def __post_init__(self) -> None:
        check_counts(self.num_errors, self.num_samples)

    @property
    def error(self) -> float:
        """The fraction of errors."""
        return self.num_errors / self.num_samples

    @property
    def accuracy(self) -> float:
        """The fraction that is right."""
        return 1 - self.error

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {"num_errors": self.num_errors, "num_samples": self.num_samples, "error": self.error}


@dataclass(frozen=True, kw_only=True)
class Bound:
    """One bound that was computed.

    Attributes:
        name: Name of its function in this module.
        title: Its name for people.
        formula: Its formula.
        value: The bound on the true error, a fraction; above 1 where the formula gives that.
    """

    name: str
    title: str
    formula: str
    value: float

    @property
    def is_vacuous(self) -> bool:
        """Whether it says nothing: every error is at most 1 (here, 1 to nine digits)."""
        return self.value > 1 - 1e-9

    def beats_guessing(self, num_classes: int) -> bool:
        """Whether it is below 1 - 1/c, the error of guessing among c equally likely classes."""
        return self.value < 1 - 1 / num_classes

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {**asdict(self), "vacuous": self.is_vacuous}

    def _repr_html_(self) -> str:
        return Bounds((self,))._repr_html_()


class Bounds(tuple[Bound, ...]):
    """Bounds side by side; in a notebook they are a table."""

    __slots__ = ()

    def _repr_html_(self) -> str:
        rows = [
            (bound.title, bound.formula, "vacuous" if bound.is_vacuous else percent_up(bound.value))
            for bound in self
        ]
        columns = ("bound", "formula", "true error at most")
        headline = "Each holds with probability 1 - δ."
        return html_table(headline, columns, rows, num_text_columns=2)


def percent_up(fraction: float) -> str:
    """Percent with two decimals, rounded upward as a bound must be.

    >>> percent_up(0.123401), percent_up(0.1234)
    ('12.35%', '12.34%')
    """
    return f"{math.ceil(fraction * 1e4 - 1e-9) / 100:,.2f}%"


_FORMULAS: dict[str, tuple[Callable[[int, int, float, float], float], str, str]] = {
    "theorem_1": (theorem_1, "Theorem 1, as printed", "e/m + sqrt((B + ln(2/δ)) / 2m)"),
    "occam_hoeffding": (occam_hoeffding, "Occam-Hoeffding", "e/m + sqrt((B ln2 + ln(1/δ)) / 2m)"),
    "maurer": (maurer, "Maurer", "kl⁻¹(e/m, (B ln2 + ln(2√m/δ)) / m)"),
    "chernoff_kl": (chernoff_kl, "Chernoff-kl", "kl⁻¹(e/m, (B ln2 + ln(1/δ)) / m)"),
    "binomial_tail": (binomial_tail, "binomial tail", "sup{p : P[Bin(m,p) <= e] >= δ 2^-B}"),
}


def bound_titles() -> dict[str, str]:
    """The names for people of all bounds that need only a length, and of Theorem 2.

    >>> bound_titles()["binomial_tail"]
    'binomial tail'
    """
    titles = {name: title for name, (_, title, _) in _FORMULAS.items()}
    return titles | {"theorem_2": "Theorem 2, as printed"}


def compare_bounds(
    num_errors: int, num_samples: int, description_bits: float, delta: float
) -> Bounds:
    """All bounds that need only a length, side by side; each alone holds with probability 1 - δ.

    Maurer's is left out below 8 samples. The best of them may be quoted at no cost in δ: the
    binomial tail is never above Chernoff-kl, nor that above Maurer or Occam-Hoeffding.
    """
    return Bounds(
        Bound(
            name=name,
            title=title,
            formula=formula,
            value=function(num_errors, num_samples, description_bits, delta),
        )
        for name, (function, title, formula) in _FORMULAS.items()
        if name != "maurer" or num_samples >= MIN_SAMPLES_MAURER
    )


def _check(num_errors: int, num_samples: int, description_bits: float, delta: float) -> None:
    check_counts(num_errors, num_samples)
    if not (math.isfinite(description_bits) and description_bits >= 0):
        raise ValueError(f"description_bits must be finite and >= 0, not {description_bits!r}")
    check_delta(delta)


def check_delta(delta: float) -> None:
    """Refuse what is no probability of failure.

    Raises:
        ValueError: δ outside (0, 1).
    """
    if not 0 < delta < 1:
        raise ValueError(f"delta must lie in (0, 1), not {delta!r}")


def _nats(num_errors: int, num_samples: int, description_bits: float, delta: float) -> float:
    """B ln 2 + ln(1/δ), rounded upward."""
    _check(num_errors, num_samples, description_bits, delta)
    return round_up(description_bits * _LN_2 - math.log(delta))


def _root_bound(num_errors: int, num_samples: int, nats: float) -> float:
    return round_up(num_errors / num_samples + math.sqrt(nats / (2 * num_samples)))


def _kl_bound(num_errors: int, num_samples: int, nats: float) -> float:
    return kl_inverse(num_errors / num_samples, nats / num_samples)


def bounds_of_length(
    length: DescriptionLength, errors: ErrorCount, num_weights: int, delta: float
) -> tuple[Bound, ...]:
    """All bounds from the whole-bit length; Theorem 2 with its own terms where there is a map.

    Args:
        length: Of the description.
        errors: Of the network that it describes.
        num_weights: n.
        delta: δ of each bound by itself.
    """
    bounds = compare_bounds(errors.num_errors, errors.num_samples, length.whole_bits, delta)
    if not length.has_map:
        return bounds
    values = next(term for term in length.terms if term.name == "values")
    second = Bound(
        name="theorem_2",
        title="Theorem 2, as printed",
        formula="e/m + sqrt((k b + |d(g)| + ln(2n/δ)) / 2m)",
        value=theorem_2(
            errors.num_errors,
            errors.num_samples,
            delta,
            value_bits=values.bits,
            map_bits=length.map_bits,
            num_weights=num_weights,
        ),
    )
    return (bounds[0], second, *bounds[1:])


def shortest_length(lengths: Mapping[str, DescriptionLength]) -> DescriptionLength:
    """The description of fewest whole bits."""
    return min(lengths.values(), key=lambda length: length.whole_bits)


def quoted_bits(lengths: Mapping[str, DescriptionLength]) -> int:
    """B of the shortest description, with the bits that say which of them it is."""
    return shortest_length(lengths).whole_bits + index_bits(len(lengths))


def quoted_bound(
    lengths: Mapping[str, DescriptionLength],
    bounds: Mapping[str, tuple[Bound, ...]],
    errors: ErrorCount,
    delta: float,
) -> Bound:
    """The one bound to quote: the binomial tail at `quoted_bits`."""
    bits = quoted_bits(lengths)
    value = binomial_tail(errors.num_errors, errors.num_samples, bits, delta)
    return replace(bounds[shortest_length(lengths).name][-1], value=value)
