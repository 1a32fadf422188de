"""Codelength against test error: a panel a data set, a point a network."""

from itertools import pairwise

import pytest

from figures.codelengths import CodelengthPanel, CodelengthPoint, draw_codelengths
from figures.style.look import figure_style, save_figure


def point(network: str, method: str, bits: float, error: float) -> CodelengthPoint:
    return CodelengthPoint(
        label=f"{network}, {method}",
        network=network,
        method=method,
        bits_per_label=bits,
        test_error=error,
    )


def test_every_network_is_a_point_and_the_legend_names_it_once(tmp_path):
    points = (point("s-conv", "sgd", 0.4, 0.01), point("s-fc", "beta-lasso", 0.6, 0.02))
    panels = [CodelengthPanel(title=title, points=points) for title in ("MNIST", "$glyphs$")]
    with figure_style():
        figure = draw_codelengths(panels)
    assert len(figure.axes) == 2
    for axes in figure.axes:
        assert [tuple(line.get_xydata()[0]) for line in axes.lines] == [(0.4, 0.01), (0.6, 0.02)]
        assert (axes.get_xlim()[0], axes.get_ylim()[0]) == (0, 0)
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["s-conv, sgd", "s-fc, beta-lasso"]
    save_figure(figure, tmp_path / "codelengths.png")
    assert (tmp_path / "codelengths.png").stat().st_size > 5_000


@pytest.mark.parametrize("num_panels", [1, 3])
def test_legend_and_numbers_have_room(num_panels):
    names = [("s-conv", "sgd"), ("s-local", "sgd"), ("s-fc", "beta-lasso"), ("s-fc", "sgd")]
    points = tuple(point(*each, bits=0.1688, error=0.013) for each in names)
    with figure_style():
        figure = draw_codelengths([CodelengthPanel(title="MNIST", points=points)] * num_panels)
        figure.draw_without_rendering()
        (legend,) = figure.legends
        box, numbers = legend.get_window_extent(), figure.axes[0].xaxis.get_ticklabels()
        assert 0 <= box.x0 < box.x1 <= figure.bbox.width
        places = [number.get_window_extent() for number in numbers]
        assert all(one.x1 < other.x0 for one, other in pairwise(places))


def test_nothing_to_draw_is_refused():
    with pytest.raises(ValueError, match="at least one data set"):
        draw_codelengths([])
