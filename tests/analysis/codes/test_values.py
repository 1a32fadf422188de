"""Values of nonzeros and codebooks: lengths by a model of named contexts, round trips, refusals."""

import itertools
import math
import random
from collections import Counter, defaultdict
from collections.abc import Hashable
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from analysis.codes.arithmetic_coder import ArithmeticCoder, CodecError, delta_bits
from analysis.codes.grid import Grid, plain_grid, shape_grid
from analysis.codes.matrix import make_values
from analysis.codes.values import (
    ValueCoder,
    code_codebook,
    code_multiset,
    code_patterns,
    make_codebook,
)
from analysis.quantize.formats import FORMATS
from tests.examples import examples

Ints = NDArray[np.int64]
E4M3 = FORMATS["e4m3fn"]
GOOD = np.array([pattern for pattern in range(1, 256) if pattern not in (0x7F, 0x80, 0xFF)])
SHAPES = st.one_of(
    st.tuples(st.integers(1, 9), st.integers(1, 60)),
    st.tuples(st.integers(1, 4), st.integers(1, 3), st.integers(1, 4), st.integers(1, 6)),
)
NUMBERS = [pattern for pattern in range(256) if pattern not in (0x7F, 0x80, 0xFF)]
SIZED = st.integers(1, 32).flatmap(
    lambda bits: st.tuples(
        st.just(bits),
        st.lists(st.one_of(st.integers(0, 2**bits - 1), st.integers(0, min(2**bits - 1, 3)))),
    )
)


class Estimates:
    """Krichevsky-Trofimov estimates by the names of their contexts, and the bits so far."""

    def __init__(self) -> None:
        self.counts: dict[Hashable, list[int]] = defaultdict(lambda: [0, 0])
        self.bits = 0.0

    def decide(self, context: Hashable, bit: int) -> None:
        counts = self.counts[context]
        self.bits -= math.log2((counts[bit] + 0.5) / (sum(counts) + 1))
        counts[bit] += 1

    def tree(self, name: Hashable, number: int, num_bits: int) -> None:
        for place in reversed(range(num_bits)):
            self.decide((name, place, number >> (place + 1)), number >> place & 1)


def symbol_bits(grid: Grid, places: list[tuple[int, int]], values: Ints, in_context: bool) -> float:
    """Signs, each by those to the left, above and in the plane before; then an index a sign."""
    patterns = np.unique(values)
    groups = [sorted(p for p in patterns if (p >> 7) == sign) for sign in (1, 0)]
    estimates = Estimates()
    signs: dict[tuple[int, int, int, int], int] = {}
    for (row, column), value in zip(places, values, strict=True):
        line, across = divmod(column, grid.width)
        plane, line = divmod(line, grid.num_lines)
        sign = -1 if value >> 7 else 1
        around = ()
        if in_context:
            near = ((plane, line, across - 1), (plane, line - 1, across), (plane - 1, line, across))
            around = tuple(signs.get((row, *place), 0) for place in near)
        if all(groups):
            estimates.decide(("sign", around), int(sign > 0))
        signs[row, plane, line, across] = sign
        group = groups[sign > 0]
        # The codebook lists negative values from the lowest up, that is, patterns downwards.
        index = group.index(value) if sign > 0 else len(group) - 1 - group.index(value)
        estimates.tree(sign, index, math.ceil(math.log2(len(group))))
    return estimates.bits


def sparse_case(as_matrix, shape, seed: int, num_levels: int):
    rng = np.random.default_rng(seed)
    grid = shape_grid(shape)
    mask = rng.random((grid.num_rows, grid.num_columns)) < rng.choice([0.1, 0.5, 1])
    matrix = as_matrix(mask)
    levels = rng.choice(GOOD, num_levels, replace=False)
    patterns = rng.choice(levels, len(matrix.columns), p=rng.dirichlet(np.ones(num_levels)))
    return grid, matrix, patterns.astype(np.int64)


