"""Screened shares by epoch and by setting: lines are the data, gaps stay gaps."""

import math

import pytest

from figures.sparse_training import (
    LayerRecord,
    LayerShares,
    SettingPanel,
    SharePoint,
    draw_screened,
    draw_screened_by_setting,
)
from figures.style.look import figure_style, save_figure_pair

CONV1 = LayerRecord(
    layer="conv1", epochs=(1, 2, 3), screened=(None, 0.5, 1.0), density=(1.0, 0.1, 0.0)
)
FC1 = LayerRecord(
    layer="fc1", epochs=(1, 2, 3), screened=(None, None, 0.25), density=(1.0, 0.5, None)
)
BY_LAMBDA = SettingPanel(
    setting="λ",
    fixed="α = 16",
    layers=(
        LayerShares(
            layer="conv1",
            points=(SharePoint(value=1e-4, share=1.0), SharePoint(value=1e-6, share=0.0)),
        ),
        LayerShares(layer="fc1", points=(SharePoint(value=1e-5, share=None),)),
    ),
)


def lines(axes):
    return {line.get_label(): line for line in axes.lines}


def draw(function, *arguments, **settings):
    with figure_style():
        return function(*arguments, **settings)


def test_shares_and_densities_are_the_data(tmp_path):
    figure = draw(draw_screened, [CONV1, FC1], title="a run", note="small")
    top, bottom = figure.axes
    first, *rest = lines(top)["conv1"].get_ydata()
    assert math.isnan(first)
    assert rest == [50, 100]
    *densities, zero = lines(bottom)["conv1"].get_ydata()
    assert densities == pytest.approx([100, 10])
    assert bottom.get_yticks(minor=True).tolist() == pytest.approx([zero])
    assert bottom.get_ylim()[0] < zero < 10
    assert math.isnan(lines(bottom)["fc1"].get_ydata()[-1])
    assert top.get_title("left") == "a run"
    assert {text.get_text() for text in bottom.texts} == {"conv1", "fc1"}
    for path in save_figure_pair(figure, tmp_path / "screened"):
        assert path.stat().st_size > 5_000


def test_one_epoch_and_unknown_densities(tmp_path):
    one = LayerRecord(layer="fc1", epochs=(4,), screened=(0.0,), density=(None,))
    save_figure_pair(draw(draw_screened, [one]), tmp_path / "one")


def test_shares_by_setting_are_the_data(tmp_path):
    alone = SettingPanel(
        setting="α",
        fixed="λ = 2e-5",
        layers=(LayerShares(layer="conv1", points=(SharePoint(value=16, share=0.4),)),),
    )
    figure = draw(draw_screened_by_setting, [BY_LAMBDA, alone])
    left, right = figure.axes
    assert list(lines(left)["conv1"].get_xdata()) == [1e-6, 1e-4]
    assert list(lines(left)["conv1"].get_ydata()) == [0, 100]
    assert math.isnan(lines(left)["fc1"].get_ydata()[0])
    assert list(lines(right)["conv1"].get_ydata()) == [40]
    assert (left.get_xlabel(), right.get_xlabel()) == ("λ", "α")
    assert left.get_xscale() == "log"
    figure.draw_without_rendering()
    assert [text.get_text() for text in left.get_xticklabels()] == ["1e-6", "1e-5", "1e-4"]
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["conv1", "fc1"]
    for path in save_figure_pair(figure, tmp_path / "settings"):
        assert path.stat().st_size > 5_000


def test_nothing_to_draw():
    unknown = LayerRecord(layer="fc1", epochs=(1,), screened=(None,), density=(0.5,))
    for layers in ([], [unknown]):
        with pytest.raises(ValueError, match="at least one screened share"):
            draw_screened(layers)
    empty = SettingPanel(setting="λ", fixed="", layers=BY_LAMBDA.layers[1:])
    for panels in ([], [empty]):
        with pytest.raises(ValueError, match="at least one share"):
            draw_screened_by_setting(panels)
