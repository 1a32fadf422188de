"""Figures 2 and 6: points are the data, the right panel is what the families need."""

import pytest
from matplotlib.colors import same_color

from figures.accuracy import (
    Family,
    SizePanel,
    SizePoint,
    draw_accuracy,
    draw_train_and_test,
    fitting_point,
)
from figures.style.look import NETWORK_STYLES, figure_style, save_figure_pair

CONV = Family(
    network="s-conv",
    points=(
        SizePoint(num_weights=100_000, train=(0.9, 1.0), test=(0.6, 0.7)),
        SizePoint(num_weights=1_000, train=(0.3, 0.3), test=(0.3, 0.2)),
        SizePoint(num_weights=10_000, train=(0.9, 0.8), test=(0.71, 0.73)),
    ),
)
DENSE = Family(network="3-fc", points=(SizePoint(num_weights=50_000, train=(0.5,), test=(0.4,)),))
EMPTY = Family(network="resnet18", points=())
PANEL = SizePanel(title="CIFAR-10", families=(CONV, DENSE, EMPTY), fit_accuracy=0.85)


def draw(function, *arguments, **settings):
    with figure_style():
        return function(*arguments, **settings)


def line(axes, label):
    (found,) = [
        each for each in axes.lines if each.get_label() == label and each.get_linestyle() == "-"
    ]
    return found


def test_fitting_point_is_the_smallest_that_fits_with_the_best_from_there_on():
    point = fitting_point(CONV, 0.85)
    assert point.num_weights == 10_000
    assert point.best_test == pytest.approx(0.72)
    assert point.reached
    assert fitting_point(CONV, 0.9).num_weights == 100_000
    assert fitting_point(CONV, 0.9).best_test == pytest.approx(0.65)


def test_a_family_that_never_fits_is_at_its_largest_size():
    point = fitting_point(CONV, 0.99)
    assert (point.num_weights, point.reached) == (100_000, False)
    assert fitting_point(EMPTY, 0.5) is None


def test_points_are_means_by_size_and_bars_are_ranges():
    left, _ = draw(draw_accuracy, [PANEL]).axes
    found = line(left, "s-conv")
    assert list(found.get_xdata()) == [1_000, 10_000, 100_000]
    assert list(found.get_ydata()) == pytest.approx([25, 72, 65])
    assert same_color(found.get_color(), NETWORK_STYLES["s-conv"].color)
    bars = sorted(tuple(each.get_segments()[0][:, 1].tolist()) for each in left.collections)
    assert [value for bar in bars for value in bar] == pytest.approx([20, 30, 60, 70, 71, 73])
    assert left.get_xscale() == "log"
    assert left.get_title("left") == "CIFAR-10"


def test_right_panel_shows_fitting_points_and_marks_those_that_need_more():
    figure = draw(draw_accuracy, [PANEL], note="small")
    right = figure.axes[1]
    marks = {each.get_label(): each for each in right.lines}
    assert list(marks["s-conv"].get_xdata()) == [10_000]
    assert list(marks["s-conv"].get_ydata()) == pytest.approx([72])
    assert list(marks["more needed"].get_xdata()) == [50_000]
    note = figure.get_supxlabel()
    assert note.startswith("small Right: to fit is a training accuracy of at least: CIFAR-10")
    assert "no size trained reaches it" in " ".join(note.split())


def test_legend_names_the_families_that_are_drawn():
    (legend,) = draw(draw_accuracy, [PANEL]).legends
    assert [text.get_text() for text in legend.get_texts()] == ["s-conv", "3-fc"]


@pytest.mark.parametrize(
    "num_panels", [1, *(pytest.param(each, marks=pytest.mark.slow) for each in (2, 3, 4))]
)
def test_each_data_set_has_its_panel_and_its_name_at_the_right(tmp_path, num_panels):
    names = ["CIFAR-10", "CIFAR-100", "SVHN", "glyphs"][:num_panels]
    panels = [SizePanel(title=name, families=(CONV, DENSE), fit_accuracy=0.8) for name in names]
    figure = draw(draw_accuracy, panels)
    shown = [axes for axes in figure.axes if axes.axison]
    assert [axes.get_title("left") for axes in shown] == [*names, "Fewest that fit"]
    written = [text.get_text() for text in shown[-1].texts if text.get_text()]
    assert written == (names if num_panels > 1 else [])
    for path in save_figure_pair(figure, tmp_path / "figure2"):
        assert path.stat().st_size > 5_000


@pytest.mark.slow
def test_train_is_above_test(tmp_path):
    figure = draw(draw_train_and_test, [PANEL, PANEL])
    top, _, bottom, _ = figure.axes
    assert top.get_ylabel() == "training accuracy (%)"
    assert list(line(top, "s-conv").get_ydata()) == pytest.approx([30, 85, 95])
    assert list(line(bottom, "s-conv").get_ydata()) == pytest.approx([25, 72, 65])
    for path in save_figure_pair(figure, tmp_path / "figure6"):
        assert path.stat().st_size > 5_000


@pytest.mark.parametrize("function", [draw_accuracy, draw_train_and_test])
@pytest.mark.slow
def test_one_point_is_enough_and_none_is_refused(tmp_path, function):
    one = SizePanel(title="glyphs", families=(DENSE,), fit_accuracy=0.5)
    save_figure_pair(draw(function, [one]), tmp_path / "one")
    nothing = SizePanel(title="glyphs", families=(EMPTY,), fit_accuracy=0.5)
    for panels in ([], [nothing], [one, nothing]):
        with pytest.raises(ValueError, match="at least one size"):
            function(panels)
