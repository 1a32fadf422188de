"""Nonzeros over training: lines are the counts, dashes the twins' sizes, gaps stay gaps."""

import math

import pytest

from figures.nonzeros import LayerCurve, NonzerosHistory, draw_nonzeros_history
from figures.style.look import figure_style, save_figure_pair

CONV1 = LayerCurve(
    layer="conv1",
    epochs=(1, 2, 3),
    num_nonzeros=(90_000, None, 4_000),
    references={"s-conv": 2_916, "s-local": 74_000},
)
FC1 = LayerCurve(
    layer="fc1",
    epochs=(1, 2, 3),
    num_nonzeros=(5_000, 300, 0),
    references={"s-conv": 5_000, "s-local": 5_000},
)
RUN = NonzerosHistory(title="β = 50", curves=(CONV1, FC1))


def draw(*histories):
    with figure_style():
        return draw_nonzeros_history(histories)


def lines(axes):
    return {line.get_label(): line for line in axes.lines}


def test_lines_are_the_data(tmp_path):
    figure = draw(RUN)
    (axes,) = figure.axes
    conv1 = lines(axes)["conv1"]
    assert list(conv1.get_xdata()) == [1, 2, 3]
    first, gap, last = conv1.get_ydata()
    assert (first, last) == (90_000, 4_000)
    assert math.isnan(gap)
    assert list(lines(axes)["fc1"].get_ydata())[:2] == [5_000, 300]
    assert set(lines(axes)["conv1 of s-conv"].get_ydata()) == {2_916}
    assert set(lines(axes)["conv1 of s-local"].get_ydata()) == {74_000}
    assert set(lines(axes)["fc1 of s-conv, s-local"].get_ydata()) == {5_000}
    assert lines(axes)["conv1 of s-conv"].get_linestyle() == "--"
    assert axes.get_yscale() == "log"
    for path in save_figure_pair(figure, tmp_path / "training"):
        assert path.stat().st_size > 5_000


def test_zero_stands_at_its_own_tick():
    (axes,) = draw(RUN).axes
    zero = lines(axes)["fc1"].get_ydata()[-1]
    assert axes.get_yticks(minor=True).tolist() == [zero]
    assert zero < 300


def test_equal_references_are_named_once_at_the_right():
    left, right = draw(RUN, RUN).axes
    assert {text.get_text() for text in left.texts} == {"conv1", "fc1"}
    assert {text.get_text() for text in right.texts} == {
        "conv1",
        "fc1",
        "s-conv conv1",
        "s-local conv1",
        "s-conv, s-local fc1",
    }


def test_other_references_are_named_in_both():
    other = NonzerosHistory(
        title="β = 1", curves=(LayerCurve(layer="conv1", epochs=(1,), num_nonzeros=(5,)),)
    )
    left, _ = draw(RUN, other).axes
    assert "s-local conv1" in {text.get_text() for text in left.texts}


def test_one_epoch_without_nonzeros(tmp_path):
    curve = LayerCurve(layer="fc1", epochs=(1,), num_nonzeros=(0,))
    figure = draw(NonzerosHistory(title="one", curves=(curve,)))
    save_figure_pair(figure, tmp_path / "one")


def test_nothing_to_draw():
    unknown = LayerCurve(layer="fc1", epochs=(1,), num_nonzeros=(None,), references={"s-conv": 5})
    for histories in ([], [RUN, NonzerosHistory(title="none", curves=(unknown,))]):
        with pytest.raises(ValueError, match="at least one count"):
            draw_nonzeros_history(histories)
