import pytest

from mdl.experiments.claims.lasso_settings import BestDifference
from mdl.experiments.claims.statistics import Sample, contrast


def one(accuracy: float) -> Sample:
    return Sample(values={0: accuracy}, num_images=5000)


def test_one_against_one_is_their_contrast() -> None:
    best = BestDifference(first=(one(0.8),), second=(one(0.75),))
    plain = contrast([(1, one(0.8)), (-1, one(0.75))])
    assert best.value == pytest.approx(0.05)
    assert best.interval(0.05) == pytest.approx(plain.interval(0.05))
    assert best.p_value() == pytest.approx(plain.p_value(0.0))
    assert best.basis == "test images alone, one seed"


def test_every_further_setting_widens_the_interval() -> None:
    widths = []
    for number in (1, 2, 4, 8):
        best = BestDifference(first=(one(0.8),) * number, second=(one(0.75),))
        low, high = best.interval(0.05)
        assert low < best.value < high
        widths.append(high - low)
    assert widths == sorted(widths)


def test_a_poor_setting_hardly_matters() -> None:
    pair = BestDifference(first=(one(0.8),), second=(one(0.75),))
    more = BestDifference(first=(one(0.8), one(0.1)), second=(one(0.75), one(0.1)))
    assert more.value == pair.value
    assert more.interval(0.05)[0] > 0.05 - 2 * (0.05 - pair.interval(0.05)[0])


def test_both_sides_need_a_setting() -> None:
    with pytest.raises(ValueError, match="both groups"):
        BestDifference(first=(), second=(one(0.5),))
