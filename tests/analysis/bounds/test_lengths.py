"""The lengths against a real coder of Theorem 2's proof, and against their formulas."""

import itertools
import math
import subprocess
import sys
from fractions import Fraction

import mpmath
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from analysis.bounds.lengths import (
    binomial_bits,
    enumerative_length,
    index_bits,
    log2_binomial,
    plain_length,
    theorem_2_length,
)
from tests.examples import examples


def write(value: int, width: int) -> str:
    return format(value, f"0{width}b") if width else ""


def encode_as_the_proof(weights: tuple[int, ...], bits_per_weight: int) -> str:
    """k, the values, ‖w‖₀, k again, then index and value of each nonzero; pattern 0 is zero."""
    n = len(weights)
    values = sorted(set(weights))
    nonzeros = [(index, weight) for index, weight in enumerate(weights) if weight]
    k, index_width, value_width = len(values), index_bits(n), index_bits(len(values))
    bits = write(k - 1, index_width)
    bits += "".join(write(value, bits_per_weight) for value in values)
    bits += write(len(nonzeros), index_bits(n + 1)) + write(k - 1, index_width)
    for index, weight in nonzeros:
        bits += write(index, index_width) + write(values.index(weight), value_width)
    return bits


def decode(bits: str, n: int, bits_per_weight: int) -> tuple[int, ...]:
    place = 0

    def read(width: int) -> int:
        nonlocal place
        place += width
        assert place <= len(bits)
        return int(bits[place - width : place] or "0", 2)

    k = read(index_bits(n)) + 1
    values = [read(bits_per_weight) for _ in range(k)]
    num_nonzeros = read(index_bits(n + 1))
    assert read(index_bits(n)) + 1 == k
    weights = [0] * n
    for _ in range(num_nonzeros):
        index = read(index_bits(n))
        weights[index] = values[read(index_bits(k))]
    assert place == len(bits)
    return tuple(weights)


@pytest.mark.parametrize(("n", "b"), [(1, 1), (1, 3), (2, 2), (3, 2), (4, 1), (5, 1), (4, 2)])
def test_whole_bits_are_those_of_a_code_that_decodes(n: int, b: int) -> None:
    codewords = []
    for weights in itertools.product(range(2**b), repeat=n):
        bits = encode_as_the_proof(weights, b)
        nonzeros = sum(weight != 0 for weight in weights)
        length = theorem_2_length(n, nonzeros, len(set(weights)), b)
        assert len(bits) == length.whole_bits
        assert decode(bits, n, b) == weights
        codewords.append(bits)
    assert sum(Fraction(1, 2 ** len(bits)) for bits in codewords) <= 1
    codewords.sort()
    assert all(not b.startswith(a) for a, b in itertools.pairwise(codewords))


@given(data=st.data(), n=st.integers(1, 10**9), b=st.sampled_from([8, 16, 32]))
def test_formula_and_whole_bits(data: st.DataObject, n: int, b: int) -> None:
    nonzeros = data.draw(st.integers(0, n))
    some_zero = int(nonzeros < n)
    lowest, highest = some_zero + int(nonzeros > 0), min(2**b, nonzeros + some_zero)
    k = data.draw(st.integers(lowest, highest))
    length = theorem_2_length(n, nonzeros, k, b)
    map_bits = nonzeros * math.log2(k * n) + 2 * math.log2(n)
    assert length.map_bits == pytest.approx(map_bits)
    assert length.bits == pytest.approx(math.log2(n) + k * b + map_bits)
    assert length.whole_bits == sum(term.whole_bits for term in length.terms)
    for term in length.terms:
        assert term.bits <= term.whole_bits + 1e-6
        assert term.whole_bits < term.bits + max(1, 2 * nonzeros, 2)
    # One more nonzero never makes a description shorter.
    if nonzeros < n - 1 and nonzeros:
        assert theorem_2_length(n, nonzeros + 1, k, b).whole_bits > length.whole_bits


def test_the_paper_slip_about_whole_bits() -> None:
    per_nonzero = theorem_2_length(1_570_000, 1, 2, 16).terms[4].whole_bits + index_bits(16)
    assert per_nonzero == 25
    assert round(math.log2(1_570_000 * 16), 1) == 24.6


