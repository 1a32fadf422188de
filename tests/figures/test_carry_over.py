"""Accuracy by λ and by total shrinkage: the same marks in two places."""

import pytest

from figures.carry_over import PenaltyLine, PenaltyPanel, draw_carry_over
from figures.style.look import figure_style, save_figure_pair

LINES = tuple(
    PenaltyLine(label=label, l1=(low, 4 * low), shrinkages=(2.5, 10.0), accuracies=(first, second))
    for label, low, first, second in (("30", 4e-5, 0.5, 0.53), ("60", 2e-5, 0.56, 0.55))
)


def test_lines_stand_by_penalty_above_and_by_shrinkage_below(tmp_path):
    with figure_style():
        figure = draw_carry_over([PenaltyPanel(factor="epochs", lines=LINES)], note="small")
    above, below = figure.axes
    for axes, places in ((above, [4e-5, 1.6e-4]), (below, [2.5, 10])):
        first, best = axes.lines[:2]
        assert list(first.get_xdata()) == places
        assert list(first.get_ydata()) == [50, 53]
        assert list(best.get_xdata()) == places[1:]  # the better one
    assert list(below.lines[3].get_xdata()) == [2.5]
    assert [label.get_text() for label in below.get_xticklabels()] == ["2.5", "10"]
    for path in save_figure_pair(figure, tmp_path / "carry-over"):
        assert path.stat().st_size > 5_000


def test_nothing_to_draw_is_refused():
    for panels in ([], [PenaltyPanel(factor="epochs", lines=())]):
        with pytest.raises(ValueError, match="at least one"):
            draw_carry_over(panels)
