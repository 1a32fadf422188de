"""Time and memory by epoch: lines are the data from zero up, hand-overs stand upright."""

import math

import pytest

from figures.sparse_training import RunCosts, draw_run_costs
from figures.style.look import figure_style, save_figure_pair

DENSE = RunCosts(label="dense", epochs=(1, 2, 3), seconds=(4.0, 4.1, 4.2), memory=(3e8,) * 3)
SPARSE = RunCosts(
    label="sparse", epochs=(1, 2, 3), seconds=(4.0, None, 1.0), memory=(3e8, 2e8, 5e7)
)


def draw(runs, **settings):
    with figure_style():
        return draw_run_costs(runs, **settings)


def lines(axes):
    return {line.get_label(): line for line in axes.lines}


def test_lines_are_the_data(tmp_path):
    figure = draw([DENSE, SPARSE], handovers={"conv1": 2, "fc1": 2, "fc2": 3}, note="small")
    left, right = figure.axes
    assert list(lines(left)["dense"].get_ydata()) == [4.0, 4.1, 4.2]
    first, gap, last = lines(left)["sparse"].get_ydata()
    assert (first, last) == (4.0, 1.0)
    assert math.isnan(gap)
    assert list(lines(right)["sparse"].get_ydata()) == [3e8, 2e8, 5e7]
    assert left.get_ylim()[0] == right.get_ylim()[0] == 0
    for axes in (left, right):
        upright = [line for line in axes.lines if line.get_label() == "hand-over"]
        assert [line.get_xdata()[0] for line in upright] == [2, 3]
        written = {text.get_text() for text in axes.texts}
        assert written == {"conv1, fc1", "fc2", "dense", "sparse"}
    assert "became sparse" in figure.get_supxlabel()
    for path in save_figure_pair(figure, tmp_path / "costs"):
        assert path.stat().st_size > 5_000


def test_one_epoch_other_names_and_unknown_memory(tmp_path):
    runs = [RunCosts(label=label, epochs=(1,), seconds=(0.0,), memory=(None,)) for label in "abc"]
    figure = draw(runs)
    colors = {line.get_color() for line in figure.axes[0].lines}
    assert len(colors) == 2  # the third looks like the first, but has its own name
    save_figure_pair(figure, tmp_path / "one")


def test_nothing_to_draw():
    empty = RunCosts(label="dense", epochs=(), seconds=(), memory=())
    for runs in ([], [empty]):
        with pytest.raises(ValueError, match="with an epoch"):
            draw_run_costs(runs)
