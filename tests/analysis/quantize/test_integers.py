"""Integers as they are coded: taken apart and put together again, against arithmetic by hand."""

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from analysis.quantize.integers import INTEGER_TYPES, IntegerFormat, count_integers, fewest_bits

PACKED = [("int32", 4), ("int32", 2), ("int32", 8), ("uint8", 4), ("int64", 16), ("uint16", 1)]


@st.composite
def packed_words(draw: st.DrawFn) -> tuple[IntegerFormat, np.ndarray]:
    stored, bits = draw(st.sampled_from(PACKED))
    size = 8 * np.dtype(stored).itemsize
    form = IntegerFormat(stored=stored, bits_per_weight=bits, num_fields=size // bits)
    return form, draw(arrays.arrays(stored, arrays.array_shapes(max_dims=3, max_side=4)))


@given(packed_words())
def test_fields_are_the_digits_of_each_word(case: tuple[IntegerFormat, np.ndarray]) -> None:
    form, words = case
    fields = form.unpack(words)
    assert fields.shape == (*words.shape, form.num_fields)
    size = 8 * words.dtype.itemsize
    for word, digits in zip(words.ravel(), fields.reshape(-1, form.num_fields), strict=True):
        total = sum(int(digit) << (form.bits_per_weight * at) for at, digit in enumerate(digits))
        assert total == int(word) % 2**size
    back = form.pack(fields)
    assert back.dtype == getattr(torch, form.stored)
    assert np.array_equal(back.numpy(), words)


@given(st.sampled_from([each for each in INTEGER_TYPES if each != "bool"]), st.data())
def test_patterns_are_twos_complement(stored: str, data: st.DataObject) -> None:
    bits = data.draw(st.integers(1, min(32, 8 * np.dtype(stored).itemsize)))
    form = IntegerFormat(stored=stored, bits_per_weight=bits)
    room = st.integers(form.smallest, form.smallest + 2**bits - 1)
    numbers = data.draw(st.lists(room, min_size=1, max_size=20))
    values = torch.tensor(numbers, dtype=form.dtype)
    patterns = form.patterns(values)
    assert patterns.tolist() == [number % 2**bits for number in numbers]
    assert torch.equal(form.values(patterns), values)
    assert torch.equal(form.pack(form.unpack(np.array(numbers, stored))).long(), values.long())
    outside = torch.tensor([form.smallest + 2**bits])
    with pytest.raises(ValueError, match=f"integers of {bits} bits"):
        form.patterns(outside)


@given(st.integers(-(2**31), 2**31 - 1), st.integers(-(2**31), 2**31 - 1))
@example(-(2**15), -(2**15))
@example(0, 0)
@example(-1, -1)
def test_fewest_bits_hold_both_ends(one: int, other: int) -> None:
    low, high = min(one, other), max(one, other)
    bits = fewest_bits(low, high, signed=True)
    assert -(2 ** (bits - 1)) <= low <= high < 2 ** (bits - 1)
    if bits > 1:
        assert not -(2 ** (bits - 2)) <= low <= high < 2 ** (bits - 2)
    unsigned = fewest_bits(abs(low), abs(high), signed=False)
    assert abs(high) < 2**unsigned <= max(2 * abs(high), 2)


@given(st.lists(st.lists(st.integers(-5, 5), max_size=9), max_size=4))
def test_counts_piece_by_piece(pieces: list[list[int]]) -> None:
    found = count_integers(torch.tensor(piece, dtype=torch.int64) for piece in pieces)
    joined = [number for piece in pieces for number in piece]
    assert found.num_nonzeros == sum(number != 0 for number in joined)
    assert found.distinct.tolist() == sorted(set(joined) - {0})
    assert (found.smallest, found.largest) == (min(joined, default=0), max(joined, default=0))


def test_flags_are_bits() -> None:
    form = IntegerFormat(stored="bool", bits_per_weight=1)
    flags = form.unpack(np.array([0, 1, 2], np.uint8))
    assert flags.tolist() == [0, 1, 1]
    assert form.pack(flags).tolist() == [False, True, True]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"stored": "float32", "bits_per_weight": 8}, "must be one of int8"),
        ({"stored": "int8", "bits_per_weight": 9}, "int8 has no 9 bits"),
        ({"stored": "int64", "bits_per_weight": 33}, "must lie in 1..32"),
        ({"stored": "int32", "bits_per_weight": 3, "num_fields": 10}, "no 10 fields of 3 bits"),
    ],
)
def test_refusals(fields: dict, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        IntegerFormat(**fields)
