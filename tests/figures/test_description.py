"""Accuracy against bits: marks are means, the lower panel is what the bits prove."""

import pytest

from figures.description import DescribedNetwork, draw_description
from figures.style.look import figure_style, save_figure_pair

CONV = DescribedNetwork(
    network="s-conv", label="s-conv, SGD", num_bits=(1e6, 3e6), test=(0.7, 0.8), bounds=(0.9, 1.2)
)
LASSO = DescribedNetwork(
    network="s-fc", label="s-fc, β = 50", num_bits=(4e5,), test=(0.6,), method="beta-lasso"
)


def draw(networks, **settings):
    with figure_style():
        return draw_description(networks, **settings)


def marks(axes):
    return {line.get_label(): line for line in axes.lines if line.get_markersize() < 10}


def test_marks_are_the_data_and_bars_the_ranges(tmp_path):
    figure = draw([CONV, LASSO], num_classes=10, note="small")
    top, bottom = figure.axes
    conv = marks(top)["s-conv, SGD"]
    assert (list(conv.get_xdata()), list(conv.get_ydata())) == ([2e6], pytest.approx([75]))
    bars = [segment for each in top.collections for segment in each.get_segments()]
    assert bars[0][:, 0].tolist() == [1e6, 3e6]
    assert bars[1][:, 1].tolist() == pytest.approx([70, 80])
    proved = marks(bottom)["s-conv, SGD"]
    assert list(proved.get_ydata()) == pytest.approx([5])  # bounds over 1 prove nothing
    assert "s-fc, β = 50" not in marks(bottom)
    assert set(marks(bottom)["chance"].get_ydata()) == {10}
    assert top.get_xscale() == "log"
    for path in save_figure_pair(figure, tmp_path / "mdl"):
        assert path.stat().st_size > 5_000


def test_every_mark_has_its_name():
    top = draw([CONV, LASSO]).axes[0]
    assert {text.get_text() for text in top.texts} >= {"s-conv, SGD", "s-fc, β = 50"}


def test_lasso_has_a_ring_that_is_explained():
    figure = draw([LASSO], bits_name="bits")
    (axes,) = figure.axes  # without bounds there is one panel
    assert axes.get_xlabel() == "bits"
    rings = [line for line in axes.lines if line.get_markersize() > 10]
    assert [line.get_label() for line in rings] == ["s-fc, β = 50"]
    assert "ring" in figure.get_supxlabel()
    assert not draw([CONV]).axes[0].lines[0].get_markersize() > 10


def test_equal_values_over_seeds_can_be_drawn(tmp_path):
    same = DescribedNetwork(
        network="3-fc", label="3-fc", num_bits=(7e7,) * 3, test=(0.1,) * 3, bounds=(0.97,) * 3
    )
    save_figure_pair(draw([same]), tmp_path / "same")


def test_bad_input():
    with pytest.raises(ValueError, match="at least one network"):
        draw_description([])
    short = DescribedNetwork(network="3-fc", label="mine", num_bits=(1.0, 2.0), test=(0.1,))
    with pytest.raises(ValueError, match="mine: num_bits, test and bounds"):
        draw_description([short])
