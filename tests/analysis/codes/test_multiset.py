"""Multisets: the length of the tree of counts, by other formulas, and the round trip."""

import itertools
import math
import random
from collections import Counter
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.codes.arithmetic_coder import ArithmeticCoder
from analysis.codes.errors import CodecError
from analysis.codes.multiset import code_multiset
from tests.examples import examples

SIZED = st.integers(1, 32).flatmap(
    lambda bits: st.tuples(
        st.just(bits),
        st.lists(st.one_of(st.integers(0, 2**bits - 1), st.integers(0, min(2**bits - 1, 3)))),
    )
)


def tree_probability(numbers: list[int], num_bits: int) -> Fraction:
    """The product of 1 / (N + 1) over all prefixes of 0 to b - 1 bits that N >= 1 numbers have."""
    product = Fraction(1)
    for length in range(num_bits):
        for count in Counter(number >> (num_bits - length) for number in numbers).values():
            product /= count + 1
    return product


def laplace_probability(numbers: list[int], num_bits: int) -> Fraction:
    """One number after another: each bit by Laplace's rule at the node of the bits before it."""
    seen: dict[tuple[int, int], list[int]] = {}
    product = Fraction(1)
    for number in numbers:
        for place in range(num_bits):
            node = seen.setdefault((place, number >> (num_bits - place)), [0, 0])
            bit = number >> (num_bits - 1 - place) & 1
            product *= Fraction(node[bit] + 1, sum(node) + 2)
            node[bit] += 1
    return product


def num_orders(numbers: list[int]) -> int:
    return math.factorial(len(numbers)) // math.prod(
        math.factorial(count) for count in Counter(numbers).values()
    )


@given(SIZED)
def test_length_and_round_trip(sized: tuple[int, list[int]]) -> None:
    num_bits, numbers = sized
    coder = ArithmeticCoder(compiled=False)
    assert code_multiset(coder, numbers, len(numbers), num_bits) == sorted(numbers)
    probability = tree_probability(numbers, num_bits)
    assert coder.information == pytest.approx(math.log2(probability.denominator), abs=1e-6)
    reader = ArithmeticCoder(coder.finish()[0] + b"\x5a", compiled=True)
    assert code_multiset(reader, [], len(numbers), num_bits) == sorted(numbers)
    assert reader.finish() == coder.finish()


@given(SIZED, st.randoms())
@examples(0.5)
def test_is_laplaces_rule_less_the_bits_of_the_order(
    sized: tuple[int, list[int]], order: random.Random
) -> None:
    num_bits, numbers = sized
    shuffled = list(numbers)
    order.shuffle(shuffled)
    sequential = laplace_probability(shuffled, num_bits)
    assert tree_probability(numbers, num_bits) == sequential * num_orders(numbers)


def test_probabilities_of_all_multisets_sum_to_one() -> None:
    for num_bits, size in ((1, 4), (2, 3), (3, 2)):
        every = itertools.combinations_with_replacement(range(2**num_bits), size)
        assert sum(tree_probability(list(numbers), num_bits) for numbers in every) == 1


def test_a_set_that_lists_a_number_twice_is_refused() -> None:
    coder = ArithmeticCoder()
    code_multiset(coder, [5, 5, 7], 3, 8)
    data = coder.finish()[0]
    assert code_multiset(ArithmeticCoder(data), [], 3, 8) == [5, 5, 7]
    with pytest.raises(CodecError, match="twice"):
        code_multiset(ArithmeticCoder(data), [], 3, 8, distinct=True)


def test_a_set_larger_than_there_are_numbers_is_refused_before_it_is_listed() -> None:
    with pytest.raises(CodecError, match="twice"):
        code_multiset(ArithmeticCoder(bytes(100)), [], 2**31, 30, distinct=True)
    with pytest.raises(CodecError, match="twice"):
        code_multiset(ArithmeticCoder(bytes(100)), [], 2**31, 32, distinct=True)
