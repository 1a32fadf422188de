"""Filters as colours and mosaics, and whole figures without pyplot or torch."""

import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

from figures.filters import (
    GAMMA,
    FilterGrid,
    FilterPanel,
    draw_filter_grids,
    draw_filters,
    filter_colors,
    filter_mosaic,
)
from figures.style.look import figure_style, save_figure, save_figure_pair


def some_filters(number: int, channels: int, side: int = 32, nonzeros: int = 20) -> np.ndarray:
    rng = np.random.default_rng(0)
    filters = np.zeros((number, channels * side * side))
    for one in filters:
        one[rng.permutation(one.size)[:nonzeros]] = rng.normal(size=nonzeros)
    return filters.reshape(number, channels, side, side)


def panel(filters: np.ndarray) -> FilterPanel:
    return FilterPanel(title="s-fc, β-lasso", note="ratio 0.30\na second line", filters=filters)


def test_zero_is_mid_grey_and_the_largest_weight_is_full_colour() -> None:
    filters = np.zeros((1, 3, 1, 3))
    filters[0, 1, 0, 0] = 4.0
    filters[0, :, 0, 1] = -2.0
    left, middle, right = filter_colors(filters)[0, 0]
    assert left.tolist() == [0.5, 1.0, 0.5]
    assert middle == pytest.approx([0.5 - 0.5 * 0.5**GAMMA] * 3)
    assert right.tolist() == [0.5] * 3


def test_one_channel_is_symmetric_about_zero() -> None:
    red, blue, zero = filter_colors(np.array([[[[1.0, -1.0, 0.0]]]]))[0, 0]
    assert red[0] > red[2]
    assert blue[2] > blue[0]
    assert zero.min() > 0.95
    few = filter_colors(np.array([[[[0.1, -1.0, 0.0]]]]))[0, 0]  # still the same zero
    assert few[2].tolist() == zero.tolist()


def test_each_filter_has_its_own_scale() -> None:
    filters = some_filters(2, 3)
    scaled = filters * np.array([1e-6, 1e6]).reshape(2, 1, 1, 1)
    np.testing.assert_allclose(filter_colors(filters), filter_colors(scaled))


def test_other_channels_are_summed() -> None:
    filters = some_filters(3, 5)
    summed = filters.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(filter_colors(filters), filter_colors(summed))


@pytest.mark.parametrize("channels", [1, 2, 3])
def test_an_all_zero_filter_is_blank(channels: int) -> None:
    colors = filter_colors(np.zeros((1, channels, 4, 4)))
    assert np.ptp(colors.reshape(-1, 3), axis=0).tolist() == [0, 0, 0]


@pytest.mark.parametrize("bad", [np.zeros((3, 4, 4)), np.zeros((0, 3, 4, 4))])
def test_shapes_that_are_no_filters(bad: np.ndarray) -> None:
    with pytest.raises(ValueError, match="filters must be"):
        filter_colors(bad)


def test_weights_that_are_not_finite() -> None:
    with pytest.raises(ValueError, match="finite"):
        filter_colors(np.full((1, 1, 2, 2), np.nan))
    with pytest.raises(ValueError, match="at least one panel"):
        draw_filters([])


@pytest.mark.parametrize("number", [1, 2, 5, 36])
@pytest.mark.parametrize("side", [3, 9, 32])
def test_a_mosaic_holds_every_pixel_of_every_filter(number: int, side: int) -> None:
    filters = some_filters(number, 3, side, nonzeros=9)
    mosaic = filter_mosaic(filters, width=640)
    assert mosaic.shape[1] <= 640
    assert (mosaic >= 0).all()
    assert (mosaic <= 1).all()
    columns = int(np.ceil(np.sqrt(number)))
    step = (mosaic.shape[1] + 8) // columns
    scale = (step - 10) // side
    assert scale >= 2
    for index, colors in enumerate(filter_colors(filters)):
        y, x = (step * place + 1 for place in divmod(index, columns))
        tile = mosaic[y : y + scale * side, x : x + scale * side]
        assert np.array_equal(tile[::scale, ::scale], colors)
        assert np.array_equal(tile[scale - 1 :: scale, scale - 1 :: scale], colors)


def test_tiles_that_do_not_fit_keep_two_dots_a_pixel() -> None:
    mosaic = filter_mosaic(some_filters(100, 1), width=300)
    assert mosaic.shape == (10 * 74 - 8, 10 * 74 - 8, 3)


@pytest.mark.parametrize("channels", [1, 3])
def test_the_saved_picture_shows_the_mosaic_dot_by_dot(tmp_path: Path, channels: int) -> None:
    """Sparse filters stay crisp: the file holds the very pixels of the mosaic."""
    filters = some_filters(36, channels)
    path = tmp_path / "filters.png"
    with figure_style():
        figure = draw_filters([panel(filters)])
    save_figure(figure, path)
    picture = imread(path)[..., :3]
    mosaic = filter_mosaic(filters, width=1020)
    rows, columns = mosaic.shape[:2]
    found = picture[40 : 40 + rows, 26 : 26 + columns]
    assert np.abs(found - mosaic).max() <= 1 / 255


@pytest.mark.parametrize("suffix", [".png", ".pdf"])
@pytest.mark.slow
def test_panels_side_by_side(tmp_path: Path, suffix: str) -> None:
    panels = [panel(some_filters(n, c, s)) for n, c, s in ((36, 3, 32), (5, 1, 28), (1, 2, 9))]
    with figure_style():
        figure = draw_filters(panels)
    save_figure(figure, tmp_path / f"filters{suffix}")
    assert len(figure.axes) == 3
    assert (tmp_path / f"filters{suffix}").stat().st_size > 1000
    boxes = [axes.get_position() for axes in figure.axes]
    assert all(left.x1 < right.x0 for left, right in pairwise(boxes))
    texts = " ".join(text.get_text() for text in figure.texts)
    assert "In colour grey is zero" in texts
    assert "In red and blue (sum over channels) pale is zero" in texts


def test_texts_stay_inside_the_figure() -> None:
    kinds = [some_filters(1, 3), some_filters(36, 1), some_filters(2, 5)]
    for shown in (kinds[:1], kinds[1:2], kinds[2:], kinds[::2], kinds):
        with figure_style():
            figure = draw_filters([panel(filters) for filters in shown])
            figure.canvas.draw()
            width, height = figure.get_size_inches() * figure.dpi
            for text in (*figure.texts, *(axes.title for axes in figure.axes)):
                box = text.get_window_extent()
                assert box.x0 >= 0
                assert box.x1 <= width
                assert box.y0 >= 0
                assert box.y1 <= height


@pytest.mark.process
def test_drawing_loads_neither_torch_nor_pyplot() -> None:
    code = "import sys, figures.filters; print({'torch', 'matplotlib.pyplot'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


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
