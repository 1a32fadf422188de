"""Logarithmic axes hold every value, zero too, and name some of them."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure

from figures.style.axes import log_places, set_count_axis, set_percent_axis, zero_place


@pytest.mark.parametrize("which", ["x", "y"])
@given(values=st.lists(st.integers(0, 10**10), min_size=1, max_size=8))
def test_every_value_is_within_the_limits_and_some_number_is_named(which, values):
    axes = Figure().subplots()
    set_count_axis(axes, which, values)
    low, high = axes.get_xlim() if which == "x" else axes.get_ylim()
    axis = axes.xaxis if which == "x" else axes.yaxis
    assert low > 0
    assert all(low < place < high for place in log_places(values))
    ticks = [tick for tick in axis.get_majorticklocs() if low <= tick <= high]
    assert ticks
    assert len(ticks) <= 9
    if 0 in values:
        assert all(tick > zero_place(values) for tick in ticks)
        assert axis.get_minorticklocs().tolist() == [zero_place(values)]
        assert [label.get_text() for label in axis.get_ticklabels(minor=True)] == ["0"]


@given(st.lists(st.integers(0, 10**10), min_size=1))
def test_zero_is_below_all_else(values):
    assert all(zero_place(values) < value for value in values if value > 0)
    assert log_places(values) == [value or zero_place(values) for value in values]


@pytest.mark.parametrize(
    ("values", "names"),
    [
        ([1_000, 20_000_000], ["1k", "10k", "100k", "1M", "10M"]),
        ([300], ["300"]),
        ([200, 900], ["200", "500", "1k"]),
        ([10_000, 10**12], ["10k", "1M", "100M", "10G", "1T"]),
    ],
)
def test_names(values, names):
    figure = Figure()
    axes = figure.subplots()
    set_count_axis(axes, "x", values)
    figure.draw_without_rendering()
    assert [label.get_text() for label in axes.get_xticklabels()] == names


@given(st.lists(st.floats(0, 100), min_size=1))
def test_percents_are_within_the_limits(percents):
    axes = Figure().subplots()
    set_percent_axis(axes, percents)
    low, high = axes.get_ylim()
    assert low < min(percents)
    assert high > max(percents)
    assert high - low >= 4
    assert all(0 <= tick <= 100 for tick in axes.get_yticks())
    assert math.isfinite(low)
