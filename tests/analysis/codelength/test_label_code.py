"""Labels as bits: the round trip, lengths against brute force and the log-loss, prefix-freeness."""

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from analysis.codelength.label_code import (
    code_by_frequency,
    decode_labels,
    encode_labels,
    frequency_bits,
    uniform_bits,
)
from analysis.codelength.label_probabilities import label_bits, label_shares, sharpness
from analysis.codes.arithmetic_coder import ArithmeticCoder, CodecError
from tests.analysis.codelength.test_label_probabilities import INDICES, float_bits, logits_strategy

Logits = NDArray[np.float64]
Labels = NDArray[np.int64]


@st.composite
def labelled(draw: st.DrawFn) -> tuple[Logits, Labels]:
    logits = draw(logits_strategy(min_images=0))
    if draw(st.booleans()):
        logits = np.where(draw(st.integers(0, 9)) == 0, np.nan, logits)
    places = st.integers(0, logits.shape[1] - 1)
    return logits, np.array([draw(places) for _ in logits], dtype=np.int64)


def as_string(data: bytes, num_bits: int) -> str:
    return "".join(f"{byte:08b}" for byte in data)[:num_bits]


@given(labelled(), INDICES, st.binary(max_size=12))
def test_round_trip_whatever_follows(
    given_: tuple[Logits, Labels], index: int, behind: bytes
) -> None:
    logits, labels = given_
    written = encode_labels(logits, labels, index)
    read = decode_labels(written.data + behind, logits)
    assert read.labels.tolist() == labels.tolist()
    assert (read.data, read.num_bits) == (written.data, written.num_bits)
    assert read.sharpness_index == index
    assert read.sharpness == sharpness(index)


@given(labelled(), INDICES)
def test_length_is_that_of_the_shares(given_: tuple[Logits, Labels], index: int) -> None:
    logits, labels = given_
    written = encode_labels(logits, labels, index)
    ideal = 8 + label_bits(logits, labels, index)
    assert ideal - 1e-6 <= written.num_bits <= ideal + 2 + 1e-4


def test_length_is_the_log_loss_of_many_labels() -> None:
    """8 bits of the sharpness, at most 2 of the end, and 1/2000 of a bit per label."""
    rng = np.random.default_rng(3)
    labels = rng.integers(0, 10, 3000)
    logits = 3 * rng.normal(size=(3000, 10))
    logits[np.arange(3000), labels] += 4
    written = encode_labels(logits, labels)
    expected = float_bits(logits, labels, written.sharpness * math.log(2))
    assert abs(written.num_bits - 8 - expected) <= 2 + 3000 / 2000
    assert decode_labels(written.data, logits).labels.tolist() == labels.tolist()


def test_the_codewords_of_all_labels_are_a_prefix_free_code() -> None:
    """By brute force: all labels of three images, their probabilities as exact fractions."""
    logits = np.array([[0.0, 1.0, -2.0], [0.5, 0.25, 0.0], [3.0, -3.0, 0.0]])
    for index in (100, 128, 140):
        shares = label_shares(logits, index)
        words = []
        for labels in itertools.product(range(3), repeat=3):
            written = encode_labels(logits, np.array(labels), index)
            words.append(as_string(written.data, written.num_bits))
            chosen = [Fraction(int(shares[at, label]), 1 << 24) for at, label in enumerate(labels)]
            ideal = -math.log2(math.prod(chosen) / 256)
            assert ideal - 1e-9 <= written.num_bits <= ideal + 2 + 1e-4
        words.sort()
        assert all(not after.startswith(word) for word, after in itertools.pairwise(words))
        assert sum(Fraction(1, 2 ** len(word)) for word in words) <= Fraction(1, 256)


@given(st.lists(st.integers(0, 4), max_size=60))
def test_class_frequencies_by_brute_force(values: list[int]) -> None:
    labels = np.array(values, dtype=np.int64)
    probability, counts = Fraction(1), [0] * 5
    for value in values:
        probability *= Fraction(2 * counts[value] + 1, 2 * sum(counts) + 5)
        counts[value] += 1
    ideal = math.log2(probability.denominator) - math.log2(probability.numerator)
    assert ideal - 1e-9 <= frequency_bits(labels, 5) <= ideal + 2 + 1e-4
    coder = ArithmeticCoder()
    code_by_frequency(coder, labels, 5)
    data, _ = coder.finish()
    blank = np.zeros(len(labels), dtype=np.int64)
    assert code_by_frequency(ArithmeticCoder(data), blank, 5).tolist() == values


@pytest.mark.parametrize(("num", "classes"), [(0, 10), (1, 1), (1000, 2), (999, 10), (5, 1000)])
def test_the_uniform_code(num: int, classes: int) -> None:
    labels = np.random.default_rng(0).integers(0, classes, num)
    ideal = num * math.log2(classes)
    assert ideal <= uniform_bits(labels, classes) <= ideal + 2 + 1e-4


@given(st.binary(max_size=30))
def test_any_bytes_are_refused_or_are_a_codeword(data: bytes) -> None:
    logits = np.array([[0.0, 1.0, -2.0], [0.5, np.nan, 0.0], [30.0, -3.0, 0.0]])
    try:
        read = decode_labels(data, logits)
    except CodecError:
        return
    again = encode_labels(logits, read.labels, read.sharpness_index)
    assert (again.data, again.num_bits) == (read.data, read.num_bits)
    assert as_string(data, read.num_bits) == as_string(again.data, again.num_bits)


@pytest.mark.parametrize("labels", [[0, 3], [-1, 0], [0], [0, 1, 2]])
def test_refuses_labels_of_other_images_or_classes(labels: list[int]) -> None:
    with pytest.raises(ValueError, match="labels must"):
        encode_labels(np.zeros((2, 3)), np.array(labels))
