"""Codebooks: their order, the index of each value, and what a decoder refuses."""

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.codes.arithmetic_coder import ArithmeticCoder
from analysis.codes.codebooks import code_codebook, make_codebook
from analysis.codes.elias import delta_bits
from analysis.codes.errors import CodecError
from analysis.codes.matrix import make_values
from analysis.codes.multiset import code_multiset
from analysis.quantize.formats import FORMATS
from tests.examples import examples

E4M3 = FORMATS["e4m3fn"]
GOOD = [pattern for pattern in range(256) if pattern not in (0x7F, 0x80, 0xFF)]


@given(st.lists(st.sampled_from(GOOD), min_size=1, max_size=60))
def test_holds_the_distinct_values_in_order(patterns: list[int]) -> None:
    codebook = make_codebook(np.array(patterns), E4M3)
    values = make_values(codebook.patterns, E4M3)
    assert set(codebook.patterns.tolist()) == set(patterns)
    assert (values.diff() > 0).all()
    assert codebook.num_negative == sum(pattern > 0x80 for pattern in set(patterns))
    symbols = codebook.symbols(np.array(patterns))
    assert (codebook.patterns[symbols] == patterns).all()
    negative, others = codebook.num_negative, codebook.num_values - codebook.num_negative
    expected = [math.ceil(math.log2(count)) if count else -1 for count in (negative, others)]
    assert codebook.tree_bits.tolist() == expected
    assert codebook.holds(np.array(patterns[:3]))
    missing = next(pattern for pattern in GOOD if pattern not in patterns)
    assert not codebook.holds(np.array([patterns[0], missing]))


@given(st.sets(st.sampled_from(GOOD), min_size=1, max_size=60))
@examples(0.5)
def test_round_trip_and_length(patterns: set[int]) -> None:
    codebook = make_codebook(np.array(sorted(patterns)), E4M3)
    coder = ArithmeticCoder()
    code_codebook(coder, codebook, E4M3)
    prefixes = (Counter(number >> (8 - n) for number in patterns) for n in range(8))
    tree = sum(math.log2(count + 1) for counts in prefixes for count in counts.values())
    assert coder.information == pytest.approx(len(delta_bits(len(patterns))) + tree, abs=1e-6)
    found = code_codebook(ArithmeticCoder(coder.finish()[0]), None, E4M3)
    assert (found.patterns == codebook.patterns).all()
    assert found.num_negative == codebook.num_negative


@pytest.mark.parametrize(
    ("patterns", "message"),
    [([1, 1], "twice"), ([0x80], "negative zero"), ([1, 0x7F], "not a number")],
)
def test_refuses_what_no_encoder_writes(patterns: list[int], message: str) -> None:
    coder = ArithmeticCoder()
    coder.integer(len(patterns))
    code_multiset(coder, patterns, len(patterns), 8)
    with pytest.raises(CodecError, match=message):
        code_codebook(ArithmeticCoder(coder.finish()[0]), None, E4M3)


@pytest.mark.parametrize("number", [256, 2**32, 2**120])
def test_refuses_more_values_than_there_are(number: int) -> None:
    coder = ArithmeticCoder()
    coder.integer(number)
    with pytest.raises(CodecError, match=f"{number} values of 8 bits"):
        code_codebook(ArithmeticCoder(coder.finish()[0] + bytes(100)), None, E4M3)


def test_a_huge_codebook_of_few_bits_is_refused_without_listing_it() -> None:
    coder = ArithmeticCoder()
    coder.integer(2**32 - 1)
    with pytest.raises(CodecError, match="twice"):
        code_codebook(ArithmeticCoder(coder.finish()[0] + bytes(100)), None, FORMATS["float32"])