def test_plain() -> None:
    length = plain_length(256_240_800, 32)
    assert length.whole_bits == 8_199_705_600 == length.bits
    assert length.map_bits == 0
    assert length.to_dict()["log_base"] == 2


def test_edges() -> None:
    # One weight that is zero: k = 1, its value, and whether it is nonzero.
    assert [term.whole_bits for term in theorem_2_length(1, 0, 1, 8).terms] == [0, 8, 1, 0, 0, 0]
    # An all-zero network costs its one value and three counts.
    assert theorem_2_length(1000, 0, 1, 16).whole_bits == 10 + 16 + 10 + 10
    assert theorem_2_length(1000, 0, 1, 16).map_bits == pytest.approx(2 * math.log2(1000))
    # All weights nonzero and equal: zero is no value of this network.
    assert theorem_2_length(4, 4, 1, 16).whole_bits == 2 + 16 + 3 + 2 + 4 * 2
    assert index_bits(2**60 + 1) == 61


@pytest.mark.parametrize(
    ("arguments", "rule"),
    [
        ((0, 0, 1, 8), "num_weights must be an integer >= 1, not 0"),
        ((10.0, 0, 1, 8), "num_weights must be an integer"),
        ((10, 11, 2, 8), "num_nonzeros must be <= num_weights = 10, not 11"),
        ((10, -1, 2, 8), "num_nonzeros"),
        ((10, 2, 0, 8), "num_distinct must be an integer >= 1"),
        ((10, 2, 4, 8), "num_distinct must be <= 3, not 4"),
        ((10, 0, 2, 8), "num_distinct must be <= 1"),
        ((10, 2, 1, 8), "num_distinct must be >= 2, not 1: it counts zero"),
        ((10, 9, 5, 2), "num_distinct must be <= 2\\^2 = 4 at 2 bits"),
        ((10, 9, 5, 0), "bits_per_weight"),
    ],
)
def test_impossible_counts_are_refused(arguments: tuple, rule: str) -> None:
    with pytest.raises(ValueError, match=rule):
        theorem_2_length(*arguments)


def encode_by_enumeration(tensors: tuple[tuple[int, ...], ...], bits_per_weight: int) -> str:
    """k', the values but zero, then for each tensor its nonzeros' number, choice and values."""
    n = sum(len(tensor) for tensor in tensors)
    values = sorted({weight for tensor in tensors for weight in tensor if weight})
    bits = write(len(values), index_bits(n + 1))
    bits += "".join(write(value, bits_per_weight) for value in values)
    for tensor in tensors:
        chosen = tuple(index for index, weight in enumerate(tensor) if weight)
        choices = list(itertools.combinations(range(len(tensor)), len(chosen)))
        bits += write(len(chosen), index_bits(len(tensor) + 1))
        bits += write(choices.index(chosen), index_bits(len(choices)))
        bits += "".join(
            write(values.index(tensor[index]), index_bits(len(values))) for index in chosen
        )
    return bits


@pytest.mark.parametrize(
    ("sizes", "b"), [((1,), 2), ((2,), 2), ((4,), 1), ((2, 1), 2), ((3, 2), 1)]
)
def test_the_enumerative_code_decodes(sizes: tuple[int, ...], b: int) -> None:
    codewords = []
    for weights in itertools.product(range(2**b), repeat=sum(sizes)):
        ends = list(itertools.accumulate(sizes, initial=0))
        tensors = tuple(weights[start:end] for start, end in itertools.pairwise(ends))
        bits = encode_by_enumeration(tensors, b)
        counts = [(len(tensor), sum(map(bool, tensor))) for tensor in tensors]
        length = enumerative_length(counts, len(set(weights) - {0}), b)
        assert len(bits) == length.whole_bits
        assert length.bits <= length.whole_bits + 1e-6
        codewords.append(bits)
    assert sum(Fraction(1, 2 ** len(bits)) for bits in codewords) <= 1
    codewords.sort()
    assert all(not b.startswith(a) for a, b in itertools.pairwise(codewords))


