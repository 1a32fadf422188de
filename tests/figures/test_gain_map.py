"""The gain map: marks are the data, and the numbers below them what β-lasso gains."""

import pytest

from figures.gain_map import FactorPanel, GainPoint, ShortenedRun, draw_gain_map, draw_shortened
from figures.style.look import figure_style, save_figure_pair

EPOCHS = FactorPanel(
    factor="epochs",
    points=(
        GainPoint(value="60", sgd=0.5, beta_lasso=0.49, local=0.6, error=0.01),
        GainPoint(value="200", sgd=0.5, beta_lasso=0.53, local=0.6, error=0.01, is_usual=True),
        GainPoint(value="400", sgd=0.5, beta_lasso=0.54, local=0.5, error=0.01),
    ),
)
WIDTH = FactorPanel(factor="width α", points=EPOCHS.points[1:])
RUNS = [
    ShortenedRun(regime=regime, bits=bits, gain=gain, overfit=0.3)
    for regime, bits, gain in (("a", 0.1, 0.02), ("a", 0.3, 0.01), ("b", 0.05, -0.01))
]


def draw(function, *arguments, **settings):
    with figure_style():
        return function(*arguments, **settings)


def test_marks_are_the_data_and_numbers_the_gains(tmp_path):
    figure = draw(draw_gain_map, [EPOCHS, WIDTH], note="small")
    first, second = figure.axes
    lines = {line.get_label(): list(line.get_ydata()) for line in first.lines}
    assert lines["s-fc, SGD"] == [50, 50, 50]
    assert lines["s-fc, β-lasso"] == pytest.approx([49, 53, 54])
    assert lines["s-local, SGD"] == pytest.approx([60, 60, 50])
    texts = [text.get_text() for text in first.texts]
    assert texts == ["−1.0 ± 1.0\n−10%", "+3.0 ± 1.0\n30%", "+4.0 ± 1.0"]  # no gap, no share
    bold = [label.get_text() for label in first.get_xticklabels() if label.get_weight() == "bold"]
    assert bold == ["200"]
    assert first.get_ylim() == second.get_ylim()
    assert first.get_title("left") == "epochs"
    for path in save_figure_pair(figure, tmp_path / "map"):
        assert path.stat().st_size > 5_000


def test_shortened_runs_stand_at_their_bits_and_gains(tmp_path):
    figure = draw(draw_shortened, RUNS, note="small")
    axes = figure.axes[0]
    (marks,) = axes.collections
    assert marks.get_offsets().flatten().tolist() == pytest.approx([0.1, 2, 0.3, 1, 0.05, -1])
    joined = [len(line.get_xdata()) for line in axes.lines]
    assert joined[:2] == [2, 1]
    low, high = axes.get_xlim()
    assert low < 0.05
    assert high > 1
    for path in save_figure_pair(figure, tmp_path / "bits"):
        assert path.stat().st_size > 5_000


def test_nothing_to_draw_is_refused():
    for panels in ([], [FactorPanel(factor="epochs", points=())]):
        with pytest.raises(ValueError, match="at least one"):
            draw(draw_gain_map, panels)
    with pytest.raises(ValueError, match="at least one run"):
        draw(draw_shortened, [])
