"""The prequential curve: a flat line a block."""

import pytest

from figures.prequential import PrequentialCurve, draw_prequential
from figures.style.look import figure_style, save_figure

CURVE = PrequentialCurve(
    network="s-conv",
    title="glyphs, $400$ labels",
    ends=(100, 200, 400),
    bits_per_label=(3.4, 2.0, 1.0),
    uniform=3.32,
)


def test_every_block_is_a_flat_line(tmp_path):
    with figure_style():
        figure = draw_prequential(CURVE, note="small")
    (axes,) = figure.axes
    blocks, uniform = axes.lines
    assert list(blocks.get_xdata()) == [1, 100, 100, 200, 200, 400]
    assert list(blocks.get_ydata()) == [3.4, 3.4, 2, 2, 1, 1]
    assert set(uniform.get_ydata()) == {3.32}
    save_figure(figure, tmp_path / "curve.png")
    assert (tmp_path / "curve.png").stat().st_size > 5_000


@pytest.mark.parametrize(("ends", "bits"), [((), ()), ((1, 2), (1.0,))])
def test_nothing_to_draw_is_refused(ends, bits):
    curve = PrequentialCurve(network="s-fc", title="", ends=ends, bits_per_label=bits, uniform=1)
    with pytest.raises(ValueError, match="at least one block"):
        draw_prequential(curve)
