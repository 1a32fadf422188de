"""Learned locality: radii, those of chance, ratios with their intervals."""

import pytest

from figures.locality import LocalityRow, MeasuredLocality, draw_locality
from figures.style.look import figure_style, save_figure_pair


def measured(radius, ratio, share=0.9):
    return MeasuredLocality(
        radius=radius,
        chance_radius=12.5,
        ratio=ratio,
        ratio_interval=(ratio - 0.1, ratio + 0.05),
        local_share=share,
        num_filters=100,
    )


LASSO = LocalityRow(
    label="s-fc, β = 50", network="s-fc", runs=(measured(6.0, 0.5), measured(6.5, 0.55, 0.95))
)
SGD = LocalityRow(label="s-fc, SGD", network="s-fc", runs=(measured(12.0, 0.96, 0.85),))
MISSING = LocalityRow(label="s-local, SGD", network="s-local", runs=())


def draw(rows):
    with figure_style():
        return draw_locality(rows)


def values(axes, label):
    return [line.get_xdata()[0] for line in axes.lines if line.get_label() == label]


def test_marks_are_the_data(tmp_path):
    figure = draw([LASSO, SGD, MISSING])
    left, right = figure.axes
    assert values(left, "s-fc, β = 50") == [6.0, 6.5]
    assert values(left, "s-fc, SGD") == [12.0]
    assert values(left, "by chance") == [12.5] * 3
    assert values(right, "s-fc, β = 50") == [0.5, 0.55]
    intervals = [list(line.get_xdata()) for line in right.lines if line.get_label() == "interval"]
    assert intervals[2] == pytest.approx([0.86, 1.01])
    low, high = right.get_xlim()
    assert low <= min(map(min, intervals))
    assert high >= max(map(max, intervals))
    assert [text.get_text() for text in right.texts] == ["90 to 95% local", "85% local"]
    for path in save_figure_pair(figure, tmp_path / "locality"):
        assert path.stat().st_size > 5_000


def test_rows_are_named_from_the_top_and_a_missing_one_says_so():
    left = draw([LASSO, MISSING]).axes[0]
    assert [text.get_text() for text in left.get_yticklabels()] == [LASSO.label, MISSING.label]
    assert [(text.get_text(), text.xy[1]) for text in left.texts] == [("not run", 1)]
    bottom, top = left.get_ylim()
    assert bottom > top


def test_seeds_of_a_row_stay_within_it():
    many = LocalityRow(label="a", network="s-fc", runs=(measured(6.0, 0.5),) * 10)
    left = draw([many, many]).axes[0]
    heights = [line.get_ydata()[0] for line in left.lines if line.get_label() == "a"]
    assert max(heights[:10]) < 0.5 < min(heights[10:])


@pytest.mark.parametrize("rows", [[], [MISSING]])
def test_nothing_to_draw(rows):
    with pytest.raises(ValueError, match="at least one row with a run"):
        draw_locality(rows)
