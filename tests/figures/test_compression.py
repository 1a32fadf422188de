"""The picture of a compression: its points, its lines of equal bound, and bad input."""

import math
from dataclasses import replace

import pytest

from analysis.bounds.bounds import binomial_tail, chernoff_kl
from figures.compression import CompressionFigure, equal_bound_bits, plot_compression
from figures.style.look import figure_style, save_figure

FIGURE = CompressionFigure(
    title="tiny-conv on glyphs",
    bits=[2_600, 4_800, 3_000, 2_100],
    errors=[0.9, 0.15, 0.05, 0.0],
    bounds=[0.96, 0.3, 0.13, 0.0412],
    num_samples=60_000,
    delta=0.05,
)


def draw(figure: CompressionFigure):
    with figure_style():
        return plot_compression(figure)


def test_path_and_steps_show_the_numbers(tmp_path):
    drawn = draw(FIGURE)
    left, right = drawn.axes
    path = next(line for line in left.lines if line.get_linestyle() == "-")
    assert list(path.get_xdata()) == FIGURE.bits
    shown = [90, 15, 5, 50 / 60_000]  # no error is half of one on a logarithmic axis
    assert list(path.get_ydata()) == pytest.approx(shown)
    bounds, errors = right.lines
    assert list(bounds.get_xdata()) == [1, 2, 3, 4]
    assert list(bounds.get_ydata()) == pytest.approx([96, 30, 13, 4.12])
    assert list(errors.get_ydata()) == pytest.approx(shown)
    assert {text.get_text() for text in right.texts} == {"4.12%", "0%"}
    save_figure(drawn, tmp_path / "curve.png")
    assert (tmp_path / "curve.png").stat().st_size > 1000


def test_last_bound_is_rounded_upward():
    _, right = draw(replace(FIGURE, bounds=[0.96, 0.3, 0.13, 0.095801])).axes
    assert "9.59%" in {text.get_text() for text in right.texts}


@pytest.mark.parametrize(
    ("target", "error", "num_samples"),
    [(0.116, 0.02, 60_000), (0.5, 0.2, 50_000), (0.3, 0.0, 1_000)],
)
def test_lines_of_equal_bound_lie_where_the_bound_is_equal(target, error, num_samples):
    bits = equal_bound_bits(target, error, num_samples, 0.05)
    errors = round(error * num_samples)
    assert chernoff_kl(errors, num_samples, bits, 0.05) == pytest.approx(target, rel=1e-9)
    tail = binomial_tail(errors, num_samples, bits, 0.05)
    assert tail == pytest.approx(target, rel=2e-3)
    assert tail <= target * (1 + 1e-9)


def test_lines_of_equal_bound_are_drawn_and_named_inside_the_view():
    left, _ = draw(FIGURE).axes
    (x_low, x_high), (y_low, y_high) = left.get_xlim(), left.get_ylim()
    names = [text for text in left.texts if text.get_text().endswith("%")]
    assert len(names) >= 5
    for text in names:
        x, y = text.xy
        assert x_low < x < x_high
        assert y_low <= y <= y_high
        target = float(text.get_text()[:-1]) / 100
        assert chernoff_kl(round(y * 600), 60_000, x, 0.05) == pytest.approx(target, rel=0.01)


def test_without_m_there_are_no_such_lines():
    left, right = draw(replace(FIGURE, num_samples=None, delta=None)).axes
    assert not left.texts
    assert "δ" not in right.get_title()


def test_one_point_is_enough(tmp_path):
    drawn = draw(
        CompressionFigure(
            title="one", bits=[500], errors=[1.0], bounds=[1.0], num_samples=280, delta=0.05
        )
    )
    save_figure(drawn, tmp_path / "one.png")
    assert all(math.isfinite(limit) for axes in drawn.axes for limit in axes.get_xlim())


@pytest.mark.parametrize("changes", [{"bits": []}, {"errors": [0.1]}, {"bounds": [0.1, 0.2]}])
def test_sequences_of_other_lengths(changes):
    with pytest.raises(ValueError, match="the same number of points"):
        plot_compression(replace(FIGURE, **changes))