@given(SHAPES, st.integers(0, 2**32), st.integers(1, 9), st.booleans())
def test_codebook_and_symbols_are_as_long_as_by_named_contexts(
    as_matrix, shape, seed: int, num_levels: int, image: bool
) -> None:
    grid, matrix, patterns = sparse_case(as_matrix, shape, seed, num_levels)
    if not len(patterns):
        return
    rows = np.repeat(np.arange(grid.num_rows), np.diff(matrix.row_starts))
    places = list(zip(rows.tolist(), matrix.columns.tolist(), strict=True))
    coder = ArithmeticCoder(compiled=False)
    values = ValueCoder(coder, E4M3)
    values.code((grid, matrix.row_starts, matrix.columns), patterns)
    lengths = [symbol_bits(grid, places, patterns, in_context) for in_context in (False, True)]
    book = ArithmeticCoder(compiled=False)
    code_codebook(book, make_codebook(patterns, E4M3), E4M3)
    directly = Estimates()
    for pattern in patterns:
        directly.tree("all", int(pattern), 8)
    signs_may_help = grid.has_image and len(np.unique(patterns >> 7)) == 2
    symbols = min(lengths) if signs_may_help else lengths[0]
    through_codebook = math.log2(3) + book.information + 1 + symbols
    by_patterns = math.log2(3) + directly.bits
    if not values.codebook_bits:
        assert coder.information == pytest.approx(by_patterns, abs=1e-6)
        assert by_patterns <= math.log2(3) + book.information + lengths[0] + 1e-6
    else:
        assert coder.information == pytest.approx(through_codebook, abs=1e-6)
        assert values.codebook_bits == pytest.approx(math.log2(6) + book.information, abs=1e-6)


@given(SHAPES, st.integers(0, 2**32), st.sampled_from(list(FORMATS)), st.booleans())
def test_round_trip_of_tensors_that_share_levels(
    as_matrix, shape, seed: int, name: str, compiled: bool
) -> None:
    number_format = FORMATS[name]
    rng = np.random.default_rng(seed)
    tensors = []
    for num_levels in rng.integers(1, 7, 4):
        grid, matrix, _ = sparse_case(as_matrix, shape, int(rng.integers(2**32)), 2)
        numbers = number_format.round(torch_numbers(rng, num_levels))
        levels = number_format.codes(numbers).numpy().astype(np.int64)
        levels &= (1 << number_format.bits_per_weight) - 1
        tensors.append((grid, matrix, rng.choice(levels, len(matrix.columns))))
    coders = [ArithmeticCoder(compiled=compiled), ArithmeticCoder(compiled=not compiled)]
    for coder in coders:
        values = ValueCoder(coder, number_format)
        for grid, matrix, patterns in tensors:
            values.code((grid, matrix.row_starts, matrix.columns), patterns)
    data, num_bits = coders[0].finish()
    assert coders[1].finish() == (data, num_bits)
    reader = ArithmeticCoder(data + b"\xff", compiled=compiled)
    values = ValueCoder(reader, number_format)
    for grid, matrix, patterns in tensors:
        found = values.code((grid, matrix.row_starts, matrix.columns), None)
        assert (found == patterns).all()
    assert reader.finish() == (data, num_bits)


def torch_numbers(rng: np.random.Generator, count: int):
    import torch

    return torch.from_numpy(rng.choice([-2, -1, -0.5, 0.25, 1, 1.5, 3, 100], count))


def full(num_rows: int, num_columns: int) -> tuple[Grid, Ints, Ints]:
    grid = plain_grid(num_rows, num_columns)
    starts = np.arange(num_rows + 1, dtype=np.int64) * num_columns
    return grid, starts, np.tile(np.arange(num_columns, dtype=np.int64), num_rows)


def test_a_codebook_is_written_once() -> None:
    rng = np.random.default_rng(0)
    coder = ArithmeticCoder()
    values = ValueCoder(coder, FORMATS["bfloat16"])
    levels = np.array([0x3F80, 0xBF80, 0x4000, 0xC000])
    bits = []
    for _ in range(3):
        values.code(full(10, 40), rng.choice(levels, 400))
        bits.append(values.codebook_bits)
    assert bits[0] > 40
    assert bits[1:] == pytest.approx([math.log2(3) + 1] * 2, abs=1e-6)
    assert len(values.codebooks) == 1