def test_the_enumerative_length_by_its_formula() -> None:
    counts = [(1000, 20), (50, 50), (7, 0)]
    length = enumerative_length(counts, 16, 8)
    choices = math.log2(math.comb(1000, 20)) + 0 + 0
    expected = math.log2(1058) + 16 * 8 + sum(math.log2(n + 1) for n, _ in counts) + choices
    assert length.bits == pytest.approx(expected + 70 * 4)
    assert not length.has_map
    assert enumerative_length([(5, 0)], 0, 8).whole_bits == 3 + 3


@pytest.mark.parametrize(
    ("arguments", "rule"),
    [
        (([], 0, 8), "num_weights must be an integer >= 1, not 0"),
        (([(3, 4)], 1, 8), r"num_nonzeros must be <= 3 \(its n\), not 4"),
        (
            ([(3, 2)], 3, 8),
            r"num_distinct_nonzero must lie in 1\.\.2 for 2 nonzeros of 8 bits, not 3",
        ),
        (([(3, 2)], 0, 8), "num_distinct_nonzero must lie in"),
        (([(9, 9)], 5, 2), "num_distinct_nonzero must lie in 1..4"),
        (([(3, 0)], 0, 0), "bits_per_weight"),
    ],
)
def test_impossible_tensors_are_refused(arguments: tuple, rule: str) -> None:
    with pytest.raises(ValueError, match=rule):
        enumerative_length(*arguments)


@pytest.mark.process
def test_formulas_never_load_torch() -> None:
    code = "import sys, analysis.bounds.bounds, analysis.bounds.lengths as _;"
    code += "sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def by_whole_numbers(num_things: int, num_chosen: int) -> tuple[int, mpmath.mpf]:
    count = math.comb(num_things, num_chosen)
    with mpmath.workdps(40):
        return (count - 1).bit_length(), mpmath.log(count, 2)


def by_many_digits(num_things: int, num_chosen: int) -> mpmath.mpf:
    with mpmath.workdps(60):
        parts = (num_things + 1, num_chosen + 1, num_things - num_chosen + 1)
        n, k, r = (mpmath.loggamma(mpmath.mpf(part)) for part in parts)
        return (n - k - r) / mpmath.log(2)


@pytest.mark.slow
def test_every_small_case() -> None:
    for n in range(160):
        for k in range(n + 1):
            bits, exact = by_whole_numbers(n, k)
            assert exact <= log2_binomial(n, k) <= exact + 1e-5
            assert bits <= binomial_bits(n, k) <= bits + 1
            if min(k, n - k) <= 64:
                assert binomial_bits(n, k) == bits
            assert log2_binomial(n, k) == pytest.approx(log2_binomial(n, n - k), rel=1e-12)


@given(n=st.integers(0, 20_000), share=st.floats(0, 1))
@examples(2)
def test_larger_cases_against_whole_numbers(n: int, share: float) -> None:
    k = round(share * n)
    bits, exact = by_whole_numbers(n, k)
    assert exact <= log2_binomial(n, k) <= exact * (1 + 1e-14) + 1e-5
    assert bits <= binomial_bits(n, k) <= bits + 1


@given(n=st.integers(1, 10**12), share=st.floats(0, 1))
@example(n=256_240_800, share=1 - 1e-7)
@example(n=256_240_800, share=0.02)
@example(n=10**12, share=0.5)
@examples(2)
def test_huge_cases_against_many_digits(n: int, share: float) -> None:
    k = min(n, int(share * n))
    exact = by_many_digits(n, k)
    assert exact <= log2_binomial(n, k) <= exact * (1 + 1e-14) + 1e-5
    assert binomial_bits(n, k) >= exact


@pytest.mark.parametrize(
    ("arguments", "rule"),
    [
        ((3, 4), "num_chosen must be <= num_things = 3, not 4"),
        ((3, -1), "num_chosen must be an integer >= 0, not -1"),
        ((2.0, 1), r"num_things must be an integer >= 0, not 2\.0"),
        ((True, 1), "num_things must be an integer"),
    ],
)
def test_refusals(arguments: tuple, rule: str) -> None:
    for function in (log2_binomial, binomial_bits):
        with pytest.raises(ValueError, match=rule):
            function(*arguments)
