"""The arithmetic coder against exact fractions, and as a prefix-free code by enumeration."""

import importlib.util
import itertools
import math
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.codes.arithmetic_coder import (
    MAX_VALUE,
    ArithmeticCoder,
    CodecError,
    counted_table,
    delta_bits,
    load_kernels,
    read_delta,
)
from analysis.codes.kernels import range_kernel, support_kernel, value_kernel
from tests.examples import examples
from training.kernels import compiled as compiling

# One decision: a value and how many there are, or a bit (total 0) and its context.
Decision = tuple[int, int]
NUM_CONTEXTS = 3
KERNELS = (range_kernel, support_kernel, value_kernel)


def code(coder: ArithmeticCoder, decisions: list[Decision]) -> list[int]:
    table = counted_table(NUM_CONTEXTS)
    return [
        coder.uniform(value, total) if total > 0 else coder.counted(table, -total, value)
        for value, total in decisions
    ]


def encode(decisions: list[Decision], *, compiled: bool = False) -> tuple[bytes, int]:
    coder = ArithmeticCoder(compiled=compiled)
    code(coder, decisions)
    return coder.finish()


def as_string(data: bytes, num_bits: int) -> str:
    return "".join(f"{byte:08b}" for byte in data)[:num_bits]


def as_bytes(bits: str) -> bytes:
    padded = bits + "0" * (-len(bits) % 8)
    return bytes(int(padded[at : at + 8], 2) for at in range(0, len(padded), 8))


