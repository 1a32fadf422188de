"""Lengths of three descriptions of a network, term by term. No torch.

The plain code writes all n weights in b bits each (Section 3, behind Theorem 1). The theorem-2
code is the one in Theorem 2's proof: k values of b bits, and a map from weights to values that
names only the nonzero weights. The enumerative code says for each tensor how many weights
are nonzero and which of the C(n, ‖w‖₀) choices they are. Each term has its length as printed, with
real-valued log2, and in whole bits, as a string of bits needs it. Only the whole-bit
length belongs to a code that can be decoded.

**k counts the value zero if any weight is zero.** Theorem 2 has w_i = p_g(i) for every weight, and
its proof assigns all weights that are not named "to the parameter with value zero": zero is one of
the k parameters, stored among the kb bits, which is where the decoder finds it.

All three languages fix the network's table of layers and the set R_b of b-bit numbers in advance;
n is every tensor that the function depends on.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from analysis.bounds.tails import check_count

LOG_BASE = 2
_EPSILON = math.ulp(1.0)
_EXACT_LIMIT = 64  # chosen things up to which C(n, k) is computed as an integer


@dataclass(frozen=True, kw_only=True)
class Term:
    """One part of a description.

    Attributes:
        name: What it describes.
        formula: Its length as a formula; logarithms are to base 2.
        bits: The formula's value, real.
        whole_bits: Bits that a real code spends on it, >= bits.
        is_map: Whether it belongs to |d(g)|, the map of Theorem 2.
    """

    name: str
    formula: str
    bits: float
    whole_bits: int
    is_map: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class DescriptionLength:
    """The length of one description, as the sum of its terms.

    Attributes:
        name: "plain", "theorem-2" or "enumerative"; other codes have names of their own.
        formula: The whole formula.
        terms: In the order in which the bits stand.
        map_formula: The formula of |d(g)|, the terms that are the map; empty without a map.
    """

    name: str
    formula: str
    terms: tuple[Term, ...]
    map_formula: str = ""

    @property
    def bits(self) -> float:
        """Length as printed, with real-valued logarithms."""
        return math.fsum(term.bits for term in self.terms)

    @property
    def whole_bits(self) -> int:
        """Length of the code in whole bits: the B that a bound may use."""
        return sum(term.whole_bits for term in self.terms)

    @property
    def map_bits(self) -> float:
        """|d(g)| as printed: ‖w‖₀ log2(kn) + 2 log2 n in the theorem-2 one, 0 in the plain."""
        return math.fsum(term.bits for term in self.terms if term.is_map)

    @property
    def map_whole_bits(self) -> int:
        """|d(g)| in whole bits."""
        return sum(term.whole_bits for term in self.terms if term.is_map)

    @property
    def has_map(self) -> bool:
        """Whether it has the form of Theorem 2: values, and a map from weights to them."""
        return any(term.is_map for term in self.terms)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {
            "name": self.name,
            "formula": self.formula,
            "log_base": LOG_BASE,
            "bits": self.bits,
            "whole_bits": self.whole_bits,
            "map_formula": self.map_formula or None,
            "map_bits": self.map_bits,
            "map_whole_bits": self.map_whole_bits,
            "terms": [term.to_dict() for term in self.terms],
        }


def plain_length(num_weights: int, bits_per_weight: int) -> DescriptionLength:
    """All n weights one after another: nb bits. Prefix-free, because all lengths are equal.

    Args:
        num_weights: n >= 1.
        bits_per_weight: b >= 1.

    >>> plain_length(1000, 16).whole_bits
    16000
    """
    check_count("num_weights", num_weights, 1)
    check_count("bits_per_weight", bits_per_weight, 1)
    total = num_weights * bits_per_weight
    weights = Term(name="weights", formula="n b", bits=float(total), whole_bits=total)
    return DescriptionLength(name="plain", formula="n b", terms=(weights,))


def theorem_2_length(
    num_weights: int, num_nonzeros: int, num_distinct: int, bits_per_weight: int
) -> DescriptionLength:
    """The description in Theorem 2's proof: log n + kb + (2 log n + ‖w‖₀ log(kn)), base 2.

    The proof writes k twice, once before the values and once in the map, and holds ‖w‖₀ in log2 n
    bits although it has n + 1 possible values; whole bits give it ceil(log2(n + 1)).

    Args:
        num_weights: n >= 1.
        num_nonzeros: ‖w‖₀, in 0..n.
        num_distinct: k >= 1, distinct values of the n weights, zero among them if it occurs.
        bits_per_weight: b >= 1.

    Raises:
        ValueError: Numbers that no n weights of b bits can have.

    A nonzero among 1.57 M weights with 16 values costs 21 + 4 bits, not 24.6:

    >>> length = theorem_2_length(1_572_864, 1000, 16, 16)
    >>> [(term.name, term.whole_bits) for term in length.terms][-2:]
    [('indices of the nonzeros', 21000), ('values of the nonzeros', 4000)]
    >>> round(length.map_bits)  # 1000 log2(16 * 1572864) + 2 log2(1572864)
    24626
    """
    n, nonzeros, k, b = num_weights, num_nonzeros, num_distinct, bits_per_weight
    check_count("num_weights", n, 1)
    check_count("num_nonzeros", nonzeros, 0)
    check_count("num_distinct", k, 1)
    check_count("bits_per_weight", b, 1)
    if nonzeros > n:
        raise ValueError(f"num_nonzeros must be <= num_weights = {n}, not {nonzeros}")
    _check_distinct(n, nonzeros, k, b)
    log_n, log_k = math.log2(n), math.log2(k)
    terms = (
        Term(name="number of values", formula="log n", bits=log_n, whole_bits=index_bits(n)),
        Term(name="values", formula="k b", bits=float(k * b), whole_bits=k * b),
        Term(
            name="number of nonzeros",
            formula="log n",
            bits=log_n,
            whole_bits=index_bits(n + 1),
            is_map=True,
        ),
        Term(
            name="number of values, in the map",
            formula="log n",
            bits=log_n,
            whole_bits=index_bits(n),
            is_map=True,
        ),
        Term(
            name="indices of the nonzeros",
            formula="‖w‖₀ log n",
            bits=nonzeros * log_n,
            whole_bits=nonzeros * index_bits(n),
            is_map=True,
        ),
        Term(
            name="values of the nonzeros",
            formula="‖w‖₀ log k",
            bits=nonzeros * log_k,
            whole_bits=nonzeros * index_bits(k),
            is_map=True,
        ),
    )
    map_formula = "‖w‖₀ log(k n) + 2 log n"
    return DescriptionLength(
        name="theorem-2",
        formula=f"log n + k b + {map_formula}",
        terms=terms,
        map_formula=map_formula,
    )


def enumerative_length(
    tensor_counts: Sequence[tuple[int, int]], num_distinct_nonzero: int, bits_per_weight: int
) -> DescriptionLength:
    """Which weights are nonzero by the number of their choice: Σ log2 C(n_t, ‖w_t‖₀), and values.

    The count of nonzeros of each tensor stands before the number of its choice. Values are indices
    into a list of the k' values other than zero, shared by all tensors: who knows where the
    nonzeros are needs no zero among the values.

    Args:
        tensor_counts: (n_t, ‖w_t‖₀) of each tensor, in a fixed order.
        num_distinct_nonzero: k', distinct values of all tensors other than zero.
        bits_per_weight: b >= 1.

    Raises:
        ValueError: Numbers that no tensors can have.

    At 2% density a nonzero's place costs 7.1 bits, where Theorem 2 spends 20.6:

    >>> length = enumerative_length([(1_572_864, 31_457)], 16, 16)
    >>> round(length.terms[3].bits / 31_457, 1)
    7.1
    """
    b, k = bits_per_weight, num_distinct_nonzero
    check_count("bits_per_weight", b, 1)
    check_count("num_distinct_nonzero", k, 0)
    for num_weights, num_nonzeros in tensor_counts:
        check_count("num_weights", num_weights, 0)
        check_count("num_nonzeros", num_nonzeros, 0)
        if num_nonzeros > num_weights:
            raise ValueError(f"num_nonzeros must be <= {num_weights} (its n), not {num_nonzeros}")
    n = sum(num_weights for num_weights, _ in tensor_counts)
    nonzeros = sum(num_nonzeros for _, num_nonzeros in tensor_counts)
    check_count("num_weights", n, 1)
    if not min(1, nonzeros) <= k <= min(nonzeros, 2**b):
        raise ValueError(
            f"num_distinct_nonzero must lie in {min(1, nonzeros)}..{min(nonzeros, 2**b)} for "
            f"{nonzeros} nonzeros of {b} bits, not {k}"
        )
    terms = (
        Term(
            name="number of values",
            formula="log(n + 1)",
            bits=math.log2(n + 1),
            whole_bits=index_bits(n + 1),
        ),
        Term(name="values but zero", formula="k' b", bits=float(k * b), whole_bits=k * b),
        Term(
            name="numbers of nonzeros",
            formula="Σ log(n_t + 1)",
            bits=math.fsum(math.log2(size + 1) for size, _ in tensor_counts),
            whole_bits=sum(index_bits(size + 1) for size, _ in tensor_counts),
        ),
        Term(
            name="which are nonzero",
            formula="Σ log C(n_t, ‖w_t‖₀)",
            bits=math.fsum(log2_binomial(*counts) for counts in tensor_counts),
            whole_bits=sum(binomial_bits(*counts) for counts in tensor_counts),
        ),
        Term(
            name="values of the nonzeros",
            formula="‖w‖₀ log k'",
            bits=nonzeros * math.log2(max(1, k)),
            whole_bits=nonzeros * index_bits(max(1, k)),
        ),
    )
    return DescriptionLength(
        name="enumerative",
        formula="log(n + 1) + k' b + Σ (log(n_t + 1) + log C(n_t, ‖w_t‖₀)) + ‖w‖₀ log k'",
        terms=terms,
    )


def index_bits(count: int) -> int:
    """ceil(log2 count): whole bits that tell `count` >= 1 things apart, exact for any size.

    >>> [index_bits(count) for count in (1, 2, 3, 4, 5)]
    [0, 1, 2, 2, 3]
    """
    check_count("count", count, 1)
    return (count - 1).bit_length()


def _check_distinct(n: int, nonzeros: int, k: int, b: int) -> None:
    some_zero = int(nonzeros < n)
    if k > nonzeros + some_zero:
        raise ValueError(
            f"num_distinct must be <= {nonzeros + some_zero}, not {k}: {n} weights of which "
            f"{nonzeros} are nonzero have no more values than that"
        )
    if k < some_zero + int(nonzeros > 0):
        raise ValueError(
            f"num_distinct must be >= 2, not {k}: it counts zero, and {nonzeros} of {n} weights "
            "are nonzero"
        )
    if k > 2**b:
        raise ValueError(f"num_distinct must be <= 2^{b} = {2**b} at {b} bits, not {k}")


def log2_binomial(num_things: int, num_chosen: int) -> float:
    """log2 C(n, k), rounded upward: above the true value by less than 1e-5 bits and 1e-14 of it.

    Up to 64 chosen (or left) things, C(n, k) is computed as an integer. Beyond, Robbins' form
    of Stirling's formula bounds it from above:

        √(2πn) (n/e)ⁿ e^(1/(12n+1)) < n! < √(2πn) (n/e)ⁿ e^(1/(12n)),  so with r = n - k
        ln C(n, k) < k ln(n/k) + r ln(n/r) + ½ ln(n / (2πkr)) + 1/(12n) - 1/(12k+1) - 1/(12r+1).

    No large numbers cancel in it: both first terms are >= 0, each off by a few units in its last
    place, and sixteen such units are added.

    Args:
        num_things: n >= 0.
        num_chosen: k, in 0..n.

    Raises:
        ValueError: No such numbers.

    >>> log2_binomial(4, 2) >= math.log2(6), round(log2_binomial(4, 2), 6), log2_binomial(9, 0)
    (True, 2.584963, 0.0)
    """
    _check_choice(num_things, num_chosen)
    chosen, rest = num_chosen, num_things - num_chosen
    if min(chosen, rest) == 0:
        return 0.0
    if min(chosen, rest) <= _EXACT_LIMIT:
        return _log2_up(math.comb(num_things, chosen))
    main = _scaled_log(chosen, rest) + _scaled_log(rest, chosen)
    root = 0.5 * math.log(num_things / (2 * math.pi * chosen) / rest)  # < 0
    correction = 1 / (12 * num_things) - 1 / (12 * chosen + 1) - 1 / (12 * rest + 1)
    slack = 16 * _EPSILON * (main + abs(root) + 1)
    return (main + root + correction + slack) / math.log(2) * (1 + 4 * _EPSILON)


def binomial_bits(num_things: int, num_chosen: int) -> int:
    """Whole bits that a number below C(n, k) surely fits in: its code is an index.

    Exact up to 64 chosen (or left) things, and never above ceil(log2 C(n, k)) by more than one bit.

    >>> binomial_bits(4, 2), binomial_bits(5, 0), binomial_bits(4, 1)
    (3, 0, 2)
    """
    _check_choice(num_things, num_chosen)
    if min(num_chosen, num_things - num_chosen) <= _EXACT_LIMIT:
        return (math.comb(num_things, num_chosen) - 1).bit_length()
    return math.ceil(log2_binomial(num_things, num_chosen))


def _scaled_log(count: int, others: int) -> float:
    """One term of the entropy: count · ln((count + others) / count), which never cancels."""
    return count * math.log1p(others / count)


def _log2_up(number: int) -> float:
    """log2 of an integer >= 1, at or above it."""
    shift = max(0, number.bit_length() - 64)
    return (shift + math.log2(number >> shift)) * (1 + 4 * _EPSILON) + (shift > 0) * 2.0**-62


def _check_choice(num_things: int, num_chosen: int) -> None:
    check_count("num_things", num_things, 0)
    check_count("num_chosen", num_chosen, 0)
    if num_chosen > num_things:
        raise ValueError(f"num_chosen must be <= num_things = {num_things}, not {num_chosen}")