def test_no_values_take_no_bits() -> None:
    coder = ArithmeticCoder()
    empty = np.zeros(0, dtype=np.int64)
    found = ValueCoder(coder, E4M3).code((plain_grid(3, 4), np.zeros(4, int), empty), empty)
    assert (len(found), coder.information) == (0, 0)


@pytest.mark.parametrize("bits", [8, 16, 32])
def test_patterns_have_twelve_adaptive_bits(bits: int) -> None:
    rng = np.random.default_rng(bits)
    patterns = rng.integers(0, 1 << bits, 300)
    patterns[::2] = patterns[0]
    coder, estimates = ArithmeticCoder(compiled=False), Estimates()
    code_patterns(coder, patterns.copy(), bits)
    plain = max(bits - 12, 0)
    for pattern in patterns:
        estimates.tree("all", int(pattern) >> plain, min(bits, 12))
    assert coder.information == pytest.approx(estimates.bits + 300 * plain, abs=1e-5)
    found = np.zeros(300, dtype=np.int64)
    code_patterns(ArithmeticCoder(coder.finish()[0]), found, bits)
    assert (found == patterns).all()


@pytest.mark.slow
def test_many_values_are_estimated_and_not_tried() -> None:
    rng = np.random.default_rng(3)
    support = full(1 << 9, (1 << 9) + 1)
    for patterns in (rng.choice(GOOD[:5], 2**18 + 2**9), rng.choice(GOOD, 2**18 + 2**9)):
        coder = ArithmeticCoder()
        values = ValueCoder(coder, E4M3)
        values.code(support, patterns)
        values.code(support, patterns)
        reader = ArithmeticCoder(coder.finish()[0])
        other = ValueCoder(reader, E4M3)
        assert (other.code(support, None) == patterns).all()
        assert (other.code(support, None) == patterns).all()
        assert coder.information < 2.01 * 8 * len(patterns)


def test_sharing_before_there_is_a_codebook_is_refused() -> None:
    coder = ArithmeticCoder()
    coder.uniform(1, 3)  # "shared"
    reader = ArithmeticCoder(coder.finish()[0] + bytes(20))
    with pytest.raises(CodecError, match="before there is one"):
        ValueCoder(reader, E4M3).code(full(2, 2), None)


def test_a_symbol_that_the_codebook_lacks_is_refused() -> None:
    coder = ArithmeticCoder()
    coder.uniform(0, 3)  # "new"
    code_codebook(coder, make_codebook(np.array([1, 2, 3]), E4M3), E4M3)
    coder.uniform(0, 2)
    reader = ArithmeticCoder(coder.finish()[0] + bytes(20))  # what follows reads as 1, 1, ...
    with pytest.raises(CodecError, match="its codebook does not have"):
        ValueCoder(reader, E4M3).code(full(2, 2), None)


@given(st.lists(st.sampled_from(NUMBERS), min_size=1, max_size=60))
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
    missing = next(pattern for pattern in NUMBERS if pattern not in patterns)
    assert not codebook.holds(np.array([patterns[0], missing]))


@given(st.sets(st.sampled_from(NUMBERS), min_size=1, max_size=60))
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


@pytest.mark.parametrize("number", [257, 2**32, 2**120])
def test_refuses_more_values_than_there_are(number: int) -> None:
    coder = ArithmeticCoder()
    coder.integer(number)
    with pytest.raises(CodecError, match=f"{number} values of 8 bits"):
        code_codebook(ArithmeticCoder(coder.finish()[0] + bytes(100)), None, E4M3)


def test_refuses_as_many_values_as_the_coder_cannot_tell_apart() -> None:
    coder = ArithmeticCoder()
    coder.integer(2**32)
    with pytest.raises(CodecError, match=f"{2**32} values of 32 bits"):
        code_codebook(ArithmeticCoder(coder.finish()[0] + bytes(100)), None, FORMATS["float32"])


def test_a_huge_codebook_of_few_bits_is_refused_without_listing_it() -> None:
    coder = ArithmeticCoder()
    coder.integer(2**32 - 1)
    with pytest.raises(CodecError, match="twice"):
        code_codebook(ArithmeticCoder(coder.finish()[0] + bytes(100)), None, FORMATS["float32"])


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
