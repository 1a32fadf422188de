"""Weight sharing: k values of b bits, which a description writes down once.

A codebook is a set of patterns, kept by value: negative ones from the smallest up, then the others.
It is written as a multiset, so its order costs nothing. Later tensors may use an earlier one again.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analysis.codes.arithmetic_coder import ArithmeticCoder
from analysis.codes.errors import CodecError
from analysis.codes.matrix import make_values
from analysis.codes.multiset import code_multiset
from analysis.quantize.formats import NumberFormat

Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Codebook:
    """Values that weights share.

    Attributes:
        patterns: int64 (k,), in the order of their values.
        num_negative: How many stand for values below zero; they come first.
    """

    patterns: Ints
    num_negative: int

    @property
    def num_values(self) -> int:
        """K."""
        return len(self.patterns)

    @property
    def tree_bits(self) -> Ints:
        """Bits of an index among the negative and among the other values; -1 where none is."""
        groups = (self.num_negative, self.num_values - self.num_negative)
        return np.array([(count - 1).bit_length() if count else -1 for count in groups])

    def holds(self, patterns: Ints) -> bool:
        """Whether every one of these distinct patterns is in it."""
        return bool(np.isin(patterns, self.patterns).all())

    def symbols(self, patterns: Ints) -> Ints:
        """The index in the codebook of each pattern, all of which it holds."""
        order = np.argsort(self.patterns)
        return order[np.searchsorted(self.patterns[order], patterns)].astype(np.int64)


def make_codebook(patterns: Ints, number_format: NumberFormat) -> Codebook:
    """The codebook of the distinct ones among these patterns.

    Raises:
        CodecError: A pattern that is no number.
    """
    distinct = np.unique(patterns)
    values = make_values(distinct, number_format).numpy()
    order = np.argsort(values, kind="stable")
    return Codebook(distinct[order], int(np.count_nonzero(values < 0)))


def code_codebook(
    coder: ArithmeticCoder, codebook: Codebook | None, number_format: NumberFormat
) -> Codebook:
    """Code a codebook: k by the δ code, then its values as a set.

    Raises:
        CodecError: Decoding, and the values are not k distinct numbers of R_b.
    """
    bits = number_format.bits_per_weight
    num_values = coder.integer(1 if codebook is None else codebook.num_values)
    if num_values >> bits:
        raise CodecError(f"damaged: {num_values} values of {bits} bits")
    own = [] if codebook is None else [int(pattern) for pattern in codebook.patterns]
    found = code_multiset(coder, own, num_values, bits, distinct=True)
    return make_codebook(np.array(found, dtype=np.int64), number_format)
