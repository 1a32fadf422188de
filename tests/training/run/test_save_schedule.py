"""When checkpoints are due, and that saving keeps to its share of the time: on a made-up clock."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.run.save_schedule import MAX_SHARE, SaveInterval, SaveSchedule


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(
    ("text", "count", "unit", "words"),
    [
        ("1", 1, "epochs", "every epoch"),
        ("25", 25, "epochs", "every 25 epochs"),
        ("500steps", 500, "steps", "every 500 steps"),
        ("1steps", 1, "steps", "every step"),
        ("90s", 90, "seconds", "every 90 seconds"),
        (" 10m", 600, "seconds", "every 600 seconds"),
        ("2h", 7200, "seconds", "every 7200 seconds"),
    ],
)
def test_intervals_are_read(text: str, count: int, unit: str, words: str) -> None:
    interval = SaveInterval.parse(text)
    assert (interval.count, interval.unit, str(interval)) == (count, unit, words)


@pytest.mark.parametrize(
    "text", ["", "0", "0s", "-1", "1.5", "10 m", "10min", "m", "1e3", "9999999999"]
)
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"epochs such as 5, steps such as 500steps, or a time"):
        SaveInterval.parse(text)


def test_a_count_below_one_is_refused() -> None:
    with pytest.raises(ValueError, match="must be >= 1, not 0"):
        SaveInterval(count=0)


@pytest.mark.parametrize(
    ("text", "expected"), [("1", [4, 8, 12]), ("2", [8]), ("3steps", [3, 6, 9, 12])]
)
def test_epochs_and_steps_are_due_at_their_multiples(text: str, expected: list[int]) -> None:
    schedule = SaveSchedule(SaveInterval.parse(text), steps_per_epoch=4)
    assert [step for step in range(1, 13) if schedule.is_due(step)] == expected


def test_a_time_is_due_once_it_has_passed_since_the_last_save() -> None:
    clock = Clock()
    schedule = SaveSchedule(SaveInterval.parse("10s"), steps_per_epoch=4, clock=clock)
    saved = []
    for step in range(1, 11):
        clock.now += 3
        if schedule.is_due(step) and schedule.begin_save(0.0):
            saved.append(clock.now - 100)
    assert saved == [12, 24]


def run_saves(epoch: float, cost: float, num_epochs: int) -> list[float]:
    """Times at which saves begin, where each costs the same."""
    clock = Clock()
    schedule = SaveSchedule(SaveInterval(), steps_per_epoch=1, clock=clock)
    times: list[float] = []
    for step in range(1, num_epochs + 1):
        clock.now += epoch
        if schedule.is_due(step) and schedule.begin_save(cost * len(times)):
            times.append(clock.now - 100)
    return times


@given(epoch=st.floats(0.01, 1e4), share=st.floats(0, MAX_SHARE * 0.999))
def test_what_fits_is_saved_as_often_as_asked(epoch: float, share: float) -> None:
    assert len(run_saves(epoch, share * epoch, 30)) == 30


@given(epoch=st.floats(0.01, 100), cost=st.floats(1e-4, 100))
def test_saving_keeps_to_its_share_and_little_is_lost(epoch: float, cost: float) -> None:
    times = run_saves(epoch, cost, 60)
    assert times[0] == pytest.approx(epoch)
    for number, moment in enumerate(times[1:], start=2):
        assert number * cost <= MAX_SHARE * moment * (1 + 1e-9)
    for earlier, later in itertools.pairwise(times):
        assert later - earlier <= 2 * cost / MAX_SHARE + epoch + 1e-6