class ExactInterval:
    """The coder by its definition, on fractions; the width is a multiple of 2^-56, 2^-64, ..."""

    def __init__(self) -> None:
        self.low, self.units, self.unit = Fraction(0), 2**56, Fraction(1, 2**56)
        self.probability = Fraction(1)
        self.counts = [[0, 0] for _ in range(NUM_CONTEXTS)]

    def decide(self, value: int, total: int) -> None:
        if total > 0:
            self._narrow(value * (self.units // total), self.units // total, Fraction(1, total))
            return
        counts = self.counts[-total]
        seen = 2 * sum(counts) + 2
        one = self.units // seen * (2 * counts[1] + 1)
        if value:
            self._narrow(0, one, Fraction(2 * counts[1] + 1, seen))
        else:
            self._narrow(one, self.units - one, Fraction(2 * counts[0] + 1, seen))
        counts[value] += 1

    def _narrow(self, skipped: int, units: int, probability: Fraction) -> None:
        self.low += skipped * self.unit
        self.units = units
        self.probability *= probability
        while self.units <= 2**48:
            self.units *= 256
            self.unit /= 256

    def codeword(self) -> str:
        """The first shortest string all of whose continuations lie in the interval."""
        width = self.units * self.unit
        length = 0
        while True:
            number = math.ceil(self.low * 2**length)
            if Fraction(number + 1, 2**length) <= self.low + width:
                return f"{number:0{length}b}" if length else ""
            length += 1


def decisions_strategy(largest: int = 1 << 20) -> st.SearchStrategy[list[Decision]]:
    totals = st.one_of(
        st.integers(1, 6), st.integers(1, largest), st.sampled_from([2, 4, 256, 1 << 16])
    )
    uniform = totals.flatmap(lambda total: st.tuples(st.integers(0, total - 1), st.just(total)))
    counted = st.tuples(st.integers(0, 1), st.integers(-NUM_CONTEXTS + 1, 0))
    return st.lists(st.one_of(uniform, counted), max_size=120)


@given(decisions_strategy())
def test_equals_exact_fractions(decisions: list[Decision]) -> None:
    exact = ExactInterval()
    for value, total in decisions:
        exact.decide(value, total)
    coder = ArithmeticCoder(compiled=False)
    code(coder, decisions)
    data, num_bits = coder.finish()
    assert as_string(data, num_bits) == exact.codeword()
    assert len(data) == -(-num_bits // 8)
    ideal = math.log2(exact.probability.denominator) - math.log2(exact.probability.numerator)
    assert coder.information == pytest.approx(ideal, abs=1e-4)
    assert ideal - 1e-9 <= num_bits <= ideal + 2 + 1e-4


@given(decisions_strategy(1 << 32))
@examples(0.5)
def test_compiled_code_and_plain_python_write_the_same_bytes(decisions: list[Decision]) -> None:
    assert encode(decisions, compiled=True) == encode(decisions, compiled=False)


@given(decisions_strategy(1 << 32), st.text("01", max_size=90), st.booleans())
def test_delimits_itself_whatever_bits_follow(
    decisions: list[Decision], behind: str, compiled: bool
) -> None:
    data, num_bits = encode(decisions)
    coder = ArithmeticCoder(as_bytes(as_string(data, num_bits) + behind), compiled=compiled)
    blank = [(0, total) for _, total in decisions]
    assert code(coder, blank) == [value for value, _ in decisions]
    assert coder.num_bits == num_bits
    assert coder.finish() == (data, num_bits)


@given(decisions_strategy(), st.binary(max_size=40))
def test_reads_nothing_but_codewords(decisions: list[Decision], data: bytes) -> None:
    """Any bytes: refused, or they begin with the codeword of what is read from them."""
    coder = ArithmeticCoder(data, compiled=False)
    try:
        values = code(coder, [(0, total) for _, total in decisions])
        found, num_bits = coder.finish()
    except CodecError:
        return
    read = [(value, total) for value, (_, total) in zip(values, decisions, strict=True)]
    assert all(value in range(max(total, 2)) for value, total in read)
    assert encode(read) == (found, num_bits)
    assert as_string(data, num_bits) == as_string(found, num_bits)


CHOICES = st.lists(
    st.one_of(
        st.lists(st.integers(1, 5), min_size=1, max_size=5),
        st.lists(st.integers(1, 1 << 29), min_size=1, max_size=7),
    ).flatmap(lambda shares: st.tuples(st.integers(0, len(shares) - 1), st.just(shares))),
    max_size=40,
)


@given(CHOICES, st.binary(max_size=9))
def test_choices_equal_exact_fractions_and_are_read_back(
    choices: list[tuple[int, list[int]]], behind: bytes
) -> None:
    exact, written = ExactInterval(), set()
    for value, shares in choices:
        unit = exact.units // sum(shares)
        chosen = Fraction(shares[value], sum(shares))
        exact._narrow(unit * sum(shares[:value]), unit * shares[value], chosen)
    for compiled in (False, True):
        coder = ArithmeticCoder(compiled=compiled)
        for value, shares in choices:
            assert coder.choice(value, np.cumsum(shares)) == value
        data, num_bits = coder.finish()
        written.add(as_string(data, num_bits))
        reader = ArithmeticCoder(data + behind, compiled=compiled)
        assert [reader.choice(0, np.cumsum(each)) for _, each in choices] == [
            value for value, _ in choices
        ]
        assert reader.finish() == (data, num_bits)
    assert written == {exact.codeword()}


@given(st.binary(max_size=20))
def test_choices_of_any_bytes_are_a_codeword_or_refused(data: bytes) -> None:
    ends = np.array([1, 3, 7])
    reader = ArithmeticCoder(data, compiled=False)
    try:
        values = [reader.choice(0, ends) for _ in range(30)]
        found = reader.finish()
    except CodecError:
        return
    coder = ArithmeticCoder(compiled=False)
    assert [coder.choice(value, ends) for value in values] == values
    assert coder.finish() == found


@given(st.lists(st.integers(0, 2), min_size=1, max_size=30), st.data())
@examples(0.3)
def test_refuses_every_string_that_is_cut_short(values: list[int], data: st.DataObject) -> None:
    bits = as_string(*encode([(value, 3) for value in values]))
    kept = data.draw(st.integers(0, len(bits) - 1)) // 8 * 8
    coder = ArithmeticCoder(as_bytes(bits[:kept]), compiled=False)
    with pytest.raises(CodecError, match=r"cut short|damaged"):
        code(coder, [(0, 3)] * len(values))
        coder.finish()


def values_around_one_half(num_values: int) -> list[int]:
    """Thirds, each around 1/2 and not at its edge: no bit is settled. Read off 0.1000..."""
    coder = ArithmeticCoder(b"\x80" + bytes(num_values // 4 + 60))
    values = [coder.uniform(0, 3) for _ in range(num_values + 40)]
    return values[: values.index(1, num_values)]


@pytest.mark.parametrize("num_values", [1, 20, 33, 34, 35, 36, 37, 100, 500])
def test_carries_run_through_bytes_of_ones(num_values: int) -> None:
    """What comes last decides about all bits before it: 0.0111... or 0.1000..."""
    before = values_around_one_half(num_values)
    run = int(len(before) * math.log2(3)) - 2
    for last, first_bits in ((0, "0" + "1" * run), (2, "1" + "0" * run)):
        decisions = [(value, 3) for value in [*before, last, 1, 2, 0]]
        exact = ExactInterval()
        for value, total in decisions:
            exact.decide(value, total)
        for compiled in (False, True):
            bits = as_string(*encode(decisions, compiled=compiled))
            assert bits == exact.codeword()
        assert bits.startswith(first_bits)
        coder = ArithmeticCoder(as_bytes(bits))
        assert code(coder, [(0, 3)] * len(decisions)) == [value for value, _ in decisions]


def test_a_carry_through_thousands_of_bytes() -> None:
    before = [(value, 3) for value in values_around_one_half(30_000)]
    for last, first, others in ((0, 0x7F, 0xFF), (2, 0x80, 0)):
        data, num_bits = encode([*before, (last, 3)], compiled=True)
        assert num_bits == pytest.approx((len(before) + 1) * math.log2(3), abs=2)
        assert data[0] == first
        assert set(data[1:5900]) == {others}


def all_messages() -> dict[str, list[Decision]]:
    """Every message of a small adaptive model, whose second field depends on its first."""
    messages = {}
    for kind in range(3):
        for values in itertools.product(range(kind + 2), repeat=2):
            for bits in itertools.product((0, 1), repeat=5):
                decisions = [(kind, 3), *((value, kind + 2) for value in values)]
                decisions += [(bit, -(at % 2)) for at, bit in enumerate(bits)]
                messages[as_string(*encode(decisions))] = decisions
    return messages


def test_all_codewords_of_a_small_model_are_prefix_free() -> None:
    messages = all_messages()
    assert len(messages) == (4 + 9 + 16) * 32
    words = sorted(messages)
    assert all(not after.startswith(word) for word, after in itertools.pairwise(words))
    assert sum(Fraction(1, 2 ** len(word)) for word in words) <= 1


@given(st.lists(st.integers(0, 70).flatmap(lambda b: st.tuples(st.just(b), st.integers(0)))))
@examples(0.5)
def test_plain_fields_take_exactly_their_bits(fields: list[tuple[int, int]]) -> None:
    coder, expected = ArithmeticCoder(compiled=False), ""
    for width, number in fields:
        value = number % (1 << width)
        assert coder.bits(value, width) == value
        expected += f"{value:0{width}b}" if width else ""
    data, num_bits = coder.finish()
    assert (num_bits, data) == (len(expected), as_bytes(expected))
    reader = ArithmeticCoder(data, compiled=False)
    assert [reader.bits(0, width) for width, _ in fields] == [n % (1 << w) for w, n in fields]


@given(st.lists(st.integers(1, 2**127 - 1), max_size=20))
@examples(0.3)
def test_whole_numbers(values: list[int]) -> None:
    coder = ArithmeticCoder(compiled=False)
    for value in values:
        coder.integer(value)
    reader = ArithmeticCoder(coder.finish()[0], compiled=False)
    assert [reader.integer(1) for _ in values] == values


def test_numbers_without_end_are_refused() -> None:
    with pytest.raises(CodecError, match="damaged: it holds a number with no end"):
        ArithmeticCoder(bytes(40)).integer(1)


def test_reading_past_the_end_stops_soon() -> None:
    coder = ArithmeticCoder(b"\xa7\x13")
    with pytest.raises(CodecError, match="cut short"):
        for _ in range(1000):
            coder.uniform(0, 256)
    assert coder.num_bits <= 8 * 4
    table = counted_table(1)
    reader = ArithmeticCoder(b"")
    with pytest.raises(CodecError, match="cut short"):
        for at in range(1000):
            table[0] = (1, 2) if at % 2 else (5, 6)
            reader.counted(table, 0, 0)


@pytest.mark.parametrize("compiled", [False, True])
def test_data_where_no_encoder_goes_are_refused_at_once(compiled: bool) -> None:
    coder = ArithmeticCoder(b"\xff" * 60, compiled=compiled)
    with pytest.raises(CodecError, match="damaged: no description"):
        coder.uniform(0, 3)  # 2^56 = 1 modulo 3, so the last number belongs to none of the three


@pytest.mark.parametrize("total", [0, -1, 2**32 + 1])
def test_refuses_a_total_out_of_range(total: int) -> None:
    with pytest.raises(ValueError, match="total must lie in 1"):
        ArithmeticCoder().uniform(0, total)


@pytest.mark.parametrize("compiled", [False, True])
def test_many_zeros_in_a_row_stay_in_range(compiled: bool) -> None:
    """Plain Python would warn of an overflow, and a warning is an error here."""
    coder = ArithmeticCoder(compiled=compiled)
    for _ in range(1500):
        coder.uniform(1, 2)
    assert coder.finish() == (b"\xff" * 187 + b"\xf0", 1500)


def test_a_fork_writes_nothing_into_its_parent() -> None:
    coder: Callable[..., ArithmeticCoder] = ArithmeticCoder
    parent = coder()
    parent.uniform(1, 3)
    trial = parent.fork()
    trial.bits(99, 40)
    assert (trial.information, trial.decoding) == (40, False)
    assert parent.information == pytest.approx(math.log2(3))


def test_plain_python_is_the_modules_own_functions() -> None:
    plain = load_kernels(compiled=False)
    assert plain.code_uniform is range_kernel.code_uniform
    assert plain.code_support is support_kernel.code_support


def test_compiled_kernels_have_the_same_names() -> None:
    plain, compiled = load_kernels(compiled=False), load_kernels(compiled=True)
    assert set(vars(plain)) == set(vars(compiled))
    assert compiled.code_support.py_func is plain.code_support
    assert load_kernels(compiled=True) is compiled


def test_without_numba_plain_python_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    fresh = load_kernels.__wrapped__(compiled=True)
    assert fresh.code_counted is range_kernel.code_counted


def test_the_cache_goes_by_the_sources(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    before = compiling._source_hash(KERNELS)
    changed = tmp_path / "range_kernel.py"
    changed.write_bytes(Path(str(range_kernel.__file__)).read_bytes() + b"\n# changed\n")
    monkeypatch.setattr(range_kernel, "__file__", str(changed))
    assert compiling._source_hash(KERNELS) != before


def test_a_folder_that_cannot_be_made_is_no_obstacle(tmp_path: Path) -> None:
    class Config:
        CACHE_DIR = "before"

    (tmp_path / "file").touch()
    with compiling._cache_in(Config, tmp_path / "file" / "below"):
        assert Config.CACHE_DIR == "before"
    with compiling._cache_in(Config, tmp_path / "folder"):
        assert str(tmp_path / "folder") == Config.CACHE_DIR
    assert Config.CACHE_DIR == "before"


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
