"""Figure 5: lines are means by kernel size, bars ranges over seeds."""

import pytest

from figures.accuracy import KernelPanel, KernelPoint, MethodLine, draw_kernel_sizes
from figures.style.look import figure_style, save_figure_pair

SGD = MethodLine(
    method="sgd",
    points=(KernelPoint(kernel_size=9, test=(0.6,)), KernelPoint(kernel_size=3, test=(0.7, 0.8))),
)
LASSO = MethodLine(method="beta-lasso", points=(KernelPoint(kernel_size=5, test=(0.78,)),))
NOTHING = MethodLine(method="beta-lasso", points=())


def draw(*panels, **settings):
    with figure_style():
        return draw_kernel_sizes(panels, **settings)


def test_lines_are_the_data(tmp_path):
    figure = draw(KernelPanel(title="CIFAR-10", lines=(SGD, LASSO)), note="small")
    (axes,) = figure.axes
    lines = {line.get_label(): line for line in axes.lines}
    assert list(lines["SGD"].get_xdata()) == [3, 9]
    assert list(lines["SGD"].get_ydata()) == pytest.approx([75, 60])
    assert list(lines["β-lasso"].get_ydata()) == pytest.approx([78])
    (bar,) = axes.collections
    assert bar.get_segments()[0][:, 1].tolist() == pytest.approx([70, 80])
    assert axes.get_xticks().tolist() == [3, 5, 9]
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["β-lasso", "SGD"]
    assert "over seeds" in figure.get_supxlabel()
    for path in save_figure_pair(figure, tmp_path / "figure5"):
        assert path.stat().st_size > 5_000


def test_a_method_without_runs_is_left_out():
    panels = [KernelPanel(title=title, lines=(SGD, NOTHING)) for title in ("a", "b", "c")]
    figure = draw(*panels)
    assert [axes.get_title("left") for axes in figure.axes] == ["a", "b", "c"]
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["SGD"]


@pytest.mark.parametrize("panels", [(), (KernelPanel(title="a", lines=(NOTHING,)),)])
def test_nothing_to_draw(panels):
    with pytest.raises(ValueError, match="at least one kernel size"):
        draw_kernel_sizes(panels)
