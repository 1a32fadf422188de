"""Axes hold every value, and their ticks are inside and round."""

from hypothesis import given
from hypothesis import strategies as st

from mdl.report.line_chart import epoch_axis, linear_axis, log_axis

AMOUNTS = st.lists(st.floats(0, 1e12), min_size=1, max_size=20)


@given(AMOUNTS)
def test_a_linear_axis_holds_its_values(values: list[float]) -> None:
    axis = linear_axis(values)
    assert axis.low <= min(values) and max(values) <= axis.high and axis.low < axis.high
    assert all(axis.low - 1e-6 * axis.high <= tick <= axis.high * 1.000001 for tick in axis.ticks)
    assert 1 <= len(axis.ticks) <= 6


@given(st.lists(st.floats(0, 1), min_size=1))
def test_an_axis_of_shares_stays_a_share(values: list[float]) -> None:
    axis = linear_axis(values, limits=(0, 1))
    assert 0 <= axis.low < axis.high <= 1


@given(st.lists(st.integers(0, 10**12), min_size=1, max_size=20))
def test_a_log_axis_holds_its_values_and_puts_zero_at_its_bottom(values: list[int]) -> None:
    axis = log_axis(values)
    assert 0 < axis.low < axis.high
    assert all(axis.low <= value <= axis.high for value in values if value)
    assert axis.place(0) == 0
    assert all(axis.low <= tick <= axis.high for tick in axis.ticks)
    assert len(axis.ticks) <= 12


@given(st.integers(0, 10**6), st.integers(0, 10**6))
def test_places_keep_the_order(first: int, second: int) -> None:
    low, high = sorted((first, second))
    for axis in (linear_axis([low, high]), log_axis([low, high])):
        assert 0 <= axis.place(low) <= axis.place(high) <= 1


@given(st.integers(1, 10_000))
def test_ticks_of_epochs_are_whole(last: int) -> None:
    axis = epoch_axis(last)
    assert all(tick == int(tick) and axis.low <= tick <= axis.high for tick in axis.ticks)
    assert axis.ticks
