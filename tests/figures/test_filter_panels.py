"""Figures 4 and 7 to 9: panels hold every filter, and say so where there are none."""

import numpy as np
import pytest
from matplotlib.image import imread

from figures.filter_panels import FilterGrid, draw_filter_grids
from figures.filters import filter_colors
from figures.style.files import save_figure_pair
from figures.style.look import figure_style


def some(number, side=32, channels=3):
    return np.random.default_rng(number).normal(size=(number, channels, side, side))


def grid(filters, title="s-fc", **settings):
    return FilterGrid(title=title, caption="24 of 2,048 filters", filters=filters, **settings)


def draw(*grids, **settings):
    with figure_style():
        return draw_filter_grids(grids, **settings)


@pytest.mark.slow
@pytest.mark.parametrize(("number", "side"), [(24, 32), (5, 28), (1, 9)])
def test_the_saved_picture_holds_every_pixel_of_every_filter(tmp_path, number, side):
    filters = some(number, side)
    figure = draw(grid(filters), grid(filters), grid(filters), num_columns=4, note="small")
    png, pdf = save_figure_pair(figure, tmp_path / "filters")
    assert pdf.stat().st_size > 5_000
    picture = imread(png)[..., :3]
    columns = min(4, number)
    image = figure.axes[0].get_images()[0].get_array()
    step = (image.shape[1] + 6) // columns
    scale = (step - 8) // side
    box = figure.axes[0].get_position()
    height, width = picture.shape[:2]
    top, left = round((1 - box.y1) * height), round(box.x0 * width)
    for index, colors in enumerate(filter_colors(filters)):
        row, column = divmod(index, columns)
        y, x = top + row * step + 1, left + column * step + 1
        tile = picture[y : y + scale * side, x : x + scale * side]
        assert np.abs(tile[::scale, ::scale] - colors).max() <= 1 / 255
        assert np.abs(tile[scale - 1 :: scale, scale - 1 :: scale] - colors).max() <= 1 / 255


def test_titles_captions_and_notes_are_written():
    figure = draw(grid(some(3), "(a) CIFAR-10"), grid(some(3), "(b) SVHN"), note="laptop scale.")
    assert [axes.get_title("left") for axes in figure.axes] == ["(a) CIFAR-10", "(b) SVHN"]
    written = [text.get_text() for text in figure.texts]
    assert written.count("24 of 2,048 filters") == 2
    assert any(text.startswith("laptop scale. Grey is zero") for text in written)


def test_a_missing_panel_says_why(tmp_path):
    figure = draw(grid(some(24)), grid(None, "SVHN", missing="SVHN is not here"))
    missing = figure.axes[1]
    assert [text.get_text() for text in missing.texts] == ["SVHN is not here"]
    assert not missing.get_images()
    assert missing.get_position().height == pytest.approx(figure.axes[0].get_position().height)
    save_figure_pair(figure, tmp_path / "missing")


def test_all_panels_may_be_missing(tmp_path):
    figure = draw(grid(None))
    assert [text.get_text() for text in figure.axes[0].texts] == ["not run"]
    save_figure_pair(figure, tmp_path / "missing")


def test_all_zero_filters_and_one_channel(tmp_path):
    figure = draw(grid(np.zeros((2, 3, 8, 8))), grid(some(2, 8, 1)))
    save_figure_pair(figure, tmp_path / "filters")


def test_bad_input():
    with pytest.raises(ValueError, match="at least one panel"):
        draw_filter_grids([])
    with pytest.raises(ValueError, match="num_columns"):
        draw_filter_grids([grid(some(1))], num_columns=0)
    with pytest.raises(ValueError, match="filters must be"):
        draw_filter_grids([grid(np.zeros((0, 3, 8, 8)))])
