"""Elias's δ code against its formulas: lengths, prefixes, Kraft sums, and a reader of strings."""

import itertools
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.codes.elias import MAX_VALUE, delta_bits, read_delta


def codeword(value: int) -> str:
    return "".join(map(str, delta_bits(value)))


def length_by_formula(value: int) -> int:
    """⌊log2 v⌋ + 2 ⌊log2(⌊log2 v⌋ + 1)⌋ + 1, in integers."""
    log = 0
    while value >> (log + 1):
        log += 1
    log_of_length = 0
    while (log + 1) >> (log_of_length + 1):
        log_of_length += 1
    return log + 2 * log_of_length + 1


def read_string(text: str) -> tuple[int, str]:
    """The number and what follows it, by slices of the string."""
    num_zeros = text.index("1")
    length = int(text[num_zeros : 2 * num_zeros + 1], 2)
    start = 2 * num_zeros + 1
    return int("1" + text[start : start + length - 1], 2), text[start + length - 1 :]


def test_lengths_are_the_formula() -> None:
    edges = [2**power + offset for power in range(2, 127) for offset in (-1, 0, 1)]
    for value in [*range(1, 3000), *edges, MAX_VALUE]:
        assert len(delta_bits(value)) == length_by_formula(value)
        assert set(delta_bits(value)) <= {0, 1}


def test_no_codeword_begins_another() -> None:
    edges = {2**power + offset for power in range(12, 127) for offset in (-1, 0, 1)}
    words = sorted(codeword(value) for value in {*range(1, 5000), *edges, MAX_VALUE})
    # Sorted, all words that begin with a word follow it at once.
    assert all(not after.startswith(word) for word, after in itertools.pairwise(words))


def test_kraft_sums() -> None:
    """Numbers of N bits take 2^-(2⌊log2 N⌋ + 1); all up to 2^127 take 1 - 2^-7."""
    whole = Fraction(0)
    for length in range(1, MAX_VALUE.bit_length() + 1):
        first = 1 << (length - 1)
        share = first * Fraction(1, 2 ** len(delta_bits(first)))
        if length <= 12:
            words = [delta_bits(value) for value in range(first, 2 * first)]
            assert sum(Fraction(1, 2 ** len(word)) for word in words) == share
        whole += share
    assert whole == 1 - Fraction(1, 2**7)  # the rest are the endless zeros that are refused


@given(st.integers(1, MAX_VALUE), st.lists(st.integers(0, 1), max_size=20))
def test_round_trip_of_huge_numbers(value: int, behind: list[int]) -> None:
    bits = iter(delta_bits(value) + behind)
    assert read_delta(lambda: next(bits)) == value
    assert list(bits) == behind
    text = codeword(value) + "".join(map(str, behind))
    assert read_string(text) == (value, "".join(map(str, behind)))


def test_largest_number() -> None:
    assert MAX_VALUE == 2**127 - 1
    bits = iter(delta_bits(MAX_VALUE))
    assert read_delta(lambda: next(bits)) == MAX_VALUE


@pytest.mark.parametrize("value", [0, -1, MAX_VALUE + 1])
def test_refuses_what_it_has_no_codeword_for(value: int) -> None:
    with pytest.raises(ValueError, match=r"value must lie in 1\.\."):
        delta_bits(value)


def test_endless_zeros_are_refused_after_seven() -> None:
    taken = []

    def read_bit() -> int:
        taken.append(0)
        return 0

    with pytest.raises(ValueError, match="no end"):
        read_delta(read_bit)
    assert len(taken) == 7
