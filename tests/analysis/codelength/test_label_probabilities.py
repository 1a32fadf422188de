"""Integer probabilities against exact integer roots, and against the softmax."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from analysis.codelength.label_probabilities import (
    MAX_CLASSES,
    NUM_SHARPNESSES,
    find_sharpness,
    label_bits,
    label_shares,
    power_table,
    sharpness,
)

Logits = NDArray[np.float64]
INDICES = st.integers(0, NUM_SHARPNESSES - 1)


def logits_strategy(*, largest: float = 1e6, min_images: int = 1) -> st.SearchStrategy[Logits]:
    shapes = st.tuples(st.integers(min_images, 12), st.integers(1, 7))
    return arrays.arrays(np.float64, shapes, elements=st.floats(-largest, largest))


def float_bits(logits: Logits, labels: NDArray[np.int64], scale: float) -> float:
    """The log-loss in nats of the softmax at that scale, over ln 2."""
    scaled = logits * scale
    sums = np.logaddexp.reduce(scaled, axis=1)
    return float((sums - scaled[np.arange(len(labels)), labels]).sum()) / math.log(2)


def test_powers_are_exact_integer_roots() -> None:
    table = power_table().tolist()
    assert len(table) == 4096
    assert table == sorted(table, reverse=True)
    for place in (0, 1, 2, 3, 7, 100, 1023, 1024, 2047, 2048, 4000, 4094, 4095):
        power = 1 << (30 * 4096 - place)  # (2^30 2^(-place / 4096))^4096
        assert table[place] ** 4096 <= power < (table[place] + 1) ** 4096


def test_sharpnesses_rise_by_at_most_an_eighth_and_are_exact() -> None:
    values = [sharpness(index) for index in range(NUM_SHARPNESSES)]
    steps = [after / before for before, after in itertools.pairwise(values)]
    assert 1 < min(steps) <= max(steps) <= 1.125
    assert values[0] == 2.0**-16
    assert values[-1] == 15 * 2.0**12
    for index in (-1, NUM_SHARPNESSES):
        with pytest.raises(ValueError, match="index"):
            sharpness(index)


@given(logits_strategy(largest=1.7e308), INDICES)
def test_shares_are_positive_and_add_up(logits: Logits, index: int) -> None:
    shares = label_shares(logits, index)
    assert shares.dtype == np.int64
    assert shares.shape == logits.shape
    assert shares.min() >= 1
    assert (shares.sum(axis=1) == 1 << 24).all()
    order = np.argsort(-logits, axis=1, kind="stable")
    assert (np.diff(np.take_along_axis(shares, order, axis=1), axis=1) <= 0).all()


@given(logits_strategy(largest=30), st.integers(64, 160))
def test_shares_are_the_softmax(logits: Logits, index: int) -> None:
    scale = sharpness(index) * math.log(2)
    shifted = (logits - logits.max(axis=1, keepdims=True)) * scale
    softmax = np.exp(shifted) / np.exp(shifted).sum(axis=1, keepdims=True)
    assert label_shares(logits, index) / 2**24 == pytest.approx(softmax, rel=5e-4, abs=1e-6)


@given(logits_strategy(largest=9), st.integers(100, 140), st.data())
def test_lengths_are_the_log_loss(logits: Logits, index: int, data: st.DataObject) -> None:
    """Within 1/2000 of a bit per label, where no probability is below 2^-12."""
    scale = sharpness(index)
    logits = logits.clip(-5 / scale, 5 / scale)
    places = st.integers(0, logits.shape[1] - 1)
    labels = np.array([data.draw(places) for _ in logits])
    expected = float_bits(logits, labels, scale * math.log(2))
    found = label_bits(logits, labels, index)
    assert found == pytest.approx(expected, abs=len(labels) / 2000)


def test_a_label_never_costs_more_than_24_bits() -> None:
    logits = np.array([[0.0, 1e300], [1e300, 0.0]])
    assert label_bits(logits, np.array([0, 0]), 255) == pytest.approx(24, abs=1e-6)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_an_image_without_a_class_has_equal_shares(bad: float) -> None:
    shares = label_shares(np.array([[1.0, bad, 3.0, 0.0], [0.0, 9.0, 0.0, 0.0]]), 200)
    assert shares[0].tolist() == [1 << 22] * 4
    assert shares[1].tolist() == [1, (1 << 24) - 3, 1, 1]


def test_ties_give_the_rest_to_the_first() -> None:
    assert label_shares(np.zeros((1, 3)), 9).tolist() == [[5592406, 5592405, 5592405]]


@pytest.mark.parametrize("shape", [(3,), (2, 0), (1, MAX_CLASSES + 1)])
def test_refuses_what_are_no_logits(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="logits"):
        label_shares(np.zeros(shape), 0)


@given(st.integers(0, 5), st.floats(-6, 6))
def test_the_sharpness_found_is_as_good_as_any(seed: int, power: float) -> None:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 4, 200)
    logits = rng.normal(size=(200, 4))
    logits[np.arange(200), labels] += 1.5
    logits *= 2**power
    found = label_bits(logits, labels, find_sharpness(logits, labels))
    best = min(label_bits(logits, labels, index) for index in range(NUM_SHARPNESSES))
    assert found <= best + 1e-6
    assert found <= float_bits(logits, labels, 1.0) + 1
