"""Philox words against the published algorithm, written out in Python integers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.system.random_streams import (
    Purpose,
    random_permutation,
    random_words,
    to_unit_interval,
)

MASK = 2**64 - 1


def philox(counter: int, key: tuple[int, int]) -> list[int]:
    """Philox 4x64 with ten rounds (Salmon et al., 2011)."""
    x = [counter >> 64 * index & MASK for index in range(4)]
    k = list(key)
    for _ in range(10):
        first, second = x[0] * 0xD2E7470EE14C6C93, x[2] * 0xCA5A826395121157
        x = [second >> 64 ^ x[1] ^ k[0], second & MASK, first >> 64 ^ x[3] ^ k[1], first & MASK]
        k = [k[0] + 0x9E3779B97F4A7C15 & MASK, k[1] + 0xBB67AE8584CAA73B & MASK]
    return x


def test_the_reference_gives_the_published_vector():
    expected = [0x16554D9ECA36314C, 0xDB20FE9D672D0FDC, 0xD7E772CEE186176B, 0x7E68B68AEC7BA23B]
    assert philox(0, (0, 0)) == expected


@given(
    seed=st.integers(0, MASK),
    purpose=st.sampled_from(list(Purpose)),
    start=st.integers(0, 2**70),
    count=st.integers(0, 12),
)
def test_words_are_those_of_philox(seed, purpose, start, count):
    words = random_words(seed, purpose, start=start, count=count)
    places = [divmod(start + index, 4) for index in range(count)]
    # NumPy counts up before it makes its first block.
    assert words.tolist() == [
        philox(block + 1, (seed, int(purpose)))[lane] for block, lane in places
    ]


def test_purposes_are_never_renumbered():
    assert {purpose.name: purpose.value for purpose in Purpose} == {
        "GLYPHS_TRAIN": 0,
        "GLYPHS_TEST": 1,
        "GLYPHS_FRESH": 2,
        "GLYPHS_TRAIN_NOISE": 3,
        "GLYPHS_TEST_NOISE": 4,
        "GLYPHS_FRESH_NOISE": 5,
        "VALIDATION_SPLIT": 6,
        "PIXEL_PERMUTATION": 7,
        "FOLDER_ORDER": 8,
        "PREQUENTIAL_ORDER": 9,
        "LEAVES_TRAIN": 10,
        "LEAVES_TEST": 11,
        "LEAVES_FRESH": 12,
        "LEAVES_TRAIN_GRAIN": 13,
        "LEAVES_TEST_GRAIN": 14,
        "LEAVES_FRESH_GRAIN": 15,
        "LEAVES_TRAIN_NOISE": 16,
        "LEAVES_TEST_NOISE": 17,
        "LEAVES_FRESH_NOISE": 18,
        "HANDWRITING_TRAIN": 19,
        "HANDWRITING_TEST": 20,
        "HANDWRITING_FRESH": 21,
    }


def test_unit_interval_ends():
    ends = to_unit_interval(np.array([0, MASK], dtype=np.uint64))
    assert ends.tolist() == [0.0, 1 - 2.0**-53]


@given(seed=st.integers(0, MASK), length=st.integers(0, 60))
def test_permutation_is_one_and_sorts_the_words(seed, length):
    order = random_permutation(seed, Purpose.PIXEL_PERMUTATION, length)
    words = random_words(seed, Purpose.PIXEL_PERMUTATION, start=0, count=length).tolist()
    assert sorted(order.tolist()) == list(range(length))
    assert [words[index] for index in order] == sorted(words)


@pytest.mark.parametrize("seed", [-1, 2**64])
def test_seed_outside_its_range(seed):
    with pytest.raises(ValueError, match="seed must lie in"):
        random_words(seed, Purpose.GLYPHS_TEST, start=0, count=1)
