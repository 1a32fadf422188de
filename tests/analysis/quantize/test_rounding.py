"""Rounding straight to patterns: two forms of ours against torch's rounding of values."""

import sys

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from analysis.quantize.formats import FORMATS
from analysis.quantize.rounding_kernel import (
    INFINITY_32,
    LARGEST,
    LAYOUTS,
    NUM_NONZEROS,
    NUM_ROUNDED,
    NUM_STORED_NONZEROS,
    Marks,
    RoundingLayout,
    load_scan,
    round_to_patterns,
    scan_plain,
)

NAMES = sorted(LAYOUTS)
BITS = st.lists(st.integers(0, 2**32 - 1).filter(lambda x: x & INFINITY_32 != INFINITY_32))


def by_torch(bits: NDArray[np.uint32], name: str) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Patterns and what changed, by rounding values; -0 becomes 0."""
    values = torch.from_numpy(bits.view(np.float32))
    rounded = FORMATS[name].round(values)
    patterns = FORMATS[name].codes(rounded).to(torch.int64) % (1 << LAYOUTS[name].num_bits)
    return patterns.numpy(), (rounded != values).numpy()


def scan(bits: NDArray[np.uint32], layout: RoundingLayout, *, compiled: bool) -> Marks:
    marks = Marks(seen=np.zeros(1 << layout.num_bits, dtype=np.uint8))
    load_scan(compiled=compiled)(bits, marks.seen, marks.totals, layout)
    return marks


def check(bits: NDArray[np.uint32], name: str) -> None:
    layout = LAYOUTS[name]
    expected, changed = by_torch(bits, name)
    patterns, found_changed = round_to_patterns(bits.view(np.float32), layout)
    minus_zero = 1 << (layout.num_bits - 1)
    np.testing.assert_array_equal(np.where(patterns == minus_zero, 0, patterns), expected)
    np.testing.assert_array_equal(found_changed, changed)
    for compiled in (True, False):
        marks = scan(bits, layout, compiled=compiled)
        assert set(np.flatnonzero(marks.seen)) == set(patterns.tolist())
        assert marks.totals[NUM_NONZEROS] == np.count_nonzero(expected)
        assert marks.totals[NUM_STORED_NONZEROS] == np.count_nonzero(bits.view(np.float32))
        assert marks.totals[NUM_ROUNDED] == changed.sum()
        assert marks.totals[LARGEST] == max((bits & 0x7FFFFFFF).tolist(), default=0)
        assert not marks.has_infinite


@pytest.mark.sample(3)
@pytest.mark.parametrize("name", NAMES)
def test_around_every_number_of_16_bits(name: str) -> None:
    """Each bfloat16 and float16 number, the points half-way between, and their neighbours."""
    high = np.arange(1 << 16, dtype=np.uint32) << np.uint32(16)
    halves = np.arange(1 << 16, dtype=np.uint16).view(np.float16).astype(np.float32)
    halves = halves[np.isfinite(halves)].view(np.uint32)
    parts = [high + np.uint32(low) for low in (0, 1, 0x7FFF, 0x8000, 0x8001, 0xFFFF)]
    parts += [halves + np.uint32(low) for low in (0, 0xFFF, 0x1000, 0x1001)]
    bits = np.concatenate(parts)
    check(bits[(bits & INFINITY_32) != INFINITY_32], name)


@pytest.mark.parametrize("name", NAMES)
@given(numbers=BITS)
def test_any_bits(name: str, numbers: list[int]) -> None:
    check(np.array(numbers, dtype=np.uint32), name)


@pytest.mark.parametrize("name", NAMES)
def test_weights(name: str) -> None:
    generator = np.random.default_rng(0)
    weights = generator.standard_normal(30_000).astype(np.float32) * np.float32(0.02)
    weights[generator.random(30_000) < 0.5] = 0
    check(weights.view(np.uint32), name)


@pytest.mark.parametrize("name", NAMES)
def test_layouts_are_those_of_the_formats(name: str) -> None:
    layout, kind = LAYOUTS[name], FORMATS[name]
    assert layout.num_bits == kind.bits_per_weight
    assert np.uint32(layout.largest).view(np.float32) == kind.largest
    if layout.lowest_exponent:
        smallest = np.uint32(layout.lowest_exponent << 23).view(np.float32)
        assert smallest == torch.finfo(kind.dtype).smallest_normal


@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize("number", [np.inf, -np.inf, np.nan])
def test_what_is_not_finite_is_noticed(number: float, compiled: bool) -> None:
    bits = np.array([1, number, 2], dtype=np.float32).view(np.uint32)
    assert scan(bits, LAYOUTS["float16"], compiled=compiled).has_infinite


def test_threads_join() -> None:
    first = scan(np.array([1, 2], np.float32).view(np.uint32), LAYOUTS["e5m2"], compiled=False)
    second = scan(np.array([3, 2], np.float32).view(np.uint32), LAYOUTS["e5m2"], compiled=False)
    first.join(second)
    assert int(first.seen.sum()) == 3
    assert first.totals[NUM_NONZEROS] == 4
    assert first.totals[LARGEST] == np.float32(3).view(np.uint32)


def test_numba_is_not_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "numba", None)
    load_scan.cache_clear()
    try:
        assert load_scan() is scan_plain
    finally:
        load_scan.cache_clear()
